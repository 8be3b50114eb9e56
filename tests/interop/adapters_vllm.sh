#!/usr/bin/env bash
# adapters_vllm.sh STE VENV: runs of two iterations whose answers and judges are all a real vLLM's, in float32, with the
# adapter of each iteration loaded there: trained by ste, with kill -9 of ste and of the server in the second iteration;
# then by trainers/trl/train.py under torchrun with two processes (VENV has TRL and PEFT too). What the server's adapter
# judges is what our engine judges with it. PARTS="own" or "trl": one of the two.
. "$(dirname "$0")/lib_vllm.sh"
export VLLM_ALLOW_RUNTIME_LORA_UPDATING=1
start() { serve --enable-lora --max-lora-rank 16 --max-cpu-loras 4; }
recipe() { # TRAIN
    cat <<YAML
models: {seed: $model, answer: "$name", modify: "$name", judge: "$name"}
prompts: {pack: direct}
instructions: {files: [builtin], limit: 60}
select: {limit: 12, max_chars: 400}
split: {dev: 0, test: 0.25}
pair: {kinds: {modify: 1, other: 1}, max_tokens: 48, system: Answer in one short sentence.}
check: {by: none}
judge: {samples: 2, orders: both}
filter: {rule: margin, trust_from: 100, balance: false}
train: {r: 8, lr: 0.001, max_steps: 4, batch: 4, $1}
engine: {activations: f32}
iterations: 2
YAML
}
look() { # RUN: every judgment of every iteration is vLLM's, under the adapter of the iteration before
    "$ste" report "$1" >"$work/report" 2>"$work/err" || fail "$1: no report"
    python3 "$src/tests/e2e/sums.py" "$1" || fail "$1: sums do not add up"
    python3 - "$1" <<'PY' || fail "$1: judged elsewhere"
import sqlite3, sys
d = sqlite3.connect(sys.argv[1] + "/run.db")
made = dict(d.execute("select iteration, adapter_hash from iteration"))
assert len(set(made.values())) == 2, made
for table, back in ("judgment", 1), ("evaluation", 0):
    rows = d.execute(f"select t.iteration, p.numerics, p.adapter_hash, count(*), count(distinct t.logprob_a) from {table} t join "
                     "provenance p on p.id = t.provenance group by 1, 2, 3").fetchall()
    assert [r[0] for r in rows] == list(range(back, 3)), rows
    assert all(r[1].startswith("vllm ") and r[2] == made.get(r[0] - back, "") for r in rows), (rows, made)
    print(f"{table}: " + ", ".join(f"iteration {r[0]}: {r[3]} with {r[2][:8] or 'the base'}" for r in rows))
PY
    [ "$(curl -s "http://127.0.0.1:$port/v1/models" | grep -o '"id":"ste-' | wc -l)" = 0 ] || fail "an adapter stays"
}
judged() { # RUN: adapters of both iterations, there and here
    head -8 "${PAIRS:-$src/../shared/data/preference/llmbar_half_a.jsonl}" |
        sed 's/"chosen"/"response_a"/; s/"rejected"/"response_b"/' >"$work/in.jsonl"
    for i in 1 2; do
        for base in "$name" $model; do
            "$ste" judge --judge "$1/adapters/iter-$i" --base "$base" --in "$work/in.jsonl" --out "$work/${base##*#}.jsonl" \
                --pack direct --no-cache --activations f32 2>"$work/err" || fail "iteration $i, $base: exit $?"
        done
        python3 - "$work/base.jsonl" "$work/$model.jsonl" $i <<'PY' || fail "iteration $i: other verdicts than the engine's"
import json, sys
a, b = [[json.loads(line) for line in open(f)] for f in sys.argv[1:3]]
worst = max(abs(x[o][k] - y[o][k]) for x, y in zip(a, b) for o in ("ab", "ba") for k in ("logprob_a", "logprob_b"))
print(f"adapter of iteration {sys.argv[3]}: log-probabilities of {2 * len(a)} judgments within {worst:.5f} of our engine's")
sys.exit(not a or worst > 0.02)
PY
    done
}

own() {
    "$ste" generate --model "$name" --adapter "$src/tests/interop" --chat Hi >/dev/null 2>"$work/err" && fail "a folder without an adapter was taken"
    from=$(date +%s)
    recipe "" >"$work/own.yaml"
    for seconds in 15 40; do
        "$ste" run "$work/own.yaml" --run "$work/own" >/dev/null 2>&1 &
        pid=$!
        sleep $seconds
        kill -9 $pid 2>/dev/null
        wait $pid 2>/dev/null
    done
    "$ste" run "$work/own.yaml" --run "$work/own" >"$work/out" 2>"$work/err" &
    pid=$!
    until [ -d "$work/own/adapters/iter-1" ]; do kill -0 $pid || break; sleep 0.2; done
    sleep 2
    kill -9 -- -$server # the server goes, in the evaluation of iteration 1 or in what comes after it
    start
    wait $pid || fail "our trainer: exit $?"
    grep -q "answers otherwise" "$work/err" && fail "$(cat "$work/err")"
    echo "our trainer, ste killed twice and vLLM once: $(($(date +%s) - from)) s"
    look "$work/own"
    judged "$work/own"
    "$ste" run "$work/own.yaml" --run "$work/rank" --set iterations=1 --set train.r=32 >/dev/null 2>"$work/err" && fail "a rank of 32 was taken"
    grep -q "is not taken at .*LoRA rank 32 is greater than max_lora_rank 16" "$work/err" || fail "what the server said is lost: $(cat "$work/err")"
}

trl() {
    from=$(date +%s)
    recipe "base: $folder, command: [$venv/bin/python, -m, torch.distributed.run, --standalone, --nproc-per-node, \"2\", $src/trainers/trl/train.py]" >"$work/trl.yaml"
    OMP_NUM_THREADS=1 "$ste" run "$work/trl.yaml" --run "$work/trl" >"$work/out" 2>"$work/err" || fail "torchrun: exit $?"
    grep -q "answers otherwise" "$work/err" && fail "$(cat "$work/err")"
    echo "torchrun with two processes: $(($(date +%s) - from)) s"
    look "$work/trl"
    judged "$work/trl"
}

start
for part in ${PARTS:-own trl}; do $part; done
echo "adapters on vLLM: as they should be"
