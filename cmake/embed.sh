#!/bin/sh
# embed.sh ROOT LIST OUT: writes OUT, a C table of the files named in LIST.
set -eu
root=$1 list=$2 out=$3
tmp=$out.tmp
{
    echo '#include "data/embedded.h"'
    i=0
    while IFS= read -r file; do
        [ -n "$file" ] || continue
        echo "static const unsigned char f$i[] = {"
        od -An -v -tu1 "$file" | sed 's/  *\([0-9][0-9]*\)/\1,/g'
        echo "0};"
        i=$((i + 1))
    done <"$list"
    echo 'const struct ste_embedded ste_embedded_files[] = {'
    i=0
    while IFS= read -r file; do
        [ -n "$file" ] || continue
        echo "{\"${file#"$root"/}\", (const char *)f$i, sizeof f$i - 1},"
        i=$((i + 1))
    done <"$list"
    echo '{0, 0, 0}};'
} >"$tmp"
mv "$tmp" "$out"
