#!/usr/bin/env bash
# endpoint_vllm.sh STE VENV: a judge on a real vLLM beside the same file in ste's own engine, in float32. VENV has
# vLLM 0.32 for CPUs, transformers and gguf (README.md). Verdicts must be the same but where the margin is below 0.05;
# log-probabilities of labels within 0.01. Then a run with its answers and its first judge on that server.
set -u
ste=$(realpath "$1")
venv=$2
src=$(cd "$(dirname "$0")/../.." && pwd)
home=${STE_HOME:-$HOME/.cache/ste}
model=smollm2-135m-instruct
work=$(mktemp -d)
server=
trap '[ -n "$server" ] && kill -- -"$server" 2>/dev/null; rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; tail -5 "$work/err" "$work/server.log" 2>/dev/null; exit 1; }
export HF_HUB_OFFLINE=1 HF_HUB_DISABLE_PROGRESS_BARS=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY

folder=$home/interop/hf-$model
[ -f "$folder/model.safetensors" ] || "$venv/bin/python" - "$home/models" "$model.gguf" "$folder" 2>"$work/err" <<'PY' || fail "no folder of $model"
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
home, file, out = sys.argv[1:]
AutoModelForCausalLM.from_pretrained(home, gguf_file=file, dtype=torch.float32,
                                     quantization_config=GgufConfig(dequantize=True)).save_pretrained(out)
AutoTokenizer.from_pretrained(home, gguf_file=file).save_pretrained(out)
PY
port=$((20000 + RANDOM % 20000))
VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind OMP_NUM_THREADS=1 setsid "$venv/bin/python" -m \
    vllm.entrypoints.openai.api_server --model "$folder" --served-model-name base --dtype float32 --max-model-len 2048 \
    --max-num-seqs 16 --enforce-eager --generation-config vllm --host 127.0.0.1 --port $port >"$work/server.log" 2>&1 &
server=$!
for _ in $(seq 300); do
    curl -sf "http://127.0.0.1:$port/health" && break
    kill -0 $server 2>/dev/null || fail "vLLM ended"
    sleep 1
done
name=http://127.0.0.1:$port/v1#base

export STE_HOME=$home
for pack in direct small; do
    head -20 "${PAIRS:-$src/../shared/data/preference/llmbar_half_a.jsonl}" |
        sed 's/"chosen"/"response_a"/; s/"rejected"/"response_b"/' >"$work/in.jsonl"
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
