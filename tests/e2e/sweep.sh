#!/usr/bin/env bash
# A sweep of two by two settings and three seeds on a model of a few kilobytes: killed at random moments it ends in the
# table of one that nobody disturbed; a run of it is, byte for byte, the same run alone; what is shared is done once; what
# a run without a judge leaves. KILLS=N (default 10).
. "$(dirname "$0")/lib_tiny.sh"
KILLS=${KILLS:-10}
cd "$dir" || exit 1
export STE_LOG=quiet

rows Question 48 >labelled.jsonl
rows Riddle 16 >x.jsonl
rows Puzzle 16 >y.jsonl
recipe 1 "max_steps: 2" >tiny.yaml
cat >sweep.yaml <<YAML
recipe: $dir/tiny.yaml
set: {train.checkpoint_every: 1}
grid:
  iterations: [1, 2]
seeds: [1, 2, 3]
data: [$dir/x.jsonl, $dir/y.jsonl]
sample: 8
YAML
sweep() { "$ste" sweep ../sweep.yaml --out s --grid train.lr=0.001,0.05 "$@"; }
figures() { # what does not depend on how long it took
    python3 -c "
import json, sys
r = json.load(open(sys.argv[1] + '/s/sweep.json'))
del r['seconds']
for p in r['points']: del p['seconds']
print(json.dumps(r, sort_keys=True, indent=1))" "$1"
}
mkdir whole killed

# ---- undisturbed
start=$(date +%s%N)
(cd whole && sweep) >table 2>err || fail "the sweep ended with $?"
took=$((($(date +%s%N) - start) / 1000000))
grep -q '^Held-out synthetic pairs' table && grep -q '^All files' table || fail "the table lacks a part: $(cat table)"
[ "$(wc -L <table)" -le 82 ] || fail "the table is too wide: $(cat table)"
figures whole >want
[ "$(ls whole/s/data)" = "x.jsonl
y.jsonl" ] && [ "$(wc -l <whole/s/data/x.jsonl)" = 8 ] || fail "8 rows of each file should have been drawn"

# ---- a run of it is the run alone, and the seed judged once
run=whole/s/iterations=2,train.lr=0.05-seed-2
(cd whole && "$ste" run ../tiny.yaml --run alone --set iterations=2 --set train.lr=0.05 --set train.checkpoint_every=1 --set seed=2 \
    --set "eval.files=[s/data/x.jsonl,s/data/y.jsonl]") >/dev/null 2>err || fail "the run alone ended with $?"
"$ste" dump whole/alone >alone.dump
"$ste" dump "$run" | cmp - alone.dump || fail "a run of the sweep has another store than the same run alone"
diff -r whole/alone/adapters "$run/adapters" || fail "a run of the sweep has other adapters than the same run alone"
judged="select seconds from work where step = 'judge' and iteration = 1"
[ "$(sql "$run" "$judged")" = "$(sql "whole/s/iterations=1,train.lr=0.001-seed-2" "$judged")" ] ||
    fail "the seed was judged by more than one run of a seed"

# ---- killed
RANDOM=${SEED:-11}
kills=0
while [ "$kills" -lt "$KILLS" ]; do
    (cd killed && exec "$ste" sweep ../sweep.yaml --out s --grid train.lr=0.001,0.05) >/dev/null 2>err &
    pid=$!
    sleep "$(awk "BEGIN {print (100 + $RANDOM % ($took / ($KILLS + 1) + 100)) / 1000}")"
    if kill -9 $pid 2>/dev/null; then
        wait $pid 2>/dev/null
        kills=$((kills + 1))
        echo "kill $kills: $(find killed/s -name run.db 2>/dev/null | wc -l) stores, $(find killed/s -name report.json | wc -l) runs done"
    else
        wait $pid || fail "a resumed sweep ended with $?"
        figures killed | cmp - want || fail "after $kills kills: another table"
        rm -rf killed/s
    fi
done
(cd killed && sweep) >/dev/null 2>err || fail "the last resume ended with $?"
figures killed | diff want - || fail "another table after $kills kills"
"$ste" dump "killed/s/iterations=2,train.lr=0.05-seed-2" | cmp - alone.dump || fail "another store after $kills kills"

# ---- said and refused
(cd whole && sweep --dry-run) >plan 2>err || fail "the plan: exit $?"
grep -q '^12 runs: 4 points, 3 seeds' plan && grep -q 'shared with others up to iteration 1' plan || fail "the plan: $(cat plan)"
refuse 2 'is a sweep of several runs' run sweep.yaml
refuse 2 'there is no option "train.rl"' sweep tiny.yaml --grid train.rl=1
refuse 2 'would change its result' sweep sweep.yaml --out whole/s --grid train.lr=0.001,0.05 --set train.checkpoint_every=2 --sample 7

# ---- a run without a judge is left out, with its reason
refuse 3 '1 of 2 runs ended without a judge' sweep tiny.yaml --out none --grid filter.min_probability=0.2,1 --set filter.trust_from=1
grep -q 'has no judge' out && grep -q '^Held-out synthetic pairs' out || fail "the reason is not in the table: $(cat out)"
echo "sweeps: as they should be, after $kills kills"
