#!/usr/bin/env bash
# A model on a server: every fault of lib_endpoint.py is met by every question, and each question gets its own answer,
# once. QUESTIONS=N of each fault (default 300, and 80 of each fault alone; 10000 for the whole measurement, with
# SILENCE=30: seconds that a silent server is silent and waited for, where otherwise it is given up on after 6).
set -u
ste=$1
here=$2/tests/e2e
FEW=${QUESTIONS:-80}
QUESTIONS=${QUESTIONS:-300}
command -v python3 >/dev/null || exit 77
tmp=$(mktemp -d) || exit 1
servers=()
trap 'kill "${servers[@]}" 2>/dev/null; rm -rf "$tmp"' EXIT
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY STE_API_KEY OPENAI_API_KEY
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1

fail() {
    echo "FAILED: $1"
    [ -s "$tmp/err" ] && tail -5 "$tmp/err"
    exit 1
}

pairs() { # COUNT [FROM]
    local from=${2:-1000}
    for i in $(seq "$from" $((from + $1 - 1))); do
        echo "{\"id\": \"p$i\", \"prompt\": \"Question $i?\", \"response_a\": \"Yes, $i.\", \"response_b\": \"No.\"}"
    done
}

# A fresh server: SERVER ARGUMENTS of lib_endpoint.py behind DIR. Sets dir and url.
serve() {
    dir=$tmp/$RANDOM$RANDOM
    mkdir -p "$dir"
    python3 "$here/lib_endpoint.py" "$dir" "$@" 2>"$dir/stderr" &
    servers+=($!)
    for _ in $(seq 100); do
        [ -f "$dir/port" ] && break
        sleep 0.1
    done
    url=http://127.0.0.1:$(cat "$dir/port")/v1 || exit 1
}
stop() {
    kill "${servers[@]}" 2>/dev/null
    wait "${servers[@]}" 2>/dev/null
    servers=()
}

judge() { # NAME PACK [FLAG...]
    local name=$1 pack=$2
    shift 2
    "$ste" judge --judge "$name" --in "$tmp/in.jsonl" --out "$tmp/out.jsonl" --pack "$pack" "$@" >"$tmp/stdout" 2>"$tmp/err"
}
ask() { # as judge, with a cache of its own
    export STE_HOME=$tmp/home$RANDOM$RANDOM
    judge "$@"
}

# Each row has its two answers, they are those that went out, and each question was answered once: SERVED...
right() {
    python3 - "$tmp/in.jsonl" "$tmp/out.jsonl" "$@" <<'PY' || fail "$what: not each question has its answer, once"
import json, sys
from collections import Counter

rows, out, *served = [[json.loads(line) for line in open(p)] for p in sys.argv[1:]]
served = sum(served, [])
assert [r["id"] for r in rows] == [r["id"] for r in out], "other rows"
for r in out:
    for order in "ab", "ba":
        assert ("question %s," % r["id"][1:]) in r[order]["reasoning"], r
        assert r[order]["verdict"] in "AB", r
assert Counter(r[o]["reasoning"] for r in out for o in ("ab", "ba")) == Counter(s["text"] for s in served), "other texts"
assert len({s["address"] for s in served}) == len(served) == 2 * len(rows), "%d served" % len(served)
PY
}

# All questions were answered, and no more than MOST twice: MOST SERVED...
once() {
    python3 - "$QUESTIONS" "$@" <<'PY' || fail "$what: answers were asked for again"
import json, sys
n = [json.loads(line)["address"] for p in sys.argv[3:] for line in open(p)]
assert len(set(n)) == int(sys.argv[1]) and len(n) - len(set(n)) <= int(sys.argv[2]), (len(n), len(set(n)))
PY
}

now() { date +%s%N; }
took() { echo $((($(now) - $1) / 1000000)); }

# ---- faults that pass
pairs $((FEW / 2)) >"$tmp/in.jsonl"
start=$(now)
for what in none 429 429-after 500 503 reset reset-body cut garbage array null index twice error unknown abort huge; do
    from=$(now)
    serve openai "$what"
    ask "$url#paper" paper || fail "$what: exit $?"
    right "$dir/served.jsonl"
    printf '%s %s ms; ' "$what" "$(took "$from")"
    stop
