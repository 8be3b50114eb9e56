#!/bin/sh
# run.sh [STE [SCRIPT...]]: holds ste against transformers, PEFT and llama.cpp (README.md says how). Makes a venv of its
# own on first use; exit code 0 only if every bound is met. STE_DATA names the data folder.
set -u
here=$(cd "$(dirname "$0")" && pwd)
ste=${1:-$here/../../build/ste}
[ $# -gt 0 ] && shift
home=${STE_HOME:-$HOME/.cache/ste}
venv=$home/interop-venv
[ $# -gt 0 ] || set -- tokens logits gradients dpo train_curve trainer_trl adapters reward likelihood published rating speed weight_types

if ! "$venv/bin/python" -c 'import torch, transformers, peft, trl, gguf, tokenizers, safetensors, llama_cpp, choix, pandas' 2>/dev/null; then
    echo "Making $venv (torch and llama.cpp: a few gigabytes, 10 to 30 minutes, once)"
    python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --upgrade pip &&
        sh "$here/llama_cpp.sh" "$venv" "$home/bench" &&
        "$venv/bin/pip" install --quiet -r "$here/requirements.txt" &&
        "$venv/bin/pip" install --quiet --no-deps rewardbench==0.1.4 fschat==0.2.36 ||
        { echo "cannot make $venv; see $here/requirements.txt" >&2; exit 1; }
fi
for model in smollm2-135m-instruct qwen2.5-coder-0.5b-instruct; do
    [ -f "$home/models/$model.gguf" ] || "$ste" pull "$model" || exit 1
done

mkdir -p "$home/interop"
STE_INTEROP_OUT=$home/interop/figures.jsonl
export STE_INTEROP_OUT
: >"$STE_INTEROP_OUT"
failed=
for script in "$@"; do
    echo "== $script"
    start=$(date +%s)
    "$venv/bin/python" "$here/$script.py" --ste "$ste" || failed="$failed $script"
    echo "   $(($(date +%s) - start)) s"
done
echo "== all"
"$venv/bin/python" - "$STE_INTEROP_OUT" <<'PY'
import json, sys

for line in open(sys.argv[1], encoding="utf-8"):
    r = json.loads(line)
    if r["op"]:
        v = f"{r['value']:.5g}" if isinstance(r["value"], float) else r["value"]
        print(f"{'ok  ' if r['ok'] else 'FAIL'}  {r['script']:12} {r['name']:78} {v:>10}  {r['op']} {r['bound']}")
PY
if [ -n "$failed" ]; then
    echo "not met or not run:$failed" >&2
    exit 1
fi
