#!/bin/sh
# merged.sh [STE [VENV [LLAMA_CPP [FAMILY,...]]]]: merged models of every architecture, or those named, in transformers and
# llama.cpp (merged.py). LLAMA_CPP is a folder of llama.cpp's source, whose converter makes the GGUF files. Exit
# code 0 only if every bound is met.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
home=${STE_HOME:-$HOME/.cache/ste}
python=${2:-$home/interop-venv}/bin/python
exec "$python" -W ignore "$here/merged.py" --ste "${1:-$here/../../build/ste}" ${3:+--llama-cpp "$3"} ${4:+--family "$4"}
