# Shared by the tests that run the loop: a small run on the smallest model. Sets STE, SRC, WORK (removed at the end).
set -eu
STE=$1
SRC=$2
MODEL=${STE_HOME:-$HOME/.cache/ste}/models/smollm2-135m-instruct.gguf
[ -f "$MODEL" ] || { echo "skipped: $MODEL is not there (ste pull smollm2-135m-instruct)"; exit 77; }
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
export STE_LOG=quiet

fail() { echo "FAILED: $*" >&2; exit 1; }

# 28 of the built-in instructions, over all categories.
awk 'NR % 17 == 5' "$SRC/data/instructions.jsonl" | head -28 >"$WORK/in.jsonl"
cat >"$WORK/tiny.yaml" <<YAML
models: {seed: smollm2-135m-instruct}
prompts: {pack: direct}
instructions: {files: ["$WORK/in.jsonl"]}
select: {max_chars: 600}
split: {dev: 0.15, test: 0.2}
pair: {system: Answer in one short sentence., max_tokens: 64, kinds: {modify: 2, other: 1, weaker: 1, sampled: 1, refuse: 1, comply: 1}}
judge: {samples: 6, orders: both, temperature: 1.5}
filter: {per_pair: order}
train: {r: 4, lr: 0.001, max_steps: 4, epochs: 4, warmup: 1, batch: 3, checkpoint_every: 2}
iterations: 2
YAML

dump_hash() { "$STE" dump "$1" | sha256sum | cut -c1-64; }
adapters_hash() { (cd "$1/adapters" && find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-64); }
