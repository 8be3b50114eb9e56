#!/usr/bin/env bash
# endpoint_llama.sh STE LLAMA_SERVER VENV: a judge on a real llama-server beside the same file in ste's own engine, in
# float32, on JUDGED pairs (default 200) at once (pack direct), and 10 with reasoning (pack small). Verdicts must be the same
# but where the engine's margin is below 0.05, and so must be those with reasoning where both wrote the same. The file is the
# catalogue's with its tensors in float32, as llama-server rounds activations to 8 bits beside 8-bit weights; FILE=... takes
# another. LLAMA_SERVER is built by llama.cpp's CMake (target llama-server).
. "$(dirname "$0")/lib_servers.sh"
llama=$2
make_f32
file=${FILE:-$f32}

setsid "$llama" -m "$file" --host 127.0.0.1 --port $port -t 1 -tb 1 -np 4 -c 16384 --alias base \
    >"$work/server.log" 2>&1 &
server=$!
for _ in $(seq 100); do
    curl -sf "http://127.0.0.1:$port/health" >/dev/null && break
    kill -0 $server 2>/dev/null || fail "llama-server ended"
    sleep 0.2
done

wrong=0
for case in "direct ${JUDGED:-200}" "small 10"; do
    pack=${case% *}
    pairs "${case#* }" >"$work/in.jsonl"
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
