#!/usr/bin/env bash
# The command line itself: unknown commands and flags, wrong paths; one sentence on stderr and the right exit code.
set -u
ste=$1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
export STE_HOME=$tmp/home
bad=0

# expect CODE PART ARGUMENT...: the exit code, and PART in the one line on stderr
expect() {
    local code=$1 part=$2 got
    shift 2
    "$ste" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    got=$?
    if [ "$got" != "$code" ] || ! grep -qF -- "$part" "$tmp/err" || [ "$(wc -l <"$tmp/err")" != 1 ] ||
        ! grep -q '^ste: ' "$tmp/err"; then
        echo "ste $*: exit $got (want $code), said: $(cat "$tmp/err") (want: $part)"
        bad=1
    fi
}

expect 2 'a command is missing'
expect 2 'did you mean "ste pull"?' pul smollm2-135m-instruct
expect 2 '`ste help` lists them' xyzzyplugh
expect 2 'did you mean "ste models"?' help model
expect 2 'did you mean --json?' models --jsno
expect 2 'there is no flag --frobnicate' models --frobnicate
expect 2 'one word too many' models extra
expect 2 'name a model' pull
expect 1 'did you mean "smollm2-135m-instruct"?' pull smolm2-135m-instruct
expect 1 'there is no model "xyzzyplugh"' pull xyzzyplugh
if "$ste" help | grep -q '^  tokenize '; then
    expect 1 'there is no file /nowhere/x.gguf' tokenize --model /nowhere/x.gguf
    expect 1 'ste pull smollm2-135m-instruct' tokenize --model smollm2-135m-instruct
    expect 1 'is a folder' tokenize --model "$tmp/"
    expect 2 'needs a value' tokenize --model
fi
expect 2 'did you mean --set judge.samples=3?' run small judge.samples=3
expect 1 '`ste runs` lists' generate --model runs/none --chat x
expect 1 '`ste runs` lists' report "$tmp/nothing"
expect 1 "there is no folder $tmp/nothing; \`mkdir -p" judge --judge a --in "$0" --out "$tmp/nothing/o"
expect 1 'HF:OWNER/NAME' pull gpt-4
mkdir -p "$STE_HOME"
printf 'models:\n  - name: a\n  - name: ../b\n' >"$STE_HOME/models.yaml"
expect 1 'models.yaml' models
printf 'models:\n  - name: a\n    name: b\n' >"$STE_HOME/models.yaml"
expect 1 'models.yaml:3: the key "name" is given twice' models
rm "$STE_HOME/models.yaml"

# help: the list, each command's own, all within 80 columns
for c in $("$ste" help | sed -n 's/^  \([a-z-]*\) .*/\1/p'); do
    for way in "help $c" "$c --help"; do
        # shellcheck disable=SC2086
        "$ste" $way >"$tmp/out" 2>&1 || { echo "ste $way: exit $?"; bad=1; }
        grep -q "^Usage: ste $c" "$tmp/out" || { echo "ste $way shows no usage"; bad=1; }
        awk -v w="$way" 'length($0) > 80 {print "ste " w ": " $0; x = 1} END {exit x}' "$tmp/out" || bad=1
    done
done
"$ste" help | awk 'length($0) > 80 {print "ste help: " $0; x = 1} END {exit x}' || bad=1
# what bash completes is what there is
"$ste" completion bash >"$tmp/completion" || bad=1
completes() { # WANT WORD...: after these words
    local want=$1 COMP_LINE COMP_POINT COMPREPLY
    shift 2
    COMP_LINE="$ste $*" COMP_POINT=$((${#ste} + 1 + $(printf %s "$*" | wc -m)))
    _ste
    [ "${COMPREPLY[*]}" = "$want" ] || { echo "completion of $*: ${COMPREPLY[*]} (want: $want)"; bad=1; }
}
. "$tmp/completion"
completes 'train train-rm tokenize' ste t
completes '--top-k --top-p' ste generate --to
"$ste" --version | grep -q '^ste [0-9]' || bad=1
# output that cannot be written is a failure
"$ste" help >/dev/full 2>"$tmp/err" && { echo "ste help to a full disk gave 0"; bad=1; }
grep -q 'No space left' "$tmp/err" || bad=1
exit $bad
