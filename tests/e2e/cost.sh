#!/usr/bin/env bash
# What a model on a server takes: counted as it is billed, priced, said beforehand, and stopped by a budget before that is
# exceeded; and the same questions by batch files. lib_endpoint.py says what it would take money for.
set -u
ste=$1
here=$2/tests/e2e
command -v python3 >/dev/null || exit 77
tmp=$(mktemp -d) || exit 1
server=
trap 'kill "$server" 2>/dev/null; rm -rf "$tmp"' EXIT
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY STE_API_KEY OPENAI_API_KEY
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
cd "$tmp" || exit 1

fail() {
    echo "FAILED: $what: $1"
    [ -s err ] && tail -5 err
    exit 1
}
serve() { # ARGUMENTS of lib_endpoint.py behind DIR
    [ -z "$server" ] || { kill "$server"; wait "$server" 2>/dev/null; }
    dir=$tmp/$RANDOM$RANDOM
    mkdir "$dir"
    python3 "$here/lib_endpoint.py" "$dir" "$@" 2>"$dir/stderr" &
    server=$!
    for _ in $(seq 100); do
        [ -f "$dir/port" ] && break
        sleep 0.1
    done
    url=http://127.0.0.1:$(cat "$dir/port")/v1
    export STE_HOME=$dir/home
}
prices() { # BUDGET
    printf 'url: %s\nmodel: paper\nmax_in_flight: 16\nprice: {input: 1000, cached: 500, output: 2000}\nbudget: %s\n' "$url" "$1" >gpt.yaml
}
bill() { # CODE over requests, prompt, cached, completion and cost, which are what was billed
    python3 - "$dir" "$@" <<'PY' || fail "not as billed: $1"
import json, os, sys
folder, code, *rest = sys.argv[1:]
rows = [json.loads(line) for line in open(folder + "/billed.jsonl")]
requests, (prompt, cached, completion) = len(rows), (sum(r[i] for r in rows) for i in range(3))
cost = ((prompt - cached) * 1000 + cached * 500 + completion * 2000) / 1e6
load = lambda path: json.load(open(path))
assert eval(code), (requests, prompt, cached, completion, cost, rest)
PY
}
judge() { # PACK [FLAG...]
    local pack=$1
    shift
    "$ste" judge --judge gpt.yaml --in in.jsonl --out out.jsonl --pack "$pack" "$@" >stdout 2>err
}
for i in $(seq 1000 1019); do
    echo "{\"id\": \"p$i\", \"prompt\": \"Question $i?\", \"response_a\": \"Yes, $i.\", \"response_b\": \"No.\"}"
done >in.jsonl
sed 's/"response_a"/"chosen"/; s/"response_b"/"rejected"/' in.jsonl >labelled.jsonl
sed 's/"response_a": \(".*"\), "response_b": \(".*"\)/"answers": {"one": \1, "two": \2}/' in.jsonl >answers.jsonl

# ---- counted and priced
usage="all(u[k] == v for k, v in dict(requests=requests, prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion).items()) and abs(u['cost'] - cost) < 1e-9"
for case in openai:small vllm:small llama:small vllm:direct; do
    what="usage, $case"
    serve "${case%:*}"
    prices 0
    "$ste" eval --judge gpt.yaml --data labelled.jsonl --pack "${case#*:}" --json eval.json >stdout 2>err || fail "exit $?"
    bill "(lambda u: $usage)(load('eval.json')['usage'])"
    grep -q "gpt.yaml: .* requests, .* tokens read .*; cost " err || fail "not said"
done
what="usage of compare and rank"
"$ste" compare --judge gpt.yaml --judge "$url#paper" --data labelled.jsonl --pack small --json compare.json >stdout 2>err || fail "exit $?"
grep -q '"completion_tokens"' compare.json || fail "compare: not in the JSON"
"$ste" rank --judge gpt.yaml --answers answers.jsonl --pack small --json rank.json >stdout 2>err || fail "rank: exit $?"
grep -q '"completion_tokens"' rank.json || fail "rank: not in the JSON"

# ---- said beforehand
for pack in paper small direct; do
    what="dry run, $pack"
    serve openai
    prices 0
    judge $pack --dry-run || fail "exit $?"
    [ -e "$dir/billed.jsonl" ] && [ ! -s "$dir/billed.jsonl" ] || fail "something was asked"
    grep -q "^gpt.yaml with pack $pack: 40 questions\$" stdout || fail "$(cat stdout)"
    most=$(awk '/at most/ {print $NF; exit}' stdout)
    judge $pack || fail "exit $?"
    bill "cost - 2 < float(rest[0]) < 3 * cost + 90" "$most" # 2: of the probe
    judge $pack --dry-run
    grep -q "40 questions, 40 of them answered before" stdout || fail "answers that are there: $(cat stdout)"
done
what="dry run of others"
"$ste" eval --judge gpt.yaml --data labelled.jsonl --dry-run --json none.json >stdout 2>err && grep -q "at most" stdout || fail "eval: exit $?"
"$ste" rank --judge gpt.yaml --answers answers.jsonl --dry-run --out none.json >stdout 2>err && grep -q "40 questions" stdout || fail "rank: exit $?"
"$ste" compare --judge gpt.yaml --judge gpt.yaml --data labelled.jsonl --dry-run >stdout 2>err && grep -c "^  at most" stdout | grep -qx 2 || fail "compare: exit $?"
[ -e none.json ] && fail "a file was written"

