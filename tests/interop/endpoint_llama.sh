#!/usr/bin/env bash
# endpoint_llama.sh STE LLAMA_SERVER [PAIRS]: a judge on a real llama-server beside the same file in ste's own engine, in
# float32, on PAIRS pairs (default 200) at once (pack direct), and 10 with reasoning (pack small). Verdicts must be the same
# but where the engine's margin is below 0.05, and so must be those with reasoning where both wrote the same. The file is the
# catalogue's with its tensors in float32 (dequantize.py, once), as llama-server rounds activations to 8 bits beside 8-bit
# weights; FILE=... takes another. PYTHON has the gguf package. LLAMA_SERVER is built by llama.cpp's CMake (target llama-server).
set -u
ste=$(realpath "$1")
llama=$2
pairs=${3:-200}
src=$(cd "$(dirname "$0")/../.." && pwd)
model=smollm2-135m-instruct
export STE_HOME=${STE_HOME:-$HOME/.cache/ste}
work=$(mktemp -d)
server=
trap '[ -n "$server" ] && kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; tail -n 5 "$work/err" "$work/server.log" 2>/dev/null; exit 1; }
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY
file=${FILE:-$STE_HOME/interop/$model-f32.gguf}
if [ ! -f "$file" ]; then
    mkdir -p "$STE_HOME/interop"
    "${PYTHON:-python3}" "$src/tests/interop/dequantize.py" "$STE_HOME/models/$model.gguf" "$file.part" 2>"$work/err" || fail "no $file"
    mv "$file.part" "$file"
fi

port=$((20000 + RANDOM % 20000))
"$llama" -m "$file" --host 127.0.0.1 --port $port -t 1 -tb 1 -np 4 -c 16384 --alias base \
    >"$work/server.log" 2>&1 &
server=$!
for _ in $(seq 100); do
    curl -sf "http://127.0.0.1:$port/health" >/dev/null && break
    kill -0 $server 2>/dev/null || fail "llama-server ended"
    sleep 0.2
done

wrong=0
for case in "direct $pairs" "small 10"; do
    pack=${case% *}
    cat ${FILES:-$src/../shared/data/preference/llmbar_half_a.jsonl $src/../shared/data/preference/hh_helpful_base.jsonl} |
        head -"${case#* }" | sed 's/"chosen"/"response_a"/; s/"rejected"/"response_b"/' >"$work/in.jsonl"
    for judge in "http://127.0.0.1:$port/v1#base" "$file"; do
        "$ste" judge --judge "$judge" --in "$work/in.jsonl" --out "$work/$(basename "${judge##*[#]}" .gguf).jsonl" --pack "$pack" --no-cache \
            --activations f32 2>"$work/err" || fail "$pack, $judge: exit $?"
    done
    python3 - "$pack" "$work/base.jsonl" "$work/$(basename "$file" .gguf).jsonl" <<'PY' || wrong=1
import json, statistics, sys
pack, *files = sys.argv[1:]
a, b = [[json.loads(line) for line in open(f)] for f in files]
apart, same, n, differ = [], 0, 0, []
for x, y in zip(a, b):
    for order in "ab", "ba":
        p, q = x[order], y[order]
        n += 1
        if p["reasoning"] != q["reasoning"]:
            continue
        same += 1
        if (p["logprob_a"] is None) != (q["logprob_a"] is None):
            differ.append((x["id"], order, "valid on one side"))
        elif q["logprob_a"] is not None:
            apart += [abs(p[k] - q[k]) for k in ("logprob_a", "logprob_b")]
            if p["verdict"] != q["verdict"] and abs(q["logprob_a"] - q["logprob_b"]) >= 0.05:
                differ.append((x["id"], order, round(q["logprob_a"] - q["logprob_b"], 3)))
print(f"{pack}: {n} judgments, {same} with the same reasoning; log-probabilities of labels {statistics.median(apart):.3f} "
      f"apart in the median, {max(apart):.3f} at most; other verdicts with a margin of 0.05 or more: {differ or 'none'}")
sys.exit(bool(differ) or not same)
PY
done
exit $wrong
