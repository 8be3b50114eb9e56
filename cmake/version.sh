#!/bin/sh
# version.sh ROOT OUT: writes OUT, a C file with the commit and its date, of git or, in a release archive, of
# cmake/release.txt, where `git archive` put them. A file that would not change is left as it is.
set -eu
root=$1 out=$2
commit='' date=''
if [ -e "$root/.git" ] && commit=$(git -C "$root" rev-parse --short=12 HEAD 2>/dev/null); then
    date=$(git -C "$root" log -1 --format=%cs)
    [ -z "$(git -C "$root" status --porcelain --untracked-files=no 2>/dev/null)" ] || commit=$commit-changed
else
    commit=''
    read -r long date <"$root/cmake/release.txt" || true
    case $long in
    *[!0-9a-f]*) date='' ;;
    *) commit=$(printf %.12s "$long") ;;
    esac
fi
tmp=$out.tmp
printf '#include "library/features.h"\nconst char ste_commit[] = "%s", ste_date[] = "%s";\n' "$commit" "$date" >"$tmp"
if cmp -s "$tmp" "$out"; then rm "$tmp"; else mv "$tmp" "$out"; fi
