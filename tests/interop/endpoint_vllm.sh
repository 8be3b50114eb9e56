#!/usr/bin/env bash
# endpoint_vllm.sh STE VENV [PAIRS]: a judge on a real vLLM beside the same file in ste's own engine, in float32, on PAIRS
# pairs (default 20) at once (pack direct), and 20 with reasoning (pack small). Verdicts must be the same but where the margin is
# below 0.05; log-probabilities of labels within 0.01. Then a run with its answers and its first judge on that server, which
# takes no adapters.
. "$(dirname "$0")/lib_vllm.sh"
serve

for case in "direct ${JUDGED:-20}" "small 20"; do
    pack=${case% *}
    pairs "${case#* }" >"$work/in.jsonl"
    for judge in "$name" $model; do
        "$ste" judge --judge "$judge" --in "$work/in.jsonl" --out "$work/${judge##*[#]}.jsonl" --pack $pack --no-cache \
            --activations f32 2>"$work/err" || fail "$pack, $judge: exit $?"
    done
    grep -q warning "$work/err" && fail "$pack: $(cat "$work/err")"
    python3 - $pack "$work/base.jsonl" "$work/$model.jsonl" <<'PY' || fail "$pack: other verdicts than the engine's"
import json, sys
pack, *files = sys.argv[1:]
a, b = [[json.loads(line) for line in open(f)] for f in files]
worst, differ, same_text, n = 0, 0, 0, 0
for x, y in zip(a, b):
    for order in "ab", "ba":
        x_, y_ = x[order], y[order]
        n += 1
        same_text += x_["reasoning"] == y_["reasoning"]
        if x_["reasoning"] != y_["reasoning"] or x_["logprob_a"] is None:
            continue  # greedy text parts where two tokens are as likely to the last digits
        worst = max(worst, *(abs(x_[k] - y_[k]) for k in ("logprob_a", "logprob_b")))
        margin = abs(y_["logprob_a"] - y_["logprob_b"])
        differ += x_["verdict"] != y_["verdict"] and margin >= 0.05
print(f"{pack}: {n} judgments, {same_text} with the same reasoning; log-probabilities within {worst:.5f}, "
      f"{differ} other verdicts with a margin of 0.05 or more")
sys.exit(worst > 0.01 or differ > 0 or same_text < 0.8 * n or n < 40)
PY
done

cat >"$work/run.yaml" <<YAML
models: {seed: $model, answer: "$name", modify: "$name", judge: "$name"}
prompts: {pack: direct}
instructions: {files: [builtin], limit: 60}
select: {limit: 12, max_chars: 400}
split: {dev: 0.1, test: 0.2, dev_pairs: 0}
pair: {kinds: {modify: 1, other: 1}, max_tokens: 48, system: Answer in one short sentence.}
check: {by: none}
judge: {samples: 3, orders: both, temperature: 1.5}
filter: {per_pair: order, balance: false}
train: {r: 4, lr: 0.001, max_steps: 3, batch: 3}
iterations: 2
YAML
from=$(date +%s)
for _ in 1 2; do
    "$ste" run "$work/run.yaml" --run "$work/run" >/dev/null 2>&1 &
    pid=$!
    sleep 20
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
"$ste" run "$work/run.yaml" --run "$work/run" >"$work/out" 2>"$work/err" || fail "the run: exit $?"
"$ste" dump "$work/run" >"$work/dump"
grep -q '"table":"example"' "$work/dump" && grep -q "vllm .*labels by token ids" "$work/dump" || fail "nothing was trained"
echo "a run of two iterations, killed twice: $(($(date +%s) - from)) s"
echo "vLLM: as it should be"
