#!/usr/bin/env bash
# needs: model
# Kinds whose truth is known: answers damaged by rule, and samples held against a known number, a letter and tests of code.
# The same rows for another batch and after a kill; the report counts rules and runs of code; without a sandbox the kind
# refuses code.
. "$2/tests/e2e/lib_run.sh"

for i in $(seq 6); do
    echo "{\"id\": \"n$i\", \"instruction\": \"What is $i plus $((3 * i))? Answer with a number.\", \"answer\": $((4 * i))}"
done >"$WORK/known.jsonl"
echo '{"id": "c", "instruction": "Which one is a fruit?\nA. a stone\nB. an apple\nC. a chair\nAnswer:", "answer": "B"}' >>"$WORK/known.jsonl"
head -8 "$WORK/in.jsonl" >>"$WORK/known.jsonl"
head -1 "$WORK/known.jsonl" >"$WORK/code.jsonl"
echo '{"id": "f", "instruction": "Write a Python function add(a, b) that gives their sum.", "tests": ["assert add(1, 2) == 3"]}' >>"$WORK/code.jsonl"

pairs() { # NAME FILE flags
    name=$1 file=$2
    shift 2
    "$STE" select "$WORK/$name" --recipe "$WORK/tiny.yaml" --set pair.kinds=corrupt=1,verified=1 --set pair.system= \
        --set "instructions.files=$file" "$@" >/dev/null || return 1
    ${BEFORE:-} "$STE" pair "$WORK/$name" >/dev/null
}
killed() { # COMMAND: in the middle of it, and it is gone when this returns
    "$@" &
    until [ -s "$WORK/killed/run.db-wal" ] || ! kill -0 $!; do sleep 0.1; done
    sleep 1
    kill -9 $!
    wait $!
}
pairs one "$WORK/known.jsonl" || fail "pairs of known truth: $?"
"$STE" report "$WORK/one" >"$WORK/report" || fail "report"
grep -q 'of them damaged by a rule' "$WORK/report" || fail "the rules are not counted: $(cat "$WORK/report")"
"$STE" export "$WORK/one" --what pairs --out "$WORK/out.jsonl" || fail "export"
python3 - "$WORK/out.jsonl" <<'PY' || fail "pairs of another kind than their truth"
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
assert rows and all(r["chosen"] != r["rejected"] for r in rows)
assert {(r["kind"], r["label_source"]) for r in rows} <= {("corrupt", "constructed"), ("verified", "verified")}, rows
PY
pairs two "$WORK/known.jsonl" --set engine.batch=3 || fail "another batch: $?"
[ "$(dump_hash "$WORK/one")" = "$(dump_hash "$WORK/two")" ] || fail "another batch makes other pairs"
(BEFORE=killed pairs killed "$WORK/known.jsonl") 2>/dev/null || true
pairs killed "$WORK/known.jsonl" || fail "after a kill: $?"
[ "$(dump_hash "$WORK/one")" = "$(dump_hash "$WORK/killed")" ] || fail "a killed run makes other pairs"

# Code: nowhere, where there is no sandbox; in it, where there is one.
(PATH=$(dirname "$(command -v sha256sum)") && mkdir "$WORK/bin" && ln -s "$(command -v setpriv)" "$WORK/bin/" && PATH=$WORK/bin &&
    pairs none "$WORK/code.jsonl" --set pair.kinds=verified=1 --set pair.sandbox=bwrap) 2>"$WORK/err" && fail "code without a sandbox"
grep -q 'pair.sandbox: bwrap does not work here' "$WORK/err" || fail "without a sandbox: $(cat "$WORK/err")"
bwrap --unshare-all --ro-bind / / true 2>/dev/null || { echo "no sandbox here: code is not run"; exit 0; }
pairs code "$WORK/code.jsonl" --set pair.kinds=verified=1 --set pair.sandbox=bwrap --set pair.max_tokens=200 --set split.dev=0 --set split.test=0 || [ $? = 3 ] || fail "code in a sandbox"
"$STE" report "$WORK/code" | grep -q 'runs of code in the sandbox' || fail "no code was run: $("$STE" report "$WORK/code")"