done
pairs $((QUESTIONS / 2)) >"$tmp/in.jsonl"
what="mix, twice"
serve openai mix 2
ask "$url#paper" paper || fail "$what: exit $?"
right "$dir/served.jsonl"
stop
what="connections that are closed after 7 requests"
CLOSE=7 serve openai
ask "$url#paper" paper || fail "$what: exit $?"
right "$dir/served.jsonl"
stop
what=silence
serve openai silence
cat >"$tmp/paper.yaml" <<YAML
url: $url
model: paper
timeout: $((${SILENCE:--4} + 10))
max_in_flight: $((QUESTIONS < 1000 ? QUESTIONS : 1000))
YAML
ask "$tmp/paper.yaml" paper || fail "$what: exit $?"
right "$dir/served.jsonl"
stop
what="a model that is loading"
LOADING=2 serve openai
ask "$url#paper" paper || fail "$what: exit $?"
right "$dir/served.jsonl"
grep -q "is not ready: the server answered 503 (Loading model); waiting" "$tmp/err" || fail "$what: not said"
stop
what="two servers"
SLOW=0.02 serve openai
first=$url one=$dir
SLOW=0.02 serve openai mix
ask "$first,$url#paper" paper || fail "$what: exit $?"
right "$one/served.jsonl" "$dir/served.jsonl"
[ -s "$one/served.jsonl" ] && [ -s "$dir/served.jsonl" ] || fail "$what: one had nothing to do"
stop
echo "$FEW questions of each fault, $QUESTIONS of all: $(took "$start") ms"

