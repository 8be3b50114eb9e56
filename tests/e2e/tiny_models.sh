#!/usr/bin/env bash
# Files that are no model, adapters that are for another base, reward models whose scores say nothing.
. "$(dirname "$0")/lib_tiny.sh"
cd "$dir" || exit 1

refused() { # PART ARGUMENT...: exit 1, and PART in the one line on stderr
    local part=$1
    shift
    "$ste" "$@" >/dev/null 2>err
    [ $? = 1 ] || fail "$*: exit 0"
    grep -qF -- "$part" err && [ "$(wc -l <err)" = 1 ] || fail "$*: want $part"
}

refused 'part.gguf is part 2 of 3 of a model' tokenize --model "$dir/part.gguf"
refused 'first.gguf is part 1 of 3 of a model' generate --model "$dir/first.gguf" --prompt x
refused 'lora.gguf is a LoRA adapter for llama.cpp, not a model' judge --judge "$dir/lora.gguf" --in judge.jsonl --out v.jsonl
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n' >pointer.gguf
printf 'PK\3\4\0\0\0\0' >torch.bin
: >empty.gguf
for f in 'pointer.gguf is not a GGUF file: it is a pointer of Git LFS' 'torch.bin is not a GGUF file: it is a ZIP archive' \
    'empty.gguf is not a GGUF file: it is empty' 'pairs.jsonl is not a GGUF file: it does not begin with' \
    'adapter/adapter_model.safetensors is not a GGUF file: it is a safetensors file' 'adapter is the folder of an adapter, and no model'; do
    refused "$f" generate --model "${f%% *}" --prompt x
done
for f in lora.gguf adapter/adapter_model.safetensors; do
    refused "$f is a file; an adapter is a folder" generate --model "$tiny" --adapter "$f" --prompt x
done

# an architecture that ste does not run: its name, and what it has that is missing
architecture() {
    python3 - "$1" <<'PY'
import struct, sys
text = lambda s: struct.pack("<Q", len(s)) + s.encode()
with open("other.gguf", "wb") as f:
    f.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("general.architecture") + struct.pack("<I", 8) + text(sys.argv[1]))
PY
}
for a in 'qwen35:layers of linear attention' 'qwen3moe:experts' 'gpt-oss:experts' 'granitehybrid:state-space layers' \
    'gemma3n:embeddings for each layer' 'gemma4:layers of different shapes' 'lfm2:layers of convolution' \
    'qwen2vl:positions in three dimensions' 'mamba2:state-space layers'; do
    architecture "${a%%:*}"
    refused "other.gguf is of architecture '${a%%:*}' (${a#*:}" generate --model other.gguf --prompt x
done
architecture starcoder
refused "other.gguf is of architecture 'starcoder'; ste runs llama, " generate --model other.gguf --prompt x

# the base that an adapter names is of another machine: the file and the flag are named, and the flag helps
for a in hub elsewhere; do
    refused "$a/adapter_config.json says that the adapter's base is" judge --judge "$dir/$a" --in judge.jsonl --out v.jsonl
    grep -q -- '--base MODEL' err || fail "$a: --base is not named"
    "$ste" judge --judge "$dir/$a" --base "$tiny" --in judge.jsonl --out v.jsonl 2>err || fail "$a with --base: exit $?"
done
"$ste" judge --judge "$tiny" --base "$tiny" --in judge.jsonl --out v.jsonl 2>err && fail "--base of a model: exit 0"

# the value of a flag is no run
"$ste" judge --pack small 2>err && fail "judge --pack small: exit 0"
grep -q -- '--judge is missing' err || fail "judge --pack small is taken for a run: $(cat err)"

# scores that are no numbers are refused when they are in the file, and invalid when they come out of it
for a in nan inf; do
    refused "tensor 'base_model.model.score.weight' holds a value that is no number" eval --judge "$dir/$a" --data pairs.jsonl
done
field() { # FILE PATH: of the JSON, by Python's index
    python3 -c "import json, sys; print(json.load(open(sys.argv[1]))$2)" "$1"
}
"$ste" eval --judge "$dir/large" --data pairs.jsonl --json large.json >table 2>err || fail "large: exit $?"
grep -q '0 valid, 6 invalid' table && grep -q '6 score is no number' table || fail "large: $(cat table)"
"$ste" eval --judge "$dir/large" --data pairs.jsonl --min-coverage 0.5 >table 2>err
[ $? = 3 ] || fail "large: a threshold of valid verdicts is met"
# equal scores are ties: right in neither order, for no position, undecided
"$ste" eval --judge "$dir/equal" --data pairs.jsonl --json equal.json --outcomes equal.jsonl >table 2>err || fail "equal: exit $?"
s="['subsets'][0]"
[ "$(field equal.json "$s['accuracy']")" = 0.0 ] && [ "$(field equal.json "$s['undecided']")" = 3 ] &&
    [ "$(field equal.json "$s['first_position']")" = None ] && [ "$(field equal.json "$s['invalid']")" = 0 ] ||
    fail "equal: $(cat equal.json)"
"$ste" eval --from equal.jsonl --json again.json >table2 2>err || fail "equal, again: exit $?"
cmp -s table table2 || fail "outcomes of ties do not give the same table"
"$ste" judge --judge "$dir/equal" --in judge.jsonl --out v.jsonl 2>err || fail "equal: judge: exit $?"
[ "$(grep -c '"verdict":"tie","reason":"","verdict_ab":"tie","verdict_ba":"tie"' v.jsonl)" = 3 ] || fail "equal: $(cat v.jsonl)"
"$ste" judge --judge "$dir/equal" --in judge.jsonl --out v.jsonl --one-order 2>err || fail "equal, one order: exit $?"
[ "$(grep -c '"verdict":"tie"' v.jsonl)" = 3 ] || fail "equal, one order: $(cat v.jsonl)"

echo "tiny models: as they should be"
