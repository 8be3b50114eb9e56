# Shared by the scripts that run a real vLLM on a CPU: sets ste, venv, src, home, model, work (removed at the end).
# The venv has vLLM 0.32 for CPUs, transformers and gguf (README.md).
set -u
ste=$(realpath "$1")
venv=$2
src=$(cd "$(dirname "$0")/../.." && pwd)
home=${STE_HOME:-$HOME/.cache/ste}
model=smollm2-135m-instruct
work=$(mktemp -d)
server=
trap '[ -n "$server" ] && kill -- -"$server" 2>/dev/null; rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; tail -n 5 "$work/err" "$work/server.log" 2>/dev/null; exit 1; }
export HF_HUB_OFFLINE=1 HF_HUB_DISABLE_PROGRESS_BARS=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 STE_HOME=$home
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY

folder=$home/interop/hf-$model # the model as a Hugging Face folder
[ -f "$folder/model.safetensors" ] || "$venv/bin/python" - "$home/models" "$model.gguf" "$folder" 2>"$work/err" <<'PY' || fail "no folder of $model"
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
home, file, out = sys.argv[1:]
AutoModelForCausalLM.from_pretrained(home, gguf_file=file, dtype=torch.float32,
                                     quantization_config=GgufConfig(dequantize=True)).save_pretrained(out)
AutoTokenizer.from_pretrained(home, gguf_file=file).save_pretrained(out)
PY
port=$((20000 + RANDOM % 20000))
name=http://127.0.0.1:$port/v1#base
serve() { # FLAG...: until it is up
    VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind OMP_NUM_THREADS=1 setsid "$venv/bin/python" -m \
        vllm.entrypoints.openai.api_server --model "$folder" --served-model-name base --dtype float32 --max-model-len 2048 \
        --max-num-seqs 16 --enforce-eager --generation-config vllm --host 127.0.0.1 --port $port "$@" >>"$work/server.log" 2>&1 &
    server=$!
    for _ in $(seq 300); do
        curl -sf "http://127.0.0.1:$port/health" && return
        kill -0 $server 2>/dev/null || fail "vLLM ended"
        sleep 1
    done
    fail "vLLM is not up"
}
