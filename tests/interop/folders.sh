#!/bin/sh
# folders.sh STE VENV LLAMA_CPP [FAMILY,...]: folders and ste convert against llama.cpp's converter (folders.py). LLAMA_CPP is a
# folder of llama.cpp's source. Exit code 0 only if every bound is met.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
exec "$2/bin/python" -W ignore "$here/folders.py" --ste "$1" --llama-cpp "$3" ${4:+--family "$4"}
