#!/usr/bin/env bash
# needs: model
# A judge trained on labelled pairs: both answers come from the file, nothing is generated, labels and their source are
# kept, several pairs of one prompt stay in one part of the split, ste sft makes the loop's adapter of what is exported, and
# the adapter's folder is a judge.
. "$2/tests/e2e/lib_run.sh"

# Twelve questions with two pairs each, one of them chosen for its refusal, one row twice, one tie.
for i in $(seq 12); do
    echo "{\"id\": \"a$i\", \"prompt\": \"What is $i plus $i, and how do you know?\", \"chosen\": \"$((2 * i)), by counting.\", \"rejected\": \"$((2 * i + 1)), by guessing.\"}"
    echo "{\"id\": \"b$i\", \"prompt\": \"What is $i plus $i, and how do you know?\", \"chosen\": \"I'm sorry, but I can't tell.\", \"rejected\": \"$((7 * i)), surely.\"}"
done >"$WORK/pairs.jsonl"
sed -n '1s/"a1"/"again"/p' "$WORK/pairs.jsonl" >>"$WORK/pairs.jsonl"
echo '{"id": "tie", "prompt": "Name a fruit with K.", "chosen": "Kiwi.", "rejected": "Kaki.", "tie": true}' >>"$WORK/pairs.jsonl"

settings=(--set pair.kinds=labelled=1 --set iterations=1 --set judge.samples=15 --set split.cluster=1
    --set train.checkpoint_every=1000 --set train.max_steps=0 --set train.epochs=1.5)
run() {
    "$STE" run "$WORK/tiny.yaml" "${settings[@]}" --set "pair.labelled=$1" "${@:2}"
}
run "$WORK/pairs.jsonl" --dry-run >"$WORK/dry" || fail "dry run"
grep -qE '^  pair +0 ' "$WORK/dry" || fail "a run of labelled pairs is to make answers: $(cat "$WORK/dry")"
run "$WORK/pairs.jsonl" --run "$WORK/run" >"$WORK/report" || fail "run: $?"
grep -q 'exact duplicate 1' "$WORK/report" && grep -q 'tied 1' "$WORK/report" || fail "rows left out: $(cat "$WORK/report")"

"$STE" export "$WORK/run" --what pairs --out "$WORK/out.jsonl" || fail "export"
[ "$(wc -l <"$WORK/out.jsonl")" = 24 ] || fail "$(wc -l <"$WORK/out.jsonl") pairs, not 24"
[ "$(grep -c '"label_source":"labelled"' "$WORK/out.jsonl")" = 24 ] || fail "where the labels come from is lost"
python3 - "$WORK/pairs.jsonl" "$WORK/out.jsonl" <<'PY' || fail "the pairs of the run are not those of the file"
import json, sys
given, kept = ([json.loads(line) for line in open(name)] for name in sys.argv[1:])
texts = {(r["prompt"], r["chosen"], r["rejected"]) for r in given if not r.get("tie")}
assert {(r["prompt"], r["chosen"], r["rejected"]) for r in kept} == texts
parts = {}
for r in kept:
    parts.setdefault(r["prompt"], set()).add(r["split"])
assert all(len(p) == 1 for p in parts.values()), parts
assert {s for p in parts.values() for s in p} >= {"train", "test"}
PY
"$STE" dump "$WORK/run" | grep -c '"finish":"given"' | grep -qx 48 || fail "answers are not marked as given"
"$STE" export "$WORK/run" --out "$WORK/sft.jsonl" && [ -s "$WORK/sft.jsonl" ] || fail "no training examples"
# The command that export names makes the loop's adapter from that file, byte for byte, in a second, shuffled epoch too.
command=$(STE_LOG= "$STE" export "$WORK/run" --out "$WORK/sft.jsonl" 2>&1 | sed -n 's/^as the run trains them: ste //p')
# shellcheck disable=SC2086
"$STE" ${command/--out DIR/--out $WORK/same} --micro-tokens 300 >/dev/null || fail "ste $command"
diff -r "$WORK/same" "$WORK/run/adapters/iter-1" || fail "another adapter: ste $command"
grep -qv '"label_source":"labelled"' "$WORK/sft.jsonl" && fail "an example's label is not from the file"

