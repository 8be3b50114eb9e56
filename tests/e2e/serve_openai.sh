#!/usr/bin/env bash
# OpenAI's routes of ste serve on a tiny model: the texts of ste generate, whole and as streams, alone and many at once;
# clients that go; a run's newest adapter taken without a gap, by the route and by SIGHUP; a stop that lets streams end.
. "$(dirname "$0")/lib_tiny.sh"
cd "$dir" || exit 1
export STE_LOG=quiet no_proxy='*'
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
json='Content-Type: application/json'

rows Question 24 >labelled.jsonl
recipe 3 "max_steps: 2" >tiny.yaml
run() { # ITERATIONS
    "$ste" run tiny.yaml --run mine --set iterations="$1" >run.txt 2>err || fail "the run ended with $?"
}
run 1
said() { # ITERATION ("": the base), flags: what ste generate says
    "$ste" generate --model judge.gguf ${1:+--adapter mine/adapters/iter-$1} --json "${@:2}" 2>err || fail "generate"
}
for i in "" 1; do
    said "$i" --chat "Question 1?" --max-tokens 20 --temperature 1 --seed 5 -n 3 >"chat$i.json"
    said "$i" --prompt "Question" --max-tokens 20 --temperature 0 >"plain$i.json"
done
serve mine --grace 20

cat >ask.py <<'PY'
import json, sys, threading, urllib.error, urllib.request
url = sys.argv[1]

def post(route, body, want=200):
    data = json.dumps(body).encode()
    try:
        reply = urllib.request.urlopen(urllib.request.Request(url + route, data, {"Content-Type": "application/json"}))
    except urllib.error.HTTPError as e:
        reply = e
    got = reply.read().decode()
    assert reply.status == want, (route, reply.status, got)
    return got

def chat(model, **how):
    body = {"model": model, "messages": [{"role": "user", "content": "Question 1?"}], "max_tokens": 20, "seed": 5} | how
    return post("/v1/chat/completions", body)

def texts(reply):
    return [c["message"]["content"] for c in json.loads(reply)["choices"]]

def streamed(reply):
    lines = [line[6:] for line in reply.split("\n") if line]
    assert lines[-1] == "[DONE]", lines[-1]
    out = {}
    for c in (c for line in lines[:-1] for c in json.loads(line)["choices"]):
        out[c["index"]] = out.get(c["index"], "") + (c["delta"].get("content") or "")
    return [out[i] for i in sorted(out)]

def generated(name):
    return [s["text"] for s in json.load(open(name))["samples"]]
PY
python3 - "$url" <<'PY' || fail "the texts"
exec(open("ask.py").read())
for model, i in (("judge", ""), ("mine", "1")):
    want = generated(f"chat{i}.json")
    assert texts(chat(model, n=3)) == want, (texts(chat(model, n=3)), want)
    assert streamed(chat(model, n=3, stream=True)) == want
    got = json.loads(post("/v1/completions", {"model": model, "prompt": "Question", "max_tokens": 20, "temperature": 0}))
    assert [got["choices"][0]["text"]] == generated(f"plain{i}.json"), got
all, want = [None] * 40, [generated("chat.json"), generated("chat1.json")]

def one(i):
    reply = chat(("judge", "mine")[i % 2], n=3, stream=i % 3 == 0)
    all[i] = (streamed if i % 3 == 0 else texts)(reply)

threads = [threading.Thread(target=one, args=(i,)) for i in range(len(all))]
[t.start() for t in threads]
[t.join() for t in threads]
assert all == [want[i % 2] for i in range(len(all))]
for model, want in (("none", 404), ("judge", 200)):
    chat_of = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    post("/v1/chat/completions", chat_of, want)
assert json.loads(post("/v1/reload", {}))["changed"] is False
PY

# ---- a stream that is left, and one that goes on while a new adapter comes
cat >long.py <<'PY'
exec(open("ask.py").read())
print(json.dumps(streamed(chat("mine", max_tokens=int(sys.argv[2]), temperature=0.3, stream=True, stop=["never"]))))
PY
python3 long.py "$url" 60 >long.before || fail "a long stream"
timeout 1 curl -sN -H "$json" "$url/v1/chat/completions" -d '{"model": "mine", "n": 128, "messages": [{"role": "user", "content": "x"}], "stream": true}' |
    head -c 2000 >/dev/null
for _ in $(seq 100); do
    jobs=$(curl -s "$url/health" | python3 -c 'import json, sys; print(json.load(sys.stdin)["jobs"])')
    [ "$jobs" = 0 ] && break
    sleep 0.1
done
[ "$jobs" = 0 ] || fail "a client that has gone is still served: $jobs jobs"
(while [ -e long.py ] && [ ! -e enough ]; do python3 long.py "$url" 60 >>while.txt || touch refused; done) &
load=$!
run 2
[ "$(curl -s -H "$json" "$url/v1/reload" -d '{}')" = '{"changed":true}' ] || fail "the newest adapter was not taken"
said 2 --chat "Question 1?" --max-tokens 20 --temperature 1 --seed 5 -n 3 >chat2.json
python3 - "$url" <<'PY' || fail "the second adapter"
exec(open("ask.py").read())
assert texts(chat("mine", n=3)) == generated("chat2.json")
assert texts(chat("judge", n=3)) == generated("chat.json")
PY
run 3
kill -HUP "$pid"
said 3 --chat "Question 1?" --max-tokens 20 --temperature 1 --seed 5 -n 3 >chat3.json
python3 - "$url" <<'PY' || fail "the third adapter, by SIGHUP"
exec(open("ask.py").read())
import time
for _ in range(100):
    got = texts(chat("mine", n=3))
    if got == generated("chat3.json"):
        break
    time.sleep(0.1)
else:
    sys.exit(f"{got}")
PY
touch enough
wait "$load"
[ ! -e refused ] || fail "a request failed while adapters were taken"
python3 long.py "$url" 60 >long.after
sort -u while.txt >seen
[ "$(wc -l <seen)" -le 3 ] && grep -qxF -f long.before seen || fail "a text is of none of the adapters: $(cat seen)"

# ---- a stop lets what is there end
python3 long.py "$url" 2000 >last.txt 2>last.err &
last=$!
for _ in $(seq 100); do
    curl -s "$url/health" | grep -q '"jobs":0' || break
    sleep 0.05
done
kill "$pid"
wait "$pid" || [ $? = 75 ] || fail "serve ends with $?"
pid=
wait "$last" || fail "a stream was cut by the stop: $(cat last.err)"
