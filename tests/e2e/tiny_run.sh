#!/usr/bin/env bash
# Whole runs of the loop on a model of a few kilobytes: the same for every instruction set, number of threads and batch
# limit; what it trains on comes out of its export; evaluation files of one name; what ends a run; an adapter in a role.
. "$(dirname "$0")/lib_tiny.sh"
cd "$dir" || exit 1
export STE_LOG=quiet

rows Question 40 >labelled.jsonl
recipe 2 "max_steps: 6, checkpoint_every: 2" >tiny.yaml
run() { # NAME FLAGS...
    local name=$1
    shift
    "$ste" run tiny.yaml --run "$name" "$@" >"$name.txt" 2>err || fail "$name: the run ended with $?"
}
same() { # NAME [OTHER]: as the run OTHER (a)
    local other=${2:-a}
    "$ste" dump "$1" | cmp - "$other.dump" || fail "$1: another store than $other"
    diff -r "$other/adapters" "$1/adapters" || fail "$1: other adapters than $other"
}

run a --threads 2
"$ste" dump a >a.dump
grep -q '"table":"example"' a.dump && [ -s a/adapters/iter-2/adapter_model.safetensors ] || fail "nothing was trained: $(cat a.txt)"
work=$(sql a 'select * from work')
run a
[ "$(sql a 'select * from work')" = "$work" ] || fail "running again: something was done twice"
same a

# ---- what changes the speed only
run batch-7 --threads 1 --batch 7
same batch-7
few=(--set select.limit=12 --set iterations=1 --set train.max_steps=2)
run few "${few[@]}"
"$ste" dump few >few.dump
grep -q '"table":"train_step"' few.dump || fail "few: nothing was trained"
tried=0
for isa in avx512 avx-vnni avx2 portable; do
    if "$ste" run tiny.yaml --run "$isa" --isa "$isa" "${few[@]}" >/dev/null 2>err; then
        same "$isa" few
        tried=$((tried + 1))
    else
        grep -q 'lacks the instruction set' err || fail "$isa"
    fi
done
[ "$tried" -gt 0 ] || fail "no instruction set could be forced"

# ---- what is exported is what was trained: the ids, and by them the loss of the first step to the last bit
"$ste" export a --what sft --iteration 1 --out sft.out || fail "export"
python3 - <<'PY' || fail "the export has other tokens than the store"
import json, sqlite3
db = sqlite3.connect("a/run.db")
ids = lambda b: [int.from_bytes(b[i:i + 4], "little") for i in range(0, len(b), 4)]
want = [(ids(p) + ids(c)[:n], ids(c)[n:], w) for p, c, n, w in db.execute(
    "select p.tokens, e.completion, e.border, e.weight from example e join prompt p on p.id = e.prompt "
    "where e.iteration = 1 order by e.position")]
got = [(r["prompt_ids"], r["completion_ids"], r["weight"]) for r in map(json.loads, open("sft.out"))]
assert want and got == want
PY
"$ste" sft --model judge.gguf --in sft.out --out sft.lora --order file --steps 1 --batch 4 --r 2 --log sft.log >/dev/null 2>err ||
    fail "sft of what is exported: exit $?"
python3 - <<'PY' || fail "sft does not see what the loop was trained on"
import json, sqlite3
step = json.loads(open("sft.log").readline())
want = sqlite3.connect("a/run.db").execute("select loss, loss_tokens from train_step where iteration = 1 and step = 1").fetchone()
assert (step["loss"], step["loss_tokens"]) == want, (step, want)
PY

