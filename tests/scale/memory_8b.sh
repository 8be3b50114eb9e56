#!/usr/bin/env bash
# What a model of 8B in 4 bits takes: judging in under 7 GB of memory, a step of LoRA training on 2,048 tokens in under
# 10 GB. Weights are random, of Llama 8B's shape; they lie in a temporary folder (5 GB). A step takes half an hour on two
# cores. Usage: memory_8b.sh STE PYTHON [TOKENIZER.gguf]
set -eu
ste=$1 python=$2
tokenizer=${3:-${STE_HOME:-$HOME/.cache/ste}/models/qwen2.5-coder-0.5b-instruct.gguf}
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
[ "$(df --output=avail -k "$tmp" | tail -1)" -gt 8000000 ] || { echo "8 GB of room are needed in $tmp"; exit 77; }
"$python" "$here/random_llama.py" "$tmp/8b.gguf" "$tokenizer"
ls -l "$tmp/8b.gguf" | awk '{printf "the file: %.2f GB\n", $5 / 1e9}'
export STE_CHAT_TEMPLATE=chatml-qwen2.5
"$python" - "$tmp" <<'P'
import json, random, sys
random.seed(1)
words = "the of a model answer judge better worse reads true false number list case".split()
text = lambda n: " ".join(random.choice(words) for _ in range(n))
with open(sys.argv[1] + "/pairs.jsonl", "w") as f:
    f.write(json.dumps({"prompt": text(300), "response_a": text(700), "response_b": text(700)}) + "\n")
with open(sys.argv[1] + "/examples.jsonl", "w") as f:
    f.write(json.dumps({"tokens": [random.randrange(1000, 40000) for _ in range(2048)], "n_prompt": 1024}) + "\n")
P
measure() { # WHAT GB COMMAND...: the peak of its resident memory
    what=$1 most=$2
    shift 2
    "$python" - "$what" "$most" "$@" <<'P'
import resource, subprocess, sys, time
what, most, command = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
began = time.time()
rc = subprocess.run(command).returncode
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6 * 1.024
print(f"{what}: {peak:.2f} GB at most, {time.time() - began:.0f} s; to be under {most:g} GB", flush=True)
sys.exit(rc or peak >= most)
P
}
measure judging 7 "$ste" judge --judge "$tmp/8b.gguf" --in "$tmp/pairs.jsonl" --out "$tmp/verdicts.jsonl" --no-cache
measure training 10 "$ste" sft --model "$tmp/8b.gguf" --in "$tmp/examples.jsonl" --out "$tmp/adapter" --steps 1 \
    --batch 1 --micro-tokens 2048 ${ACTIVATIONS:+--activations $ACTIVATIONS}
