#!/usr/bin/env bash
# Another program trains (train.command): what it is given, what it leaves, and what may go wrong with it.
. "$(dirname "$0")/lib_tiny.sh"
cd "$dir" || exit 1
export STE_LOG=info

rows Question 40 >labelled.jsonl
recipe 2 "max_steps: 6, checkpoint_every: 100, epochs: 2" >own.yaml
recipe 2 "max_steps: 6, checkpoint_every: 2, epochs: 2, base: /some/where/hf, grace: 60, command: [python3, \"$src/tests/e2e/lib_trainer.py\"]" >tiny.yaml
STE_LOG=quiet "$ste" run own.yaml --run own >/dev/null 2>err || fail "a run of our own trainer: $?"
for step in select pair check judge-step filter; do
    "$ste" $step before --recipe tiny.yaml >/dev/null 2>err || fail "the step $step: $?"
done

run() { # NAME CODE FAULT [VARIABLE...]: goes on from the steps before
    local name=$1 code=$2 fault=$3 got=0
    shift 3
    [ -d "$name" ] || cp -r before "$name"
    env FAKE="$fault" "$@" "$ste" run tiny.yaml --run "$name" >out 2>err || got=$?
    [ "$got" = "$code" ] || fail "$name: exit $got, not $code"
}
says() { # PART
    grep -qE -- "$1" err || fail "it does not say: $1"
}
trained() { # NAME STEPS-OF-ITERATION-1
    local n
    n=$(sql "$1" "select group_concat(step || ':' || round(loss, 3), ' ') from (select * from train_step where iteration = 1 order by step)")
    [ "$n" = "('$2',)" ] || fail "$1: the steps are $n"
    n=$(sql "$1" "select count(*) from iteration where adapter_hash is not null and chosen_step = 6")
    [ "$n" = "(2,)" ] || fail "$1: there are $n adapters"
    [ -s "$1/adapters/iter-2/adapter.gguf" ] || fail "$1: no adapter"
}
six="1:2.0 2:1.0 3:0.667 4:0.5 5:0.4 6:0.333"

# ---- what our own trainer made, left by another program: the same adapters, and the same figures from there on
run copy 0 "" FAKE_ADAPTER="$dir/own/adapters"
trained copy "$six"
grep -qF "6 2.000->.411" out || fail "the report lacks the losses: $(cat out)"
for i in 1 2; do
    diff -r "own/adapters/iter-$i" "copy/adapters/iter-$i" || fail "another adapter than the one that was left"