# ---- preferences: every row is one, and the command that the export names makes the loop's adapter of it
run dpo --set train.objective=dpo --set iterations=1 --set split.dev=0 --set train.max_steps=12
STE_LOG=info "$ste" export dpo --what preferences --out dpo.out 2>err || fail "export of preferences: exit $?"
command=$(sed -n 's/^as the run trains them: ste //p' err)
[[ $command == dpo* ]] || fail "the export names no command: $(cat err)"
# shellcheck disable=SC2086
"$ste" ${command/--out DIR/--out dpo.lora} --micro-tokens 64 >/dev/null 2>err || fail "ste $command"
diff -r dpo.lora dpo/adapters/iter-1 || fail "another adapter: ste $command"
python3 - <<'PY' || fail "the export has other preferences than the store"
import json, sqlite3
db = sqlite3.connect("dpo/run.db")
ids = lambda b: [int.from_bytes(b[i:i + 4], "little") for i in range(0, len(b), 4)]
want = [(ids(p) + ids(c)[:n], ids(c)[n:], ids(r)[n:]) for p, c, n, r in db.execute(
    "select p.tokens, e.completion, e.border, e.rejected from example e join prompt p on p.id = e.prompt order by e.position")]
rows = [json.loads(line) for line in open("dpo.out")]
assert want and [(r["prompt_ids"], r["chosen_ids"], r["rejected_ids"]) for r in rows] == want
assert all(r["chosen"] != r["rejected"] and r["prompt"] for r in rows)
PY
refuse 2 'trains no preferences' export a --what preferences
sed 's/"prompt_ids"/"other"/' dpo.out >bad.out
refuse 1 'bad.out:1' dpo --model judge.gguf --in bad.out --out bad.lora
user() { echo "{\"role\": \"user\", \"content\": \"$1\"}, {\"role\": \"assistant\", \"content\": \"$1\"}"; }
echo "{\"chosen\": [$(user a)], \"rejected\": [$(user b)]}" >bad.out
refuse 1 'differ before their last message' dpo --model judge.gguf --in bad.out --out bad.lora

# ---- a reward model: each pair that the filter keeps, once; the run is a judge that gives the scores it was evaluated by
mkdir r
head -5 labelled.jsonl | sed 's/Question/Riddle/' >r/test.jsonl
reward=(--set train.objective=reward --set iterations=1 --set "eval.files=[$dir/r/test.jsonl]")
run reward "${reward[@]}" --threads 2
"$ste" dump reward >reward.dump
run reward-7 "${reward[@]}" --threads 1 --batch 7
same reward-7 reward
for i in $(seq 12); do
    "$ste" run tiny.yaml --run killed "${reward[@]}" >/dev/null 2>&1 &
    sleep "0.$((RANDOM % 5))$((RANDOM % 10))"
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
done
run killed "${reward[@]}"
same killed reward
"$ste" export reward --what preferences --out reward.out 2>err && "$ste" export reward --what pairs --out reward.pairs 2>err ||
    fail "export of a reward model's run: exit $?"
"$ste" eval --judge reward --data r/test.jsonl --outcomes reward.rows >/dev/null 2>err || fail "a run's reward model as a judge: exit $?"
python3 - <<'PY' || fail "the reward model is of other pairs, or scores otherwise than in its run"
import json, math, sqlite3
read = lambda f: [json.loads(line) for line in open(f)]
pairs = {(r["chosen"], r["rejected"]) for r in read("reward.pairs") if r["split"] == "train"}
got = [(r["chosen"], r["rejected"]) for r in read("reward.out")]
assert got and len(set(got)) == len(got) == len(pairs), (len(got), len(pairs))
assert all(any(a.startswith(x) and b.startswith(y) for x, y in pairs) for a, b in got), got[0]
db = sqlite3.connect("reward/run.db")
assert abs(db.execute("select loss from train_step where step = 1").fetchone()[0] - math.log(2)) < 1e-6
there = db.execute("select item, winner, logprob_a, logprob_b from evaluation where suite = 'eval:test' and iteration = 1").fetchall()
here = {r["id"]: r for r in read("reward.rows")}
assert len(there) == 10 and len({x[2] for x in there}) > 2
for item, winner, a, b in there:
    row = here[item]["ab" if winner == "A" else "ba"]
    assert (row["logprob_a"], row["logprob_b"]) == (a, b), (item, winner, row, a, b)
