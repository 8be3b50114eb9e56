#!/usr/bin/env bash
# The whole loop on a random model of each architecture: kill -9 at random moments and the same command again, another
# number of threads and batch limit, each instruction set: the same store and adapters. Base and adapter merged: the same
# log-probabilities within 1e-3, in training's pass; what generates rounds keys and values to f16, to either side, so its
# logits are the same within 1e-3 of the largest. KILLS=N (default 3), SEED=N.
. "$(dirname "$0")/lib_tiny.sh"
cd "$dir" || exit 1
export STE_LOG=quiet
KILLS=${KILLS:-3}
RANDOM=${SEED:-7}
archs=$(sed -n '/^ARCHITECTURES = {/,/^}/s/^    "\([^"]*\)".*/\1/p' "$src/tests/e2e/lib_tiny.py")
# shellcheck disable=SC2086
python3 "$src/tests/e2e/lib_tiny.py" "$dir" $archs || fail "no tiny models"
rows Question 20 >labelled.jsonl
python3 - <<'P'
import json, random
random.seed(3)
ids = [random.randrange(255) for _ in range(300)]
json.dump({"tokens": ids}, open("ids.jsonl", "w"))
with open("next.jsonl", "w") as f:  # one token each: a step's loss is its log-probability
    f.writelines(json.dumps({"tokens": ids[: n + 1], "n_prompt": n}) + "\n" for n in range(5, 300, 5))
P
few=(--set select.limit=8 --set train.max_steps=1) # on the slow instruction sets
# without dev pairs, which might choose the first step, whose rate is 0
recipe 1 "max_steps: 6, checkpoint_every: 1" | sed "s|dev: 0.2,|dev: 0,|" >tiny.yaml

run() { # NAME FLAGS...
    local name=$1
    shift
    "$ste" run tiny.yaml --run "$name" --set models.seed="$dir/$arch.gguf" "$@" >"$name.txt" 2>err
}
logits() { # OUT MODEL FLAGS...
    local out=$1 model=$2
    shift 2
    "$ste" logits --model "$model" --in ids.jsonl --out "$out" --activations f32 "$@" 2>err || fail "logits of $model: exit $?"
}
logprobs() { # OUT MODEL FLAGS...: of the 59 tokens of next.jsonl; a rate of 1e-30 changes no weight
    local out=$1 model=$2
    shift 2
    rm -rf nothing
    "$ste" sft --model "$model" --in next.jsonl --out nothing --log steps.jsonl --batch 1 --order file --lr 1e-30 --activations f32 "$@" >out 2>err || fail "losses of $model: exit $?"
    python3 -c 'import json, struct, sys; x = [json.loads(r)["loss"] for r in open("steps.jsonl")]; open(sys.argv[1], "wb").write(struct.pack("<59f", *x))' "$out" || fail "no losses"
}
same() { # NAME OTHER
    "$ste" dump "$1" | cmp - "$2.dump" || fail "$arch, $1: another store"
    diff -r "$2/adapters" "$1/adapters" || fail "$arch, $1: other adapters"
}
for arch in $archs; do
    began=$(date +%s%N)
    run "$arch" --threads 2 || fail "$arch: the run ended with $?"
    took=$((($(date +%s%N) - began) / 1000000))
    "$ste" dump "$arch" >"$arch.dump"
    grep -q '"table":"train_step"' "$arch.dump" && [ -s "$arch/adapters/iter-1/adapter.gguf" ] || fail "$arch: nothing was trained"
    "$ste" export "$arch" --what model --type F32 --out merged.gguf 2>err || fail "$arch: export: exit $?"
    logits both.bin "$arch.gguf" --adapter "$arch/adapters/iter-1"
    logits merged.bin merged.gguf
    near both.bin merged.bin 1e-3 of-largest
    logits base.bin "$arch.gguf"
    (near both.bin base.bin 1e-2 of-largest) >/dev/null 2>&1 && fail "$arch: the adapter changes nothing that could be seen"
    logprobs both.bin "$arch.gguf" --adapter "$arch/adapters/iter-1"
    logprobs merged.bin merged.gguf -r 1
    near both.bin merged.bin 1e-3
    for k in $(seq "$KILLS"); do
        "$ste" run tiny.yaml --run killed --set models.seed="$dir/$arch.gguf" >/dev/null 2>&1 &
        sleep "$(awk "BEGIN {print ($((RANDOM % took)) + 20) / 1000}")"
        kill -9 $! 2>/dev/null
        wait $! 2>/dev/null
    done
    run killed || fail "$arch: the last run ended with $?"
    same killed "$arch"
    run other --threads 1 --batch 7 || fail "$arch, one thread: the run ended with $?"
    same other "$arch"
    run few "${few[@]}" && "$ste" dump few >few.dump && grep -q '"table":"train_step"' few.dump || fail "$arch: few"
    for isa in avx512 avx-vnni avx2 portable; do
        if run "$isa" --isa "$isa" "${few[@]}"; then
            same "$isa" few
        else
            grep -q 'lacks the instruction set' err || fail "$arch, $isa"
        fi
    done
    rm -rf killed other few avx* portable
done
# what Hugging Face calls the layers of each
for name in phi3:self_attn.qkv_proj granite4:shared_mlp.input_linear gemma3-sees:model.language_model.layers.0.mlp.up_proj; do
    grep -qF "${name#*:}.lora_A" "${name%:*}/adapters/iter-1/adapter_model.safetensors" || fail "an adapter for ${name%:*} lacks ${name#*:}"
done
echo "tiny architectures: as they should be:" $archs
