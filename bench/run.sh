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
    sh "$here/../tests/interop/llama_cpp.sh" "$venv" "$home/bench"
    "$venv/bin/pip" install --quiet -r "$here/../tests/interop/requirements.txt" -r "$here/requirements.txt"
fi
server=$home/bench/llama-server
if ! [ -x "$server" ]; then
    echo "Making $server from the sources in llama-cpp-python's sdist (10 to 20 minutes, once)"
    version=$(sed -n 's/^llama-cpp-python==//p' "$here/../tests/interop/requirements.txt")
    [ -d "$home/bench/llama_cpp_python-$version" ] || sh "$here/../tests/interop/llama_cpp.sh" "$venv" "$home/bench"
    # No web pages, no TLS: what is timed needs neither.
    cmake -S "$home/bench/llama_cpp_python-$version/vendor/llama.cpp" -B "$home/bench/llama.cpp" -DCMAKE_BUILD_TYPE=Release \
        -DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_TESTS=OFF \
        -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF >"$home/bench/llama-server.log" 2>&1 &&
        cmake --build "$home/bench/llama.cpp" --target llama-server -j2 >>"$home/bench/llama-server.log" 2>&1 ||
        { tail -n 5 "$home/bench/llama-server.log" >&2; echo "llama-server was not built; see $home/bench/llama-server.log" >&2; exit 1; }
    mv "$home/bench/llama.cpp/bin/llama-server" "$server"
fi
for model in smollm2-135m-instruct qwen2.5-coder-0.5b-instruct qwen2.5-coder-1.5b-instruct; do
    [ -f "$home/models/$model.gguf" ] || "$ste" pull "$model"
done
exec "$venv/bin/python" "$here/compare.py" --ste "$ste" --limits "$limits" "$@"