# ---- a budget
for case in openai:paper:none votes:small:mix llama:small:none; do
    IFS=: read -r kind pack fault <<<"$case"
    what="budget, $case"
    serve "$kind" "$fault"
    prices 25
    judge "$pack" && fail "not stopped"
    grep -q "gpt.yaml: .* of the budget of 25 is spent.* and the next question may cost .*; raise budget, and the same command goes on" err || fail "not said"
    bill "0 < cost <= 25"
    judge "$pack" && fail "again: not stopped"
    bill "0 < cost <= 25"
    prices 2000
    judge "$pack" || fail "raised: exit $?"
    bill "cost <= 2000"
    python3 - "$dir/served.jsonl" "$fault" <<'PY' || fail "what was paid for was asked again"
import json, sys
n = [json.loads(line)["address"] for line in open(sys.argv[1])]
assert len(set(n)) >= 40, len(set(n))
assert len(n) - len(set(n)) <= 5 * (sys.argv[2] == "mix"), (len(n), len(set(n))) # begun, and a fault took what was held
PY
done
what="budget, killed"
SLOW=0.1 serve openai
prices 60
for _ in 1 2 3; do
    ("$ste" judge --judge gpt.yaml --in in.jsonl --out out.jsonl --pack small 2>/dev/null &
    sleep 0.4
    kill -9 $!) 2>/dev/null
done
judge small && fail "not stopped"
bill "0 < cost <= 60"
what="budget without prices"
printf 'url: %s\nbudget: 5\n' "$url" >gpt.yaml
judge small && fail "taken"
grep -q "budget goes with price" err || fail "not said"

# ---- batch files
run() { # REQUESTS RESULTS [LOST FAILED]
    python3 "$here/lib_batch.py" "$1" "$2" "${url%/v1}" "${@:3}" || fail "the runner"
}
for pack in paper small direct; do
    what="batch, $pack"
    serve openai
    prices 0
    judge $pack || fail "live: exit $?"
    cp out.jsonl live.jsonl
    export STE_HOME=$dir/other
    "$ste" judge --judge gpt.yaml --in in.jsonl --pack $pack --batch-out one.jsonl 2>err || fail "exit $?"
    [ "$(wc -l <one.jsonl)" = 40 ] || fail "not 40 requests"
    run one.jsonl one.out 7 5
    "$ste" judge --judge gpt.yaml --in in.jsonl --pack $pack --batch-in one.out --batch-out two.jsonl 2>err || fail "the second round: exit $?"
    run two.jsonl two.out
    judge $pack --batch-in one.out two.out --batch-out three.jsonl || fail "the third round: exit $?"
    if [ $pack = small ]; then # the labels of what was asked again
        run three.jsonl three.out
        judge $pack --batch-in one.out two.out three.out --batch-out four.jsonl || fail "the end: exit $?"
    fi
    grep -q "nothing is left to ask" err && [ ! -e four.jsonl ] || fail "something is left"
    cmp out.jsonl live.jsonl || fail "other verdicts than the live server's"
    rm -f three.jsonl
done
what="errors of batch files"
export STE_HOME=$dir/errors
refuse() { # WORDS FLAG...
    local words=$1
    shift
    rm -f out.jsonl
    judge paper "$@" && fail "$words: taken"
    grep -qF "$words" err && [ ! -e out.jsonl ] || fail "not said: $words"
}
"$ste" judge --judge gpt.yaml --in in.jsonl --pack paper --batch-out one.jsonl 2>err || fail "exit $?"
run one.jsonl all.out
head -c -20 all.out >cut.out
refuse "cut.out, line 40: the file ends within this line" --batch-in cut.out
head -2 all.out >twice.out
refuse "twice.out, line 1: $(python3 -c 'import json; print(json.loads(open("twice.out").readline())["custom_id"])') is answered a second time (first in all.out, line 1)" --batch-in all.out,twice.out
refuse "is of no question here (40 of 40 results are of none)" --batch-in all.out --seed 7
head -30 all.out >some.out
refuse "10 requests have no result" --batch-in some.out
refuse "one.jsonl, line 1: this has neither a response nor an error" --batch-in one.jsonl
echo '[' >list.out
refuse "list.out, line 1: this is no JSON" --batch-in list.out
prices 5
refuse "gpt.yaml: the requests may cost" --batch-out dear.jsonl
[ -e dear.jsonl ] && fail "requests that the budget does not pay were written"
prices 0
run one.jsonl failed.out 0 3
export STE_HOME=$dir/failed
judge paper --batch-in failed.out || fail "failed results: exit $?"
python3 -c 'import json; assert sum(json.loads(r)[o]["reason"] == "transport" for r in open("out.jsonl") for o in ("ab", "ba")) == 13' || fail "failed results: not counted as failed"
grep -q "failed.out, line .*: the server answered 500 (it went wrong), which counts as failed" err || fail "failed results: not said"

echo "cost, budget and batches: as they should be"
