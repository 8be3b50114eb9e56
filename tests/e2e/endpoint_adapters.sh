#!/usr/bin/env bash
# Adapters on servers (lib_endpoint.py, which answers otherwise under one): the judge of every iteration is the
# server's, on two addresses, killed, restarted and gone on with; and what is said where an adapter is not taken.
. "$(dirname "$0")/lib_tiny.sh"
here=$(cd "$(dirname "$0")" && pwd)
cd "$dir" || exit 1
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY STE_API_KEY
export STE_LOG=quiet no_proxy=127.0.0.1 NO_PROXY=127.0.0.1 here

servers=()
trap 'kill "${servers[@]}" $(cat ./*/pid 2>/dev/null) 2>/dev/null; rm -rf "$dir"' EXIT
start() { # NAME KIND [FAULT]: a server in the folder NAME, at the port that it had before
    local name=$1
    shift
    mkdir -p "$name"
    PORT=$(cat "$name/port" 2>/dev/null) && export PORT || unset PORT
    rm -f "$name/port"
    python3 "$here/lib_endpoint.py" "$name" "$@" 2>"$name/stderr" &
    servers+=($!)
    echo $! >"$name/pid"
    for _ in $(seq 100); do
        [ -f "$name/port" ] && break
        sleep 0.1
    done
    unset PORT
}
end() { # NAME...
    for name in "$@"; do
        kill "$(cat "$name/pid")" 2>/dev/null
        wait "$(cat "$name/pid")" 2>/dev/null
    done
}
url() { echo "http://127.0.0.1:$(cat "$1/port")/v1"; }
names() { curl -s "$(url "$1")/models" | python3 -c 'import json, sys; print(*[m["id"] for m in json.load(sys.stdin)["data"]])'; }
for i in $(seq 40); do echo "{\"instruction\": \"Question $((i * 37 + 1000))? It is number $i of $((i * i)).\"}"; done >in.jsonl
kinds() { # JUDGE [TRAIN]: a recipe whose answers and judges are all there
    cat <<YAML
models: {seed: $dir/judge.gguf, answer: "$1", modify: "$1", judge: "$1"}
prompts: {pack: direct}
instructions: {files: [in.jsonl]}
pair: {kinds: {other: 1, modify: 1}, max_tokens: 200}
check: {by: none}
select: {min_chars: 1, duplicate: 0}
split: {dev: 0.1, test: 0.2, dev_pairs: 0, cluster: 1}
judge: {samples: 4, orders: both}
filter: {rule: margin, trust_from: 100}
train: {r: 2, lr: 0.001, batch: 4, warmup: 1, max_steps: 4, ${2:-}}
iterations: 2
YAML
}
asked() { # RUN: where each iteration was judged and evaluated, and with how many adapters
    python3 - "$1" <<'PY'
import sqlite3, sys
d = sqlite3.connect(sys.argv[1] + "/run.db")
made = dict(d.execute("select iteration, adapter_hash from iteration"))
assert len(set(made.values())) == 2, made
for table, back in ("judgment", 1), ("evaluation", 0):
    rows = d.execute(f"select t.iteration, p.numerics, p.adapter_hash, count(*) from {table} t join provenance p on "
                     "p.id = t.provenance" + (" where t.suite = 'test'" if not back else "") + " group by 1, 2, 3").fetchall()
    assert len(rows) == 3 - back, rows
    for iteration, numerics, adapter, n in rows:
        assert n and adapter == made.get(iteration - back, ""), (table, rows, made)
        print(numerics.split()[0], end=" ")
PY
}

# ---- vLLM, two addresses: two iterations, as nobody disturbed them
export LORA=1
SLOW=0.01 start a vllm mix
SLOW=0.01 start b vllm mix
both=$(url a),$(url b)#paper
kinds "$both" >vllm.yaml
"$ste" run vllm.yaml --run vllm >/dev/null 2>err || fail "vllm: the run ended with $?"
"$ste" dump vllm >vllm.dump
python3 "$here/sums.py" vllm || fail "vllm: sums do not add up"
[ "$(asked vllm)" = "vllm vllm vllm vllm vllm " ] || fail "vllm: judged elsewhere: $(asked vllm)"
for s in a b; do
    [ "$(names $s)" = paper ] || fail "an adapter stays on $s: $(names $s)"
    grep -q '"adapter": "[0-9a-f]' $s/served.jsonl || fail "$s was asked without an adapter only"
done
before=$(cat a/served.jsonl b/served.jsonl | wc -l)
"$ste" run vllm.yaml --run vllm >/dev/null 2>err || fail "vllm again: exit $?"
[ "$before" = "$(cat a/served.jsonl b/served.jsonl | wc -l)" ] || fail "vllm again: something was asked"
python3 - vllm "$dir/judge.gguf" <<'PY' || fail "no hash of the base stands beside the adapter"
import hashlib, json, sys
for i in 1, 2:
    base = json.load(open(f"{sys.argv[1]}/adapters/iter-{i}/base.json"))
    assert base == {"name": sys.argv[2], "sha256": hashlib.sha256(open(sys.argv[2], "rb").read()).hexdigest()}
