# Shared by the scripts that run a real vLLM on a CPU: lib_servers.sh, the model's folder, and serve. The venv has vLLM
# 0.32 for CPUs, too (README.md).
. "$(dirname "$0")/lib_servers.sh"
export VLLM_NO_USAGE_STATS=1
make_folder
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
