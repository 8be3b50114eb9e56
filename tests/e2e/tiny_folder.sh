#!/usr/bin/env bash
# A folder of Hugging Face's wherever a model is named: the same logits, tokens and adapters as the GGUF file of the same
# weights; the loop on it, killed and resumed; ste convert, --load-as, and a file in parts.
. "$(dirname "$0")/lib_tiny.sh"
cd "$dir" || exit 1
export STE_LOG=quiet
python3 "$src/tests/e2e/lib_tiny.py" "$dir" qwen2 llama3 || fail "no folders"
ok() { "$ste" "$@" >out 2>err || fail "$*: exit $?"; }
logits() { # OUT MODEL FLAGS...
    local out=$1 model=$2
    shift 2
    ok logits --model "$model" --in ids.jsonl --out "$out" --activations f32 "$@"
}

# ---- the same as the file
echo 'Is 12 the better answer, he asked? <|im_end|>' >text
echo "{\"tokens\": [$("$ste" tokenize --model "$dir/qwen2" <text | tr ' ' ',')]}" >ids.jsonl
"$ste" tokenize --model qwen2/ <text >ids.hf && "$ste" tokenize --model qwen2.gguf <text | cmp - ids.hf || fail "other token ids"
logits a.bin qwen2
logits b.bin qwen2.gguf
cmp a.bin b.bin || fail "qwen2: other logits than the file's"
ok sft --model "$dir/qwen2" --in sft.jsonl --out lora.folder --steps 2 -r 2
ok sft --model "$dir/qwen2.gguf" --in sft.jsonl --out lora.file --steps 2 -r 2
cmp lora.folder/adapter_model.safetensors lora.file/adapter_model.safetensors || fail "another adapter than on the file"
refuse 1 'is a folder, and no model' tokenize --model "$dir/home/"

# ---- ste convert: rows where files have them, divisors of frequencies, parts as one
ok convert llama3 made.gguf
logits a.bin made.gguf
ok convert made.gguf again.gguf
cmp made.gguf again.gguf || fail "converted again it is another file"
python3 - <<'PY' || fail "llama: other weights than the file's"
a, b = open("made.gguf", "rb").read(), open("llama3.gguf", "rb").read()
import struct, random
def tensors(b):  # name -> bytes, of files in f32
    at, out = 24, {}
    take = lambda f: struct.unpack_from("<" + f, b, at)[0]
    n_tensors, n_keys = struct.unpack_from("<QQ", b, 8)
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
    for _ in range(n_keys):
        at += 8 + take("Q"); kind = take("I"); at += 4
        if kind == 8: at += 8 + take("Q")
        elif kind == 9:
            item = take("I"); at += 4; n = take("Q"); at += 8
            for _ in range(n): at += 8 + take("Q") if item == 8 else sizes[item]
        else: at += sizes[kind]
    where = []
    for _ in range(n_tensors):
        n = take("Q"); at += 8; name = b[at:at + n].decode(); at += n
        dims = take("I"); at += 4; size = 4
        for _ in range(dims): size *= take("Q"); at += 8
        at += 4; where.append((name, take("Q"), size)); at += 8
    start = (at + 31) // 32 * 32
    return {name: b[start + o:start + o + size] for name, o, size in where}
a, b = tensors(a), tensors(b)
assert a.keys() == b.keys() and all(a[n] == b[n] for n in a if n != "rope_freqs.weight"), [n for n in a if a[n] != b.get(n)]
PY
for type in f16 bf16 q8_0 q4_0; do
    ok convert qwen2 "$type.gguf" --type "$type"
    logits a.bin "$type.gguf"
    logits b.bin qwen2 --load-as "$type"
    cmp a.bin b.bin || fail "$type: --load-as gives other logits than the file of that type"
done
refuse 2 'ste writes F32' convert qwen2 x.gguf --type q9
refuse 2 'weights cannot be loaded as' generate --model qwen2 --prompt x --load-as q9
[ -e x.gguf ] && fail "a refused convert left a file"

# ---- the loop, killed and resumed; with smaller weights it is another run
rows Question 30 >labelled.jsonl
recipe 1 "max_steps: 3, checkpoint_every: 1" | sed "s#judge.gguf#qwen2#" >tiny.yaml
began=$(date +%s%N)
ok run tiny.yaml --run a --threads 2
took=$((($(date +%s%N) - began) / 1000000))
"$ste" dump a >a.dump
grep -q '"table":"train_step"' a.dump || fail "nothing was trained"
for _ in 1 2 3; do
    "$ste" run tiny.yaml --run killed >/dev/null 2>&1 &
    sleep "$(awk "BEGIN {print ($((RANDOM % took)) + 20) / 1000}")"
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
done
ok run tiny.yaml --run killed --threads 1
"$ste" dump killed | cmp - a.dump && diff -r a/adapters killed/adapters || fail "resumed it is another run"
refuse 2 'engine.load_as' run tiny.yaml --run a --load-as q8_0
echo "tiny folders: as they should be"
