#!/usr/bin/env bash
# The Python package over the libste.so beside the program, on the tiny model: what it gives is what the program writes;
# errors, Ctrl-C, threads, coroutines. Needs cffi alone (Debian's python3-cffi).
. "$2/tests/e2e/lib_tiny.sh"
for python in python3 /usr/bin/python3; do
    "$python" -c 'import sys, cffi; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && break
    python=
done
[ -n "$python" ] || { echo "skipped: no python3 with cffi"; exit 77; }
cd "$dir" || exit 1
STE_LIBRARY=$(dirname "$(realpath "$ste")")/libste.so PYTHONPATH=$src/python PYTHONDONTWRITEBYTECODE=1
export STE_LIBRARY PYTHONPATH PYTHONDONTWRITEBYTECODE
rows Say 12 >labelled.jsonl
sed 's/"chosen"/"response_a"/; s/"rejected"/"response_b"/' labelled.jsonl >many.jsonl
sed 's/"chosen"/"response"/' labelled.jsonl >answers.jsonl
sed 's/"chosen": \(".*"\), "rejected": \(".*"\)/"answers": {"one": \1, "two": \2}/' labelled.jsonl >rank.jsonl
recipe 1 "max_steps: 1" >small.yaml
"$python" "$src/tests/e2e/lib_python.py" "$ste"