done
figures="select group_concat(iteration || ':' || chosen_step || ':' || adapter_hash, ' ') from iteration"
[ "$(sql own "$figures")" = "$(sql copy "$figures")" ] || fail "other iterations than with our own trainer"
figures="select group_concat(iteration || ':' || suite || ':' || item || ':' || verdict || ':' || logprob_a, ' ') from (select * from evaluation order by id)"
[ "$(sql own "$figures")" = "$(sql copy "$figures")" ] || fail "other evaluations than with our own trainer"
python3 - <<'PY' || fail "the trainer was given something else"
import json, sqlite3, struct
own, db = sqlite3.connect("own/run.db"), sqlite3.connect("copy/run.db")
ids = lambda b: [int.from_bytes(b[i:i + 4], "little") for i in range(0, len(b), 4)]
for i in 1, 2:
    f = f"copy/training/iter-{i}/"
    rows = [json.loads(line) for line in open(f + "examples.jsonl")]
    want = [(ids(p) + ids(c), len(ids(p)) + n, w) for p, c, n, w in db.execute(
        "select p.tokens, e.completion, e.border, e.weight from example e join prompt p on p.id = e.prompt "
        "where e.iteration = ? order by e.position", (i,))]
    assert [(r["input_ids"], r["weight"]) for r in rows] == [(t, w) for t, _, w in want]
    assert all(r["labels"] == [-100] * n + t[n:] for r, (t, n, _) in zip(rows, want))
    job = json.load(open(f + "job.json"))
    assert {k: job[k] for k in ("base", "batch", "checkpoint_every", "lr", "max_grad_norm", "n_examples", "objective", "r", "resume",
                                "schedule", "steps", "warmup", "weight_decay")} == {
        "base": "/some/where/hf", "batch": 4, "checkpoint_every": 2, "lr": 0.001, "max_grad_norm": 1.0, "n_examples": len(rows),
        "objective": "sft", "r": 2, "resume": None, "schedule": "cosine", "steps": 6, "warmup": 1, "weight_decay": 0.0}, job
    assert job["model"].endswith("judge.gguf") and job["alpha"] == 32 and "q_proj" in job["targets"]
    # The batches are those of our own trainer: so many tokens, and so many with loss, in each step.
    batches = [json.loads(line) for line in open(f + "batches.jsonl")]
    tokens = [(b["step"], sum(len(rows[k]["input_ids"]) for k in b["rows"]), sum(sum(x != -100 for x in rows[k]["labels"]) for k in b["rows"])) for b in batches]
    ask = "select step, tokens, loss_tokens from train_step where iteration = ? order by step"
    assert tokens == own.execute(ask, (i,)).fetchall() == db.execute(ask, (i,)).fetchall(), tokens
    head = json.load(open(f + "start/adapter_config.json"))
    assert head["r"] == 2 and head["base_model_name_or_path"] == "/some/where/hf"
assert db.execute("select count(*) from provenance where sampling like '%\"trainer\":\"python3\"%'").fetchone() == (2,)
PY
run copy 0 unmarked # done: nothing is started
grep -h "inherits $dir" copy/training/iter-*/log && fail "the trainer inherits files that ste has open"
dpo=(--set train.objective=dpo --set iterations=1 --set split.dev=0)
"$ste" run tiny.yaml --run dpo "${dpo[@]}" >out 2>err || fail "preferences: $?"
python3 - <<'PY' || fail "other preferences than the store's"
import json, sqlite3
db = sqlite3.connect("dpo/run.db")
ids = lambda b: [int.from_bytes(b[i:i + 4], "little") for i in range(0, len(b), 4)]
want = [(ids(p) + ids(c)[:n], ids(c)[n:], ids(r)[n:], w) for p, c, n, r, w in db.execute(
    "select p.tokens, e.completion, e.border, e.rejected, e.weight from example e join prompt p on p.id = e.prompt order by e.position")]
rows = [json.loads(line) for line in open("dpo/training/iter-1/examples.jsonl")]
assert want and [(r["prompt_ids"], r["chosen_ids"], r["rejected_ids"], r["weight"]) for r in rows] == want
job = json.load(open("dpo/training/iter-1/job.json"))
assert (job["objective"], job["beta"], job["nll"]) == ("dpo", 0.1, 1.5), job
PY

# ---- what it leaves is no adapter, or not all of one: an error, and the same command trains on
run unmarked 1 unmarked
says 'the trainer ended with exit code 0 after step 6 of 6 and left no complete.json .*unmarked/training/iter-1/log.*last words: begins at 0'
run unmarked 0 ""
trained unmarked "$six"
grep -q '"resume": "checkpoint-6"' unmarked/training/iter-1/job.json || fail "it did not go on from the last checkpoint"
run half 1 half
says 'exit code 0 after step 3 of 6 and its complete.json says 3 steps: the adapter is half trained'
run half 0 ""
trained half "$six"
run exit 1 exit
says 'exit code 1 after step 0 of 6 .*RuntimeError: no such device'
grep -q "$(printf '\033')" err && fail "a control character gets through"
run late 1 late
says 'exit code 1 after step 6 of 6'
run error 1 error
says 'last words: the base is not there$'
run killed 1 killed
says 'was ended by signal 9 after step 3 of 6'
run killed 0 ""
trained killed "$six"
grep -q 'begins at 2' killed/training/iter-1/log || fail "it did not go on from step 2: $(cat killed/training/iter-1/log)"
for fault in nan shape torn rank; do
    run $fault 1 $fault
    says "what the trainer left is of no use \(remove $fault/training/iter-1 to train again\): $fault/training/iter-1/adapter"
    [ "$(sql $fault 'select count(*) from checkpoint')" = "(0,)" ] || fail "$fault: a checkpoint"
    run $fault 1 ""
    rm -r $fault/training
    run $fault 0 ""
    trained $fault "$six"
