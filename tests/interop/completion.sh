#!/usr/bin/env bash
# completion.sh STE: what bash, zsh and fish themselves offer, each in a shell that read the lines of `ste completion`;
# the manual by groff -ww and mandoc -T lint. A tool that is not here is said and passed over; 77 where none is.
set -u
ste=$(realpath "${1:?the program}")
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
PATH=$(dirname "$ste"):$PATH
export STE_HOME=$dir/home
mkdir -p "$dir/work/runs/mine" && cd "$dir/work" || exit 1
echo 'iterations: 1' >runs/mine/recipe.resolved.yaml
touch pairs.jsonl
bad=0 seen=0
check() { # SHELL LINE WANT: by what the function SHELL prints
    seen=$((seen + 1))
    "$1" "$2" | tr -d '\r' | grep -qE -- "(^|[[:space:]])$3/?([[:space:]]|$)" || { echo "$1: '$2' does not offer $3: $("$1" "$2" | head -5)"; bad=1; }
}
in_bash() {
    bash --norc -c 'eval "$(ste completion bash)"; COMP_LINE=$1 COMP_POINT=${#1}; _ste; printf "%s\n" "${COMPREPLY[@]}"' - "$1"
}
in_zsh() { # a terminal of zsh's own: the line, then a list of what there is (two of Tab)
    zsh -f -c '
        zmodload zsh/zpty
        zpty z "TERM=dumb COLUMNS=200 LINES=200 zsh -f -i"
        zpty -w z "PS1= RPS1=; unsetopt zle_bracketed_paste 2>/dev/null; autoload -U compinit; compinit -u -d $PWD/.dump; zstyle \":completion:*\" menu no; setopt list_ambiguous no_auto_menu auto_list; LISTMAX=1000; source <(ste completion zsh); print READY"
        while zpty -r z line; do [[ $line == *READY* && $line != *print* ]] && break; done
        zpty -w -n z "$1"$'"'\\t\\t'"'
        sleep 1.5
        zpty -r -t z out "*" ; print -r -- "$out"
        while zpty -r -t z out; do print -r -- "$out"; done
        zpty -d z' - "$1" 2>/dev/null | sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g'
}
in_fish() {
    fish --no-config -c 'ste completion fish | source; complete -C $argv[1]' -- "$1" | cut -f1
}
for shell in bash zsh fish; do
    command -v $shell >/dev/null || { echo "no $shell here"; continue; }
    check in_$shell 'ste ju' judge-step
    check in_$shell 'ste judge --one-' --one-order
    check in_$shell 'ste judge --score l' likelihood
    check in_$shell 'ste judge --judge smollm2-1' smollm2-135m-instruct
    check in_$shell 'ste judge --in pa' pairs.jsonl
    check in_$shell 'ste report runs/m' runs/mine
    check in_$shell 'ste help reci' recipe
done
"$ste" man --out "$dir/man" || exit 1
for tool in groff mandoc; do
    command -v $tool >/dev/null || { echo "no $tool here"; continue; }
    for page in "$dir"/man/*; do
        seen=$((seen + 1))
        case $tool in
        groff) said=$(groff -man -Tutf8 -ww "$page" 2>&1 >/dev/null) ;;
        mandoc) said=$(mandoc -T lint -W warning "$page" 2>&1) ;;
        esac
        [ -z "$said" ] || { echo "$said" | head -3; bad=1; }
    done
done
[ "$seen" -gt 0 ] || exit 77
echo "completion: $seen checks, $([ $bad = 0 ] && echo all right || echo not all right)"
exit $bad