PY

# ---- killed at any time, and the servers too: the same rows, and an adapter that stays is found
for i in 1 2 3 4 5 6; do
    "$ste" run vllm.yaml --run killed >/dev/null 2>&1 &
    pid=$!
    sleep 0.$((i * 15))
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
"$ste" run vllm.yaml --run killed >/dev/null 2>err || fail "killed: exit $?"
"$ste" dump killed | cmp - vllm.dump || fail "killed: another store"
end a b
rm -f ./?/served.jsonl
again() { # NAME KIND [LORAS]: in the background: starts the server again once it is gone, without what it was started with
    (
        unset STOP
        export LORAS=${3:-}
        while sleep 0.2; do
            [ -e "$1/busy" ] || curl -s "$(url "$1")/models" || [ -e "$1/busy" ] || { touch "$1/again" && start "${@:1:2}"; }
        done
    ) >/dev/null 2>&1 &
    watcher=$!
}
unwatch() {
    kill $watcher 2>/dev/null
    wait $watcher 2>/dev/null
}
for fault in LOSE=40 STOP=90; do
    export "${fault?}"
    start a vllm
    unset "${fault%=*}"
    start b vllm
    again a vllm
    "$ste" run vllm.yaml --run "lost-$fault" >/dev/null 2>err || fail "$fault: exit $?"
    unwatch
    "$ste" dump "lost-$fault" | cmp - vllm.dump || fail "$fault: another store"
    end a b
done
[ -e a/lost ] && [ -e a/again ] || fail "no server lost its adapters"

# ---- where it is not taken, or not in force
for s in a b; do start $s vllm; done

end b
LORA=silent start b vllm
refuse 1 "$(url b) answers with the adapter" run vllm.yaml --run silent
grep -q "as without it: it is not in force there" err || fail "not what is wrong: $(cat err)"
end b
SEES="$dir=/elsewhere" start b vllm
refuse 1 "No adapter found for $dir/elsewhere/adapters/iter-1" run vllm.yaml --run elsewhere
grep -q "adapter_root in a YAML file says so" err || fail "no mend: $(cat err)"
printf 'url: [%s]\nmodel: paper\nadapter_root: [%s, /elsewhere]\n' "$(url b)" "$dir" >judge.yaml
kinds judge.yaml >mapped.yaml
"$ste" run mapped.yaml --run mapped >/dev/null 2>err || fail "adapter_root: exit $?"
[ "$(asked mapped)" = "vllm vllm vllm vllm vllm " ] || fail "adapter_root: judged elsewhere"
end b
start b vllm
refuse 1 "LoRA rank 32 is greater than max_lora_rank 16" run vllm.yaml --run rank --set train.r=32
echo 'adapters: false' >>judge.yaml
"$ste" run mapped.yaml --run here >/dev/null 2>err || fail "adapters: false: exit $?"
[ "$(asked here | grep -o vllm | wc -l)" = 1 ] || fail "adapters: false: judged elsewhere: $(asked here)"
refuse 2 "its file says adapters: false" generate --model judge.yaml --adapter vllm/adapters/iter-1 --chat Hi
"$ste" generate --model "$both" --adapter vllm/adapters/iter-1 --chat "Question 1?" >with 2>err || fail "generate: exit $?"
"$ste" generate --model "$both" --chat "Question 1?" >without 2>err || fail "generate: exit $?"
cmp -s with without && fail "the adapter changes nothing"
"$ste" judge --judge vllm/adapters/iter-1 --base "$both" --pack direct --in judge.jsonl --out with --no-cache >out 2>err || fail "judge: exit $?"
"$ste" judge --judge "$both" --pack direct --in judge.jsonl --out without --no-cache >out 2>err || fail "judge: exit $?"
cmp -s with without && fail "the judge's adapter changes nothing"
end b
LORA='' start b vllm
refuse 2 "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1" generate --model "$(url b)#paper" --adapter vllm/adapters/iter-1 --chat Hi

end a b

# ---- SGLang: by its own routes and names; found where it is already
start s sglang
"$ste" judge --judge vllm/adapters/iter-1 --base "$(url s)#paper" --pack direct --in judge.jsonl --out with --no-cache >out 2>err &
pid=$!
until grep -q '"adapter": "[0-9a-f]' s/served.jsonl || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
for _ in 1 2; do
    "$ste" judge --judge vllm/adapters/iter-1 --base "$(url s)#paper" --pack direct --in judge.jsonl --out with --no-cache >out 2>err || fail "sglang: exit $?"
    [ "$(names s)" = paper ] || fail "sglang: an adapter stays"