done
run garbage 0 garbage
says '7 lines of .*garbage/training/iter-1/progress.jsonl tell of no step and were passed over, the first of them line 1'
trained garbage "2:1.0 3:0.667 4:0.5 5:0.4 6:0.333" # the first one's line begins with garbage
refuse 1 'train.command: no-such-program does not start' run tiny.yaml --run none --set 'train.command=[no-such-program, x]'
refuse 2 'train.command: ' run own.yaml --run copy
sed -i 's/"lr": 0.001/"lr": 0.002/' unmarked/training/iter-2/job.json
sql unmarked "update iteration set adapter_hash = null where iteration = 2" >/dev/null
run unmarked 1 ""
says 'job.json has another "lr" than this training: remove the folder unmarked/training/iter-2 to begin anew'

# ---- Ctrl-C, and kill -9
log=training/iter-1/log
begin() { # NAME FAULT [VARIABLE...]: in the background, until a step is done
    local name=$1 fault=$2
    shift 2
    cp -r before "$name"
    env FAKE="$fault" FAKE_STEP=0.3 "$@" "$ste" run tiny.yaml --run "$name" --set train.grace="${GRACE:-60}" >out 2>err &
    pid=$!
    for _ in $(seq 400); do [ -s "$name/training/iter-1/progress.jsonl" ] && return; sleep 0.05; done
    fail "$name: no trainer"
}
alive() { # NAME: some process has the log as its output
    for p in /proc/[0-9]*; do [ "$p/fd/1" -ef "$1/$log" ] && return 0; done
    return 1
}
ended() { # CODE
    wait $pid
    local got=$?
    [ $got = "$1" ] || fail "exit $got, not $1"
}
begin stopped ""
kill -TERM $pid
ended 75
says 'the same command goes on from here'
alive stopped && fail "the trainer lives on"
kept=$(sed -n 's/.*"checkpoint": "checkpoint-\([0-9]*\)".*/\1/p' stopped/training/iter-1/progress.jsonl | tail -1)
[ -n "$kept" ] || fail "the trainer kept no checkpoint"
run stopped 0 ""
trained stopped "$six"
grep -q "begins at $kept" stopped/$log || fail "it did not go on from step $kept: $(cat stopped/$log)"

GRACE=1 begin deaf deaf FAKE_STEP=20
kill -INT $pid
ended 130
says 'did not stop within 1 s .* killed'
alive deaf && fail "a trainer that does not listen lives on"

begin left ""
kill -9 $pid
wait $pid 2>/dev/null
alive left || fail "the trainer does not outlive ste"
run left 0 ""
says 'a trainer that an earlier command started is at work in left/training/iter-1'
trained left "$six"
[ "$(grep -c begins left/$log)" = 1 ] || fail "a second trainer was started"

begin left-stopped "" FAKE_STEP=1
kill -9 $pid
wait $pid 2>/dev/null
"$ste" run tiny.yaml --run left-stopped >out 2>err &
pid=$!
for _ in $(seq 400); do grep -q 'an earlier command' err && break; sleep 0.05; done
kill -TERM $pid
ended 75
alive left-stopped && fail "the trainer of an earlier command lives on"
run left-stopped 0 ""
trained left-stopped "$six"

run session 0 session FAKE_STEP=0.4
trained session "$six"
echo "trainer: as it should be"