# ---- a server that goes away: what it answered is not asked again
what="a server that goes away"
STOP=$((QUESTIONS / 3)) serve openai
port=${url#*:*:} gone=$dir
cat >"$tmp/gone.yaml" <<YAML
url: $url
patience: 0.5
YAML
ask "$tmp/gone.yaml" paper && fail "$what: not refused"
grep -q "answered nothing for .* seconds. The same command goes on from here" "$tmp/err" || fail "$what: not said"
PORT=${port%/v1} serve openai
judge "$tmp/gone.yaml" paper || fail "$what, again: exit $?"
once 8 "$gone/served.jsonl" "$dir/served.jsonl" # that were on their way when it went
stop

# ---- kill -9, and the same command again
what="kill -9"
SLOW=0.05 serve openai
export STE_HOME=$tmp/killed
for _ in 1 2 3; do
    ("$ste" judge --judge "$url#paper" --in "$tmp/in.jsonl" --out "$tmp/out.jsonl" --pack paper 2>/dev/null &
    sleep 0.4
    kill -9 $!) 2>/dev/null
done
judge "$url#paper" paper || fail "$what: exit $?"
once $((3 * 64)) "$dir/served.jsonl" # a window each time
stop

# ---- what no other try turns
pairs 3 >"$tmp/in.jsonl"
for case in redirect:'points to http://127.0.0.1:9/v1/elsewhere (redirects are not followed: name that address)' \
    later:'429 (Quota of the hour is used up); it asks to wait 3600 seconds' quota:'429 (You exceeded your current quota)'; do
    what=${case%%:*}
    serve openai "$what" 1000
    ask "$url#paper" paper && fail "$what: not refused"
    grep -qF "${case#*:}" "$tmp/err" || fail "$what: not said"
    stop
done
what="a question that is never answered"
serve openai 500 1000
ask "$url#other" paper && fail "a model that is not there"
grep -qF "has no model other; it has: paper" "$tmp/err" || fail "a model that is not there: not said"
ask "$url#paper" paper || fail "$what: exit $?"
grep -c '"reason":"transport"' "$tmp/out.jsonl" | grep -qx 3 || fail "$what: not counted as failed"
stop
what="refused questions"
serve openai
pairs 4 12 >"$tmp/in.jsonl"
ask "$url" paper || fail "$what: exit $?"
python3 - "$tmp/out.jsonl" <<'PY' || fail "$what: other reasons"
import json, sys
r = [json.loads(line)["reason"] for line in open(sys.argv[1])]
assert r == ["", "prompt too long", "transport", ""], r
PY
stop

# ---- a certificate that nobody vouches for
if command -v openssl >/dev/null; then
    what="a certificate"
    openssl req -x509 -newkey rsa:2048 -nodes -keyout "$tmp/key.pem" -out "$tmp/cert.pem" -days 2 -subj /CN=127.0.0.1 \
        -addext subjectAltName=IP:127.0.0.1 2>/dev/null
    TLS=$tmp serve openai
    url=https${url#http}
    pairs 3 >"$tmp/in.jsonl"
    ask "$url#paper" paper && fail "$what: taken"
    grep -q "certificate.*CURL_CA_BUNDLE" "$tmp/err" || fail "$what: not said"
    CURL_CA_BUNDLE=$tmp/cert.pem ask "$url#paper" paper || fail "$what that is named: exit $?"
    stop
    rm "$tmp/key.pem"
fi

# ---- verdicts
pairs 40 >"$tmp/in.jsonl"
way() { # WHAT THE PROVENANCE SAYS
    grep -qF "$1" "$tmp/eval.json" || fail "$what: another way: $(grep -o '"numerics":"[^"]*"' "$tmp/eval.json")"
}
figures() {
    sed 's/"response_a"/"chosen"/; s/"response_b"/"rejected"/' "$tmp/in.jsonl" >"$tmp/labelled.jsonl"
    "$ste" eval --judge "$1" --pack "$2" --data "$tmp/labelled.jsonl" --json "$tmp/eval.json" >"$tmp/stdout" 2>"$tmp/err" || fail "$what: eval, exit $?"
}
for pack in direct small; do
    for kind in vllm llama spaced; do
        what="$kind, $pack"
        if [ $kind = spaced ]; then SPACE=1 serve llama mix; else serve $kind mix; fi
        ask "$url#paper" $pack || fail "$what: exit $?"
        grep -q '"verdict_ab":"invalid"' "$tmp/out.jsonl" && fail "$what: invalid verdicts"
        figures "$url#paper" $pack
        way "labels by token ids"
        sed 's/, sample [0-9]*//g' "$tmp/out.jsonl" >"$tmp/$kind.jsonl"
        stop
    done
    cmp "$tmp/llama.jsonl" "$tmp/spaced.jsonl" || fail "$pack: a tokenizer that puts spaces in front gives other labels"
    [ $pack = small ] || cmp "$tmp/vllm.jsonl" "$tmp/llama.jsonl" || fail "$pack: the same labels give other verdicts"
done
for case in "vllm:return_token_ids:log-probabilities of a turn" "vllm:logprob_token_ids:log-probabilities of a turn" \
    "openai::log-probabilities of a turn" "openai:logprobs:votes" "votes::votes" "llama:n_probs:votes"; do
    what=$case
    IFS=: read -r kind lies want <<<"$case"
    [ "$kind:$lies" = vllm:return_token_ids ] || [ "$kind:$lies" = vllm:logprob_token_ids ] && want=votes # of paper
    LIES=$lies serve $kind mix
    ask "$url#paper" small || fail "$what: exit $?"
    grep -q '"verdict_ab":"invalid"' "$tmp/out.jsonl" && fail "$what: invalid verdicts"
    figures "$url#paper" small
    way "labels by $want"
    stop
done

# ---- keys
what=keys
key=sk-sesame-$RANDOM$RANDOM
echo "$key" >"$tmp/key"
KEY=$key SLOW=0.3 serve vllm mix
ask "$url#paper" paper && fail "no key: not refused"
grep -qF "answered 401" "$tmp/err" && grep -qF "a key comes from STE_API_KEY" "$tmp/err" || fail "no key: not said"
STE_API_KEY=sk-other-secret ask "$url#paper" paper && fail "another key: not refused"
grep -q "sk-other-secret" "$tmp/err" && fail "another key: shown"
export STE_HOME=$tmp/keyhome
STE_API_KEY=$key judge "$url#paper" paper &
sleep 0.5
ps -ef >"$tmp/ps"
wait $! || fail "$what: exit $?"
printf 'url: %s\nkey_file: %s\n' "$url" "$tmp/key" >"$tmp/file.yaml"
ask "$tmp/file.yaml" direct || fail "key_file: exit $?"
printf 'url: %s\nkey_env: OF_MINE\n' "$url" >"$tmp/env.yaml"
ask "$tmp/env.yaml" direct && fail "key_env that is not set: not refused"
OF_MINE=$key ask "$tmp/env.yaml" direct || fail "key_env: exit $?"
mkdir "$tmp/cores"
STE_API_KEY=$key STE_HOME=$tmp/corehome python3 - "$tmp/cores" "$ste" judge --judge "$url#paper" --in "$tmp/in.jsonl" \
    --out "$tmp/cores/out.jsonl" --pack paper <<'PY' || fail "$what: a core file"
import os, resource, signal, subprocess, sys, time
folder, *command = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)

def dumps(argv):
    p = subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    p.send_signal(signal.SIGQUIT)
    status = os.waitpid(p.pid, 0)[1]
    assert os.WIFSIGNALED(status), (argv[0], status)
    return os.WCOREDUMP(status)

if dumps(["sleep", "60"]):
    sys.exit(dumps(command))
print("no core files on this machine: not tried")
PY
rm -f "$tmp"/cores/core* "$tmp/key"
grep -rqF "$key" "$tmp" && fail "the key is in $(grep -rlF "$key" "$tmp")"
ask "http://user:$key@127.0.0.1:1/v1#paper" paper && fail "a key in the address: not refused"
grep -qF "$key" "$tmp/err" && fail "a key in the address: shown"
stop

echo "a model on a server: as it should be"