# In twos, an A and a B; both orders of a pair side by side where both were judged right.
python3 - "$WORK/sft.jsonl" <<'PY' || fail "training examples are not in twos"
import collections, json, re, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
assert [r["completion"].rstrip("] ")[-1] for r in rows] == ["A", "B"] * (len(rows) // 2), len(rows)
# Both orders show the same three texts.
key = [tuple(sorted(re.split(r"\[[0-9a-f]{8} [^\]]*\]\n", r["prompt"])[1:4])) for r in rows]
both = {k for k, n in collections.Counter(key).items() if n == 2}
assert both and sum(key[i] == key[i + 1] for i in range(0, len(key), 2)) == len(both), (len(both), len(rows))
PY

# By steps it is the same run; what is left then is the seed's evaluation.
"$STE" select "$WORK/steps" --recipe "$WORK/tiny.yaml" "${settings[@]}" --set "pair.labelled=$WORK/pairs.jsonl" ||
    fail "select"
for step in pair check judge-step filter train iterate; do
    "$STE" $step "$WORK/steps" >/dev/null || fail "$step"
done
run "$WORK/pairs.jsonl" --run "$WORK/steps" >/dev/null || fail "a run that was begun by steps"
[ "$(dump_hash "$WORK/run")" = "$(dump_hash "$WORK/steps")" ] || fail "by steps it is another run"

# The adapter's folder by itself is a judge, with the pack that is asked for.
"$STE" eval --judge "$WORK/run" --data "$WORK/pairs.jsonl" --no-cache --outcomes "$WORK/1.out" >/dev/null || fail "eval of the run"
"$STE" eval --judge "$WORK/run/adapters/iter-1" --pack direct --data "$WORK/pairs.jsonl" --no-cache \
    --outcomes "$WORK/2.out" >/dev/null || fail "eval of the adapter's folder"
"$STE" eval --judge smollm2-135m-instruct --data "$WORK/pairs.jsonl" --no-cache --outcomes "$WORK/3.out" >/dev/null || fail "eval of the seed"
cmp "$WORK/1.out" "$WORK/2.out" || fail "the adapter's folder judges otherwise than its run"
cmp -s "$WORK/1.out" "$WORK/3.out" && fail "the adapter changes nothing"

# A judge that is measured on what it was trained on is said to be, by its run or by its adapter's folder; the seed is not.
for judge in "$WORK/run" "$WORK/run/adapters/iter-1" "$WORK/run:0"; do
    "$STE" eval --judge "$judge" --pack direct --data "$WORK/pairs.jsonl" --no-cache --json "$WORK/in.json" >/dev/null 2>"$WORK/err" || fail "eval of $judge"
    said=$(grep -c 'pairs have a prompt like one that .* was trained on' "$WORK/err" || true)
    [ "$said" = "$([ "$judge" = "$WORK/run:0" ] && echo 0 || echo 1)" ] || fail "$judge: $(cat "$WORK/err")"
done
"$STE" eval --judge "$WORK/run" --data "$WORK/pairs.jsonl" --no-cache --json - 2>/dev/null | grep -qE '"in_training": [1-9]' || fail "no in_training"

# What is no labelled pair
refuse() {
    local part=$1
    shift
    "$@" >/dev/null 2>"$WORK/err" && fail "$*: was taken"
    grep -qF -- "$part" "$WORK/err" || fail "$*: said $(cat "$WORK/err"), not: $part"
}
refuse 'pair.labelled, which is empty' "$STE" run "$WORK/tiny.yaml" --run "$WORK/x" --set pair.kinds=labelled=1 --set "instructions.files=$WORK/pairs.jsonl"
sed '3s/"rejected"/"refused"/' "$WORK/pairs.jsonl" >"$WORK/broken.jsonl"
refuse 'broken.jsonl:3: the field "rejected" is missing' run "$WORK/broken.jsonl" --run "$WORK/y"
