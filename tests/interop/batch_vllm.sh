#!/usr/bin/env bash
# batch_vllm.sh STE VENV: batch files through a real vLLM offline (python -m vllm.entrypoints.openai.run_batch), ten pairs
# in one round of pack `direct` and two of `small`. Every request has its result, and the reasoning is that of ste's own
# engine in float32; PACKS names fewer packs.
. "$(dirname "$0")/lib_vllm.sh"
cd "$work" || exit 1
pairs 10 >in.jsonl
printf 'url: http://localhost:8000/v1\nmodel: base\napi: vllm\nprice: {input: 0.15, cached: 0.075, output: 0.6}\n' >base.yaml

batch() { # IN OUT
    VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind OMP_NUM_THREADS=1 "$venv/bin/python" -m \
        vllm.entrypoints.openai.run_batch -i "$1" -o "$2" --model "$folder" --served-model-name base --dtype float32 \
        --max-model-len 2048 --max-num-seqs 16 --enforce-eager --generation-config vllm >>server.log 2>&1 ||
        fail "vLLM: exit $?"
}
judge() { "$ste" judge --judge base.yaml --in in.jsonl --out "$pack.jsonl" --pack $pack --no-cache "$@" 2>err || fail "$pack $*: exit $?"; }

for pack in ${PACKS:-direct small}; do
    judge --dry-run
    judge --batch-out one.jsonl
    batch one.jsonl one.out
    if [ $pack = small ]; then
        judge --batch-in one.out --batch-out two.jsonl
        [ -s two.jsonl ] || fail "no second round"
        batch two.jsonl two.out
        judge --batch-in one.out two.out
    else
        judge --batch-in one.out
    fi
    cat err
    "$ste" judge --judge $model --in in.jsonl --out engine.jsonl --pack $pack --no-cache --activations f32 2>err ||
        fail "$pack, the engine: exit $?"
    python3 - $pack $pack.jsonl engine.jsonl <<'PY' || fail "$pack: not what was written"
import json, sys
pack, *files = sys.argv[1:]
a, b = [[json.loads(line) for line in open(f)] for f in files]
orders = [(x[o], y[o]) for x, y in zip(a, b) for o in ("ab", "ba")]
plain = lambda j: (j["reasoning"] or "").removesuffix("Verdict:").rstrip()  # the stop, which a reply may leave out
same = sum(plain(x) == plain(y) for x, y in orders)
reasons = {r: sum(x["reason"] == r for x, _ in orders) for r in sorted({x["reason"] for x, _ in orders})}
print(f"{pack}: {len(orders)} judgments by batch files, {same} with the engine's reasoning; "
      f"{sum(x['logprob_a'] is not None for x, _ in orders)} with log-probabilities of a label; reasons {reasons}")
sys.exit(len(orders) < 20 or "transport" in reasons or (pack == "small" and same < 0.8 * len(orders)))
PY
done
echo "vLLM's batches: as they should be"
