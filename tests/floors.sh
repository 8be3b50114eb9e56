#!/usr/bin/env bash
# Includes go down the floors only. floors.sh SOURCE_DIR
set -u
cd "$1/src" || exit 1
# rank: a floor may include its own headers and those of a lower rank; store and net share a rank.
rank() {
    case $1 in
    core) echo 0 ;; store | net) echo 1 ;; data) echo 2 ;; model) echo 3 ;; engine) echo 4 ;;
    train) echo 5 ;; llm) echo 6 ;; judge) echo 7 ;; eval) echo 8 ;; loop) echo 9 ;;
    report) echo 10 ;; serve) echo 11 ;; library) echo 12 ;; cli) echo 13 ;; *) echo -1 ;;
    esac
}
bad=0 seen=0
while IFS=: read -r file line; do
    from=${file%%/*}
    to=$(sed -n 's/.*"\([a-z]*\)\/.*/\1/p' <<<"$line")
    [ -n "$to" ] || { echo "$file: name the floor in $line"; bad=1; continue; }
    seen=$((seen + 1))
    a=$(rank "$from") b=$(rank "$to")
    if [ "$b" -lt 0 ] || { [ "$from" != "$to" ] && [ "$b" -ge "$a" ]; }; then
        echo "$file: $from/ may not include $line"
        bad=1
    fi
done < <(grep -rHE '^#include "' --include='*.[ch]' . | sed 's|^\./||' | grep -v '"ste\.h"')
# A device knows the table that it fills, and nothing of the scheduler above it.
if grep -rHE '^#include "engine/' --include='*.[ch]' engine/cpu | grep -vE '"engine/(cpu/|device\.h|arithmetic\.h)'; then
    echo "engine/cpu/ may include device.h and arithmetic.h of engine/ only"
    bad=1
fi
# No header includes itself by way of others.
if ! grep -rHE '^#include "' --include='*.h' . | sed -E 's|^\./||; s|:#include "([^"]*)".*| \1|' | tsort >/dev/null; then
    echo "headers include each other in a circle"
    bad=1
fi
[ "$seen" -gt 20 ] || { echo "floors.sh read only $seen includes"; bad=1; }
exit $bad
