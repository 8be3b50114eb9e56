#!/usr/bin/env bash
# adapters_vllm.sh STE VENV: runs of two iterations whose answers and judges are all a real vLLM's, in float32, with the
# adapter of each iteration loaded there: trained by ste, with kill -9 of ste and of the server in the second iteration;
# then by trainers/trl/train.py under torchrun with two processes (VENV has TRL and PEFT too). What the server's adapter
# judges is what our engine judges with it. PARTS="own" or "trl": one of the two.
. "$(dirname "$0")/lib_vllm.sh"
export VLLM_ALLOW_RUNTIME_LORA_UPDATING=1
start() { serve --enable-lora --max-lora-rank 16 --max-cpu-loras 4; }
held() { # RUN
    look "$1" vllm
    [ "$(curl -s "http://127.0.0.1:$port/v1/models" | grep -o '"id":"ste-' | wc -l)" = 0 ] || fail "an adapter stays"
    judged "$1" "$name" 0.02
}

own() {
    "$ste" generate --model "$name" --adapter "$src/tests/interop" --chat Hi >/dev/null 2>"$work/err" && fail "a folder without an adapter was taken"
    from=$(date +%s)
    recipe "$name" "" >"$work/own.yaml"
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
    held "$work/own"
    "$ste" run "$work/own.yaml" --run "$work/rank" --set iterations=1 --set train.r=32 >/dev/null 2>"$work/err" && fail "a rank of 32 was taken"
    grep -q "is not taken at .*LoRA rank 32 is greater than max_lora_rank 16" "$work/err" || fail "what the server said is lost: $(cat "$work/err")"
}

trl() {
    from=$(date +%s)
    recipe "$name" "$(torchrun 2)" >"$work/trl.yaml"
    OMP_NUM_THREADS=1 "$ste" run "$work/trl.yaml" --run "$work/trl" >"$work/out" 2>"$work/err" || fail "torchrun: exit $?"
    grep -q "answers otherwise" "$work/err" && fail "$(cat "$work/err")"
    echo "torchrun with two processes: $(($(date +%s) - from)) s"
    held "$work/trl"
}

start
for part in ${PARTS:-own trl}; do $part; done
echo "adapters on vLLM: as they should be"
