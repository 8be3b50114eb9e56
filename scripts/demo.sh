#!/bin/sh
# demo.sh STE [SEED] [PAIRS] [LIMIT]: the whole loop with the built-in instructions, then its table. Another SEED is
# another draw of everything, in a run of its own. With PAIRS (files of labelled pairs) the seed model and the last
# iteration are also judged on real pairs, LIMIT of each file.
set -eu
ste=$1
seed=${2:-1}
pairs=${3:-}
limit=${4:-40}
run=demo-run
[ "$seed" = 1 ] || run=demo-run-$seed

"$ste" run demo --run "$run" --set seed="$seed"
if [ -n "$pairs" ]; then
    echo
    # shellcheck disable=SC2086
    "$ste" compare --judge "$run:0" --judge "$run" --data $pairs --limit "$limit"
fi
