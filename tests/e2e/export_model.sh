#!/usr/bin/env bash
# ste export --what model: the merged file's logits are those of base and adapter, from an adapter's folder and from a run,
# in each type that it writes; it says where it comes from; what cannot be merged is refused.
. "$(dirname "$0")/lib_tiny.sh"
cd "$dir" || exit 1
export STE_LOG=quiet

"$ste" sft --model "$tiny" --in sft.jsonl --out lora --steps 20 --lr 0.005 -r 2 >out 2>err || fail "sft: exit $?"
echo '{"tokens": [72, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100, 33, 10, 90, 200, 7]}' >t.jsonl
logits() { # OUT MODEL ARGUMENT...
    local out=$1 model=$2
    shift 2
    "$ste" logits --activations f32 --model "$model" --in t.jsonl --out "$out" "$@" 2>err || fail "logits of $model: exit $?"
}
logits base.bin "$tiny"
logits both.bin "$tiny" --adapter lora
cmp -s base.bin both.bin && fail "the adapter changes nothing"
for type in F32:1e-5 F16:5e-3 BF16:0.04 Q8_0:0.1 Q4_K_M:0.5; do
    "$ste" export lora --what model --type "${type%:*}" --out merged.gguf 2>err || fail "$type: exit $?"
    logits merged.bin merged.gguf
    near both.bin merged.bin "${type#*:}" of-largest
done
"$ste" export lora --what model --out own.gguf 2>err || fail "the base's type: exit $?"
logits own.bin own.gguf
near both.bin own.bin 1e-3 of-largest
for said in general.base_model.0.name ste.base.sha256 ste.adapter.sha256 "$(sha256sum <"$tiny" | cut -d' ' -f1)"; do
    grep -qaF "$said" own.gguf || fail "the file does not say $said"
done
"$ste" export lora --what model --out again.gguf && cmp -s own.gguf again.gguf 2>/dev/null && fail "the name is not that of the file"
"$ste" export lora --what model --base "$dir/judge.gguf" --out other.gguf 2>err || fail "another base: exit $?"

# a folder out of a GGUF file, and one out of that folder
"$ste" export lora --what model --type F32 --out made 2>err || fail "a folder: exit $?"
logits made.bin made
near both.bin made.bin 1e-5 of-largest
for f in config.json generation_config.json merged.json model.safetensors tokenizer.json tokenizer_config.json; do
    [ -s "made/$f" ] || fail "the folder has no $f"
done
"$ste" sft --model made --in sft.jsonl --out lora2 --steps 20 --lr 0.005 -r 2 >out 2>err || fail "sft on a folder: exit $?"
"$ste" export lora2 --what model --out made2 2>err || fail "a folder of a folder: exit $?"
logits both2.bin made --adapter lora2
logits made2.bin made2
near both2.bin made2.bin 1e-5 of-largest
"$ste" export lora2 --what model --type F32 --out of-folder.gguf 2>err || fail "a file of a folder: exit $?"
logits file2.bin of-folder.gguf
near both2.bin file2.bin 1e-5 of-largest
cmp -s made/model.safetensors made2/model.safetensors && fail "the second folder is the first"
cmp -s made/tokenizer.json made2/tokenizer.json || fail "the tokenizer changed"
refuse 2 'is there already; name a new folder' export lora --what model --out made
refuse 2 'a folder keeps the types of its base' export lora2 --what model --type F16 --out x
refuse 2 'a folder has weights of F32, F16 or BF16, not Q8_0' export lora --what model --type Q8_0 --out x
[ -e x ] || [ -e x.gguf ] && fail "a refused export left something"

rows Question 40 >labelled.jsonl
recipe 1 "max_steps: 4" >tiny.yaml
"$ste" run tiny.yaml --run r >out 2>err || fail "run: exit $?"
"$ste" export r --what model --type F32 --out run.gguf 2>err || fail "of a run: exit $?"
"$ste" export r --what model --type F32 --iteration 1 --out run1.gguf 2>err || fail "of an iteration: exit $?"
logits run.bin run.gguf
logits judge.bin "$dir/judge.gguf" --adapter r/adapters/iter-1
near judge.bin run.bin 1e-3 of-largest

refuse 2 'is no type that ste writes; there are F32' export lora --what model --type Q9 --out x.gguf
refuse 2 'a model needs --out' export lora --what model
refuse 2 '--type and --base are for --what model' export r --type F16 --out x.jsonl
refuse 1 'has no adapter of iteration 7' export r --what model --iteration 7 --out x.gguf
refuse 2 'has no adapter to merge' export "$tiny" --what model --out x.gguf
refuse 2 "is a reward model's" export reward --what model --out x.gguf
[ -e x.gguf ] && fail "a refused export left a file"
echo "merged models: as they should be"
