#!/bin/sh
# demo.sh STE [PAIRS] [LIMIT]: the whole loop with the built-in instructions, then its table. With PAIRS (files of
# labelled pairs) the seed and the last iteration are also judged on real pairs, LIMIT of each file.
set -eu
ste=$1
pairs=${2:-}
limit=${3:-40}
run=demo-run

"$ste" run demo --run "$run"
if [ -n "$pairs" ]; then
    echo
    # shellcheck disable=SC2086
    "$ste" compare --judge "$run:0" --judge "$run" --data $pairs --limit "$limit"
fi
