#!/usr/bin/env bash
# The whole loop on a random model of each architecture: kill -9 at random moments and the same command again, another
# number of threads and batch limit, each instruction set: the same store and adapters. Merged, base and adapter have the
# same logits within 1e-3. KILLS=N (default 3), SEED=N.
. "$(dirname "$0")/lib_tiny.sh"
cd "$dir" || exit 1
export STE_LOG=quiet
KILLS=${KILLS:-3}
RANDOM=${SEED:-7}
archs=$(sed -n '/^ARCHITECTURES = {/,/^}/s/^    "\([^"]*\)".*/\1/p' "$src/tests/e2e/lib_tiny.py")
# shellcheck disable=SC2086
python3 "$src/tests/e2e/lib_tiny.py" "$dir" $archs || fail "no tiny models"
rows Question 20 >labelled.jsonl
python3 -c 'import json, random; random.seed(3); print(json.dumps({"tokens": [random.randrange(255) for _ in range(300)]}))' >ids.jsonl
few=(--set select.limit=8 --set train.max_steps=1) # on the slow instruction sets
recipe 1 "max_steps: 6, checkpoint_every: 1" >tiny.yaml

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
    near both.bin merged.bin 1e-3
    logits base.bin "$arch.gguf"
    (near both.bin base.bin 1e-2) >/dev/null && fail "$arch: the adapter changes nothing that could be seen"
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