PY
run again "${reward[@]}" --set "train.adapter=$dir/reward" --set train.max_steps=1 --set train.warmup=0
[ "$(sql again 'select loss < 0.69 from train_step where step = 1')" = "(1,)" ] || fail "it does not go on from a reward model"
refuse 2 'is no reward model' run tiny.yaml --run no "${reward[@]}" --set "train.adapter=$dir/a"
refuse 2 'writes nothing' run tiny.yaml --run no --set "models.judge=$dir/reward"
refuse 2 'set iterations: 1' run tiny.yaml --run no --set train.objective=reward
refuse 2 'contract has no reward models' run tiny.yaml --run no "${reward[@]}" --set train.command=x

# ---- evaluation files: two of one name are two suites, scored in every iteration; another content is refused
mkdir x y
head -3 labelled.jsonl | sed 's/Question/Riddle/' >x/test.jsonl
sed -n '4,9p' labelled.jsonl | sed 's/Question/Riddle/' >y/test.jsonl
run files --set "eval.files=[$dir/x/test.jsonl, $dir/y/test.jsonl]"
for i in 0 1 2; do
    for f in x/test:6 y/test:12; do
        n=$(sql files "select count(*) from evaluation where suite = 'eval:${f%:*}' and iteration = $i")
        [ "$n" = "(${f#*:},)" ] || fail "iteration $i of ${f%:*} has $n verdicts, not ${f#*:}"
    done
done
grep -q 'x/test' files.txt && grep -q 'y/test' files.txt || fail "the report lacks a file: $(cat files.txt)"
sed -i 1d y/test.jsonl
refuse 2 'y/test.jsonl is not the file' run tiny.yaml --run files --set "eval.files=[$dir/x/test.jsonl, $dir/y/test.jsonl]" --set iterations=3

# ---- what ends a run ends it for `ste iterate`, too
run gain --set stop.min_gain=1 --set train.lr=1e-9 --set iterations=3
grep -q 'no gain' gain.txt || fail "the report does not say why it ended: $(cat gain.txt)"
[ "$(sql gain 'select count(*) from iteration')" = "(1,)" ] || fail "stop.min_gain does not end a run"
"$ste" dump gain >gain.dump
for i in "" "--iteration 2"; do
    # shellcheck disable=SC2086
    STE_LOG=info "$ste" iterate gain $i >/dev/null 2>err || fail "iterate of a run that has ended: exit $?"
    grep -q 'nothing is left to do: stopped after iteration 1: no gain' err || fail "iterate does not say that the run has ended"
done
"$ste" dump gain | cmp - gain.dump || fail "iterate goes on behind the end"
run drift --set stop.drift=0.5
[ "$(sql drift "select count(*) from iteration where iteration = 2 and stop like 'drift: %' and adapter_hash is null")" = "(1,)" ] ||
    fail "stop.drift does not end a run before its training"

# ---- an adapter that is given for a role is the run's as its model is
role() { "$ste" "$1" role --recipe tiny.yaml --set "models.judge=$dir/a:1" --set iterations=1 >/dev/null 2>err; }
for step in select pair check judge-step; do role $step || fail "$step: exit $?"; done
"$ste" dump role >role.dump
sql role "delete from judgment where id in (select id from judgment limit 20)" >/dev/null
role judge-step || fail "the same adapter: exit $?"
"$ste" dump role | cmp - role.dump || fail "judged again, it is another store"
sql role "delete from judgment where id in (select id from judgment limit 20)" >/dev/null
mv a/adapters/iter-1 kept
cp -r a/adapters/iter-2 a/adapters/iter-1
role judge-step && fail "another adapter in the place of the old one is taken"
grep -q "the adapter $dir/a:1 is another one than when the run in role began" err || fail "another adapter is not named"
rm -r a/adapters/iter-1
mv kept a/adapters/iter-1
role judge-step || fail "the old adapter again: exit $?"
"$ste" dump role | cmp - role.dump || fail "with the old adapter again it is another store"
echo "tiny runs: as they should be"
