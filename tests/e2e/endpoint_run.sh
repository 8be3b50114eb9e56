#!/usr/bin/env bash
# A run whose answers and first judge are on a server (lib_endpoint.py, which has the tokens of the tiny model) and
# whose seed is trained here: killed and gone on with it is the run that nobody disturbed, and nothing that was answered
# is asked again.
. "$(dirname "$0")/lib_tiny.sh"
here=$(cd "$(dirname "$0")" && pwd)
cd "$dir" || exit 1
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY STE_API_KEY
export STE_LOG=quiet no_proxy=127.0.0.1 NO_PROXY=127.0.0.1

server=
trap 'kill "$server" 2>/dev/null; rm -rf "$dir"' EXIT
serve() { # KIND FAULT
    mkdir -p "served-$1" && rm -f "served-$1/port"
    python3 "$here/lib_endpoint.py" "served-$1" "$@" 2>server.txt &
    server=$!
    for _ in $(seq 100); do
        [ -f "served-$1/port" ] && break
        sleep 0.1
    done
    url=http://127.0.0.1:$(cat "served-$1/port")/v1
}
for i in $(seq 40); do echo "{\"instruction\": \"Question $((i * 37 + 1000))? It is number $i of $((i * i)).\"}"; done >in.jsonl
kinds() { # a recipe whose answers are URL's, or those of the file NAME
    local on=${1:-$url#paper}
    cat <<YAML
models: {seed: $dir/judge.gguf, answer: "$on", modify: "$on", judge: "$on"}
prompts: {pack: direct}
instructions: {files: [in.jsonl]}
pair: {kinds: {other: 1, modify: 1}, max_tokens: 200}
check: {by: none}
select: {min_chars: 1, duplicate: 0}
split: {dev: 0.1, test: 0.2, dev_pairs: 0, cluster: 1}
judge: {samples: 4, orders: both}
filter: {rule: margin, trust_from: 100}
train: {r: 2, lr: 0.001, batch: 4, warmup: 1, max_steps: 4}
iterations: 2
YAML
}

for kind in vllm llama; do
    SLOW=0.02 serve $kind mix
    kinds >$kind.yaml
    "$ste" run $kind.yaml --run $kind >/dev/null 2>err || fail "$kind: the run ended with $?"
    "$ste" dump $kind >$kind.dump
    grep -q '"table":"example"' $kind.dump && grep -q "labels by token ids" $kind.dump || fail "$kind: nothing was trained"
    before=$(wc -l <served-$kind/served.jsonl)
    "$ste" run $kind.yaml --run $kind >/dev/null 2>err || fail "$kind again: exit $?"
    [ "$before" = "$(wc -l <served-$kind/served.jsonl)" ] || fail "$kind again: something was asked"
    for i in 1 2 3 4; do
        "$ste" run $kind.yaml --run killed-$kind >/dev/null 2>&1 &
        pid=$!
        sleep 0.$((i * 2))
        kill -9 $pid 2>/dev/null
        wait $pid 2>/dev/null
    done
    "$ste" run $kind.yaml --run killed-$kind >/dev/null 2>err || fail "$kind, killed: exit $?"
    "$ste" dump killed-$kind | cmp - $kind.dump || fail "$kind, killed: another store"
    python3 - served-$kind/served.jsonl "$before" <<'PY' || fail "$kind: what was answered was asked again"
import json, sys
n = [json.loads(line)["address"] for line in open(sys.argv[1])]
assert len(n) - 2 * int(sys.argv[2]) <= 4 * 64, (len(n), sys.argv[2])  # in flight at the kills
PY
    kill $server
done
# the ids that are trained on are those of the model's own tokenizer
"$ste" export vllm --what sft --iteration 1 --out sft.out || fail "export: exit $?"
python3 - <<'PY' || fail "other ids than the model's"
import json
rows = [json.loads(line) for line in open("sft.out")]
assert rows and all(r["completion_ids"][-1] in b"AB" and r["prompt_ids"][0] == 257 for r in rows)
PY

# ---- a judge that tells no token ids cannot be trained on, and says so
serve openai none
kinds >openai.yaml
refuse 2 "tells no token ids, and what the judge writes is trained on" run openai.yaml --run openai
"$ste" run openai.yaml --run openai --set models.judge= >/dev/null 2>err && fail "another judge was taken for the same run"
"$ste" run openai.yaml --run openai-2 --set models.judge= >/dev/null 2>err || fail "openai: the run ended with $?"
refuse 2 "is on a server, and the seed is trained here" run openai.yaml --run openai-3 --set "models.seed=$url#paper"
kill $server

# ---- the budget is the run's, whatever ends its processes
rm -r served-vllm
serve vllm none
kinds priced.yaml >priced_run.yaml
prices() { printf 'url: %s\nmodel: paper\nprice: {input: 100, output: 200}\nbudget: %s\n' "$url" "$1" >priced.yaml; }
cost() { python3 -c 'import json; print(sum(p * 100 + w * 200 for p, c, w in map(json.loads, open("served-vllm/billed.jsonl"))) / 1e6)'; }
within() { python3 -c 'import sys; a, b = map(float, sys.argv[1:]); sys.exit(not 0 < a <= b)' "$(cost)" "$1" || fail "$(cost) was spent of $1"; }
prices 6
for _ in 1 2; do
    refuse 1 "of the budget of 6 is spent" run priced_run.yaml --run priced
    within 6
done
prices 1000
"$ste" run priced_run.yaml --run priced >out 2>err || fail "a budget that was raised: exit $?"
within 1000
grep -q "^$url#paper: .* requests, .* tokens read .* written; cost " out || fail "the report does not say what the server took"
python3 - "$(cost)" <<'PY' || fail "the report says something else than what was billed"
import json, sys
s, = json.load(open("priced/report.json"))["servers"]
assert s["cost"] <= float(sys.argv[1]) + 1e-6 and s["cost"] + s["unheard_cost"] >= float(sys.argv[1]) - 1e-6, s
PY
"$ste" run priced_run.yaml --dry-run >out 2>err || fail "dry run: exit $?"
grep -q "^About .* by the prices that the servers' files give" out || fail "the dry run says no cost"
echo "runs with a server: as they should be"
