#!/bin/sh
# run.sh STE LIMITS [flags and work of compare.py]: ste beside llama.cpp, OpenVINO GenAI, torch + PEFT and TRL. Uses the
# venv of tests/interop and adds what it lacks.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
ste=$1
limits=$2
shift 2
home=${STE_HOME:-$HOME/.cache/ste}
venv=$home/interop-venv
if ! "$venv/bin/python" -c 'import torch, transformers, peft, trl, datasets, gguf, tokenizers, llama_cpp, openvino_genai' 2>/dev/null; then
    echo "Making $venv (torch, llama.cpp, OpenVINO: some gigabytes, 10 to 30 minutes, once)"
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --upgrade pip
    # llama.cpp from its sources, built for this very machine.
    CMAKE_ARGS=-DGGML_NATIVE=ON "$venv/bin/pip" install --quiet --no-binary llama-cpp-python -r "$here/../tests/interop/requirements.txt" \
        -r "$here/requirements.txt"
fi
for model in smollm2-135m-instruct qwen2.5-coder-0.5b-instruct qwen2.5-coder-1.5b-instruct; do
    [ -f "$home/models/$model.gguf" ] || "$ste" pull "$model"
done
exec "$venv/bin/python" "$here/compare.py" --ste "$ste" --limits "$limits" "$@"
