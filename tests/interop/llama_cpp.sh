#!/bin/sh
# llama_cpp.sh VENV FOLDER: llama-cpp-python into VENV, from its sources, which stay in FOLDER, built for this machine.
# On machines with AMX tiles, llama.cpp built by gcc 12 ends with a fault at its first product: that compiler does not
# know that the instruction which loads the tiles' shapes reads memory, and leaves out the stores of the shapes. A
# barrier before it mends that, and the peer is then as fast as it can be.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=$1
folder=$2
version=$(sed -n 's/^llama-cpp-python==//p' "$here/requirements.txt")
source=$folder/llama_cpp_python-$version
if ! [ -d "$source" ]; then
    mkdir -p "$folder"
    "$venv/bin/pip" download --quiet --no-binary llama-cpp-python --no-deps --dest "$folder" "llama-cpp-python==$version"
    tar -xf "$source.tar.gz" -C "$folder"
    sed -i 's/^    _tile_loadconfig(&tc);/    asm volatile("" : : "r"(\&tc) : "memory");\n&/' "$source/vendor/llama.cpp/ggml/src/ggml-cpu/amx/mmq.cpp"
fi
CMAKE_ARGS=-DGGML_NATIVE=ON "$venv/bin/pip" install --quiet --no-cache-dir "$source"