done
"$ste" judge --judge "$(url s)#paper" --pack direct --in judge.jsonl --out without --no-cache >out 2>err || fail "sglang: exit $?"
cmp -s with without && fail "sglang: the adapter changes nothing"
end s

# ---- another program trains
for s in a b; do start $s vllm; done
kinds "$both" "command: [python3, \"$here/lib_trainer.py\"]" >outside.yaml
"$ste" run outside.yaml --run outside >/dev/null 2>err || fail "train.command: exit $?"
end a b

# ---- llama-server: a command restarts it with the adapter
cat >restart.sh <<'SH'
#!/usr/bin/env bash
touch c/busy
kill "$(cat c/pid)" 2>/dev/null
while curl -s "http://127.0.0.1:$(cat c/port)/v1/models" >/dev/null; do sleep 0.05; done
echo "$1 $2" >>restarts
[ -e refuses ] && exit 3
PORT=$(cat c/port) LORAS="$1/adapter.gguf" setsid python3 "$here/lib_endpoint.py" c llama >/dev/null 2>&1 </dev/null &
echo $! >c/pid
until curl -s "http://127.0.0.1:$(cat c/port)/v1/models" >/dev/null; do sleep 0.05; done
rm c/busy
SH
chmod +x restart.sh
start c llama
printf 'url: [%s]\nmodel: paper\non_adapter: [./restart.sh]\npatience: 30\n' "$(url c)" >judge.yaml
kinds judge.yaml >llama.yaml
"$ste" run llama.yaml --run llama >/dev/null 2>err || fail "llama: exit $?"
[ "$(asked llama)" = "llama-server llama-server llama-server llama-server llama-server " ] || fail "llama: judged elsewhere"
[ "$(wc -l <restarts)" = 2 ] && grep -q "^$dir/llama/adapters/iter-2 ste-[0-9a-f]*$" restarts || fail "restarts: $(cat restarts)"
"$ste" dump llama >llama.dump
for i in 1 2 3; do
    "$ste" run llama.yaml --run llama-killed >/dev/null 2>&1 &
    pid=$!
    sleep $((i - 1)).7
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
"$ste" run llama.yaml --run llama-killed >/dev/null 2>err || fail "llama, killed: exit $?"
"$ste" dump llama-killed | cmp - llama.dump || fail "llama, killed: another store"
# a server that is started anew without the adapter is the base again, and says nothing of it
rm -r restarts
STOP=45 "$ste" run llama.yaml --run llama-lost >/dev/null 2>err &
pid=$!
until [ -e restarts ]; do sleep 0.1; done
sleep 1
again c llama
wait $pid || fail "llama, started anew: exit $?"
unwatch
end c
start c llama
[ -e c/again ] && [ "$(wc -l <restarts)" -gt 2 ] || fail "llama: the server was not lost"
"$ste" dump llama-lost | cmp - llama.dump || fail "llama, started anew: another store"
# its store of prompts does not know which adapter was on; nor does one that is started anew say what it has
judge() { "$ste" judge --judge "$1" ${2:+--base "$2"} --pack direct --in judge.jsonl --out "$3" "${@:4}" >out 2>err || fail "judge $1 $2: exit $?"; }
judge judge.yaml "" without --no-cache
judge llama/adapters/iter-1 judge.yaml with --no-cache
cmp -s with without && fail "llama: the judge's adapter changes nothing"
judge judge.yaml "" again --no-cache
cmp again without || fail "llama: the base answers otherwise behind an adapter"
end c
STOP=3 start c llama
rm -f c/again
again c llama "$dir/llama/adapters/iter-1/adapter.gguf"
judge judge.yaml "" again --no-cache
unwatch
[ -e c/again ] && cmp again without || fail "llama: the base answers otherwise, started anew with an adapter"
judge "$(url c)" "" with
cmp -s with without && fail "llama: an adapter that it was started with changes nothing"
end c
start c llama
judge "$(url c)" "" again
cmp again without || fail "llama: what was answered with an adapter is taken for the base's"
sed -i 's/^on_adapter.*/adapter_root: [.]/' judge.yaml
refuse 2 "judge.yaml: adapter_root is two folders" generate --model judge.yaml --chat Hi
printf 'url: [%s]\nmodel: paper\n' "$(url c)" >judge.yaml
refuse 2 "a command that restarts it with one can be named as on_adapter" generate --model judge.yaml --adapter vllm/adapters/iter-1 --chat Hi
sed -i '$ a on_adapter: [./restart.sh]' judge.yaml
touch refuses
refuse 1 "on_adapter: ./restart.sh ended with exit code 3" run llama.yaml --run llama-refused
echo "adapters on servers: as they should be"
