#!/usr/bin/env bash
# adapters_llama.sh STE LLAMA_SERVER VENV: runs of two iterations whose answers and judges are all a real llama-server's,
# with the adapter of each iteration given to it by cluster/llama-server: trained by ste, with kill -9 of ste ten times
# and of the server twice; then by trainers/trl/train.py under torchrun with two processes (VENV has TRL and PEFT). Nothing
# that was answered is asked again, and what the server's adapter judges is what our engine judges with it: the server has
# the seed's weights in float32, as it rounds activations to 8 bits beside 8-bit weights. MODEL, LIMIT (instructions), PARTS="own" or "trl", KILLS="WHO:PHASE..." (at random moments of it).
. "$(dirname "$0")/lib_servers.sh"
llama=$2
kills=${KILLS-ste:generating server:generating ste:generating ste:generating ste:judging server:judging ste:judging ste:training
    ste:giving ste:judging ste:training ste:giving}
trap 'kill -- -"$server" $recorder $pid 2>/dev/null; rm -rf "$work"' EXIT
recorder='' pid=''

start() { # the server, behind recorder.py, which others ask
    setsid bash "$src/cluster/llama-server/serve.sh" "$work/state" "$llama" -m "$f32" --host 127.0.0.1 \
        --port $((port + 1)) -t 1 -tb 1 -np 4 -c 16384 --alias base >>"$work/server.log" 2>&1 &
    server=$!
    python3 "$src/tests/interop/recorder.py" "$port" $((port + 1)) "$work/asked.jsonl" &
    recorder=$!
    printf 'url: http://127.0.0.1:%s/v1\nmodel: base\non_adapter: [%s, %s]\n' $port \
        "$src/cluster/llama-server/on_adapter.sh" "$work/state" >"$work/judge.yaml"
    until curl -sf "http://127.0.0.1:$port/health" >/dev/null; do
        kill -0 $server $recorder 2>/dev/null || fail "llama-server ended"
        sleep 0.2
    done
}
phase() { # RUN: what it is at
    local n
    n=$(find "$1/adapters" -maxdepth 1 -name 'iter-?' 2>/dev/null | wc -l)
    if [ "$n" != 0 ] && ! grep -q "$1/adapters/iter-$n/" "$work/asked.jsonl"; then
        echo giving
    elif [ -n "$(find "$1/training" -type f 2>/dev/null)" ]; then
        echo training
    elif tail -n 1 "$work/asked.jsonl" | grep -q '"free": true'; then
        echo generating
    else
        echo judging
    fi
}
begin() { # NAME
    asked=$(wc -l <"$work/asked.jsonl")
    "$ste" run "$work/$1.yaml" --run "$work/$1" >"$work/out" 2>>"$work/err" &
    pid=$!
}
disturb() { # NAME WHO PHASE: kill -9 of WHO at a random moment of PHASE
    until [ "$(phase "$work/$1")" = "$3" ] && { [ "$(wc -l <"$work/asked.jsonl")" -gt "$asked" ] || [ "$3" = training ] || [ "$3" = giving ]; }; do
        kill -0 $pid 2>/dev/null || fail "the run ended before it was $3: $(tail -n 2 "$work/err")"
        sleep 0.05
    done
    sleep $((RANDOM % 4)).$((RANDOM % 10))
    kill -0 $pid 2>/dev/null || fail "the run ended before the kill of $2"
    echo "$(date +%s.%N) $2 $(phase "$work/$1")" >>"$work/kills"
    if [ "$2" = server ]; then
        kill -9 "$(cat "$work/state/pid")"
        asked=$(wc -l <"$work/asked.jsonl")
    else
        kill -9 $pid
        wait $pid 2>/dev/null
        begin "$1"
    fi
}
held() { # NAME
    look "$work/$1" llama-server
    python3 "$src/tests/interop/asked.py" "$work/asked.jsonl" "$work/kills" || fail "$1: asked again"
    asked=$(wc -l <"$work/asked.jsonl")
    "$ste" run "$work/$1.yaml" --run "$work/$1" >"$work/out" 2>"$work/err" || fail "$1 again: exit $?"
    [ "$asked" = "$(wc -l <"$work/asked.jsonl")" ] || fail "$1 again: something was asked"
    judged "$work/$1" "$work/judge.yaml" 0.03
}
run() { # NAME KILLS TRAIN
    from=$(date +%s)
    for log in kills err asked.jsonl; do : >"$work/$log"; done
    recipe "$work/judge.yaml" "$3" >"$work/$1.yaml"
    begin "$1"
    for kill in $2; do disturb "$1" "${kill%:*}" "${kill#*:}"; done
    wait $pid || fail "$1: exit $?"
    grep -q "answers otherwise" "$work/err" && fail "$(cat "$work/err")"
    killed=$(cut -d' ' -f2- "$work/kills" | sort | uniq -c | paste -sd, | tr -s ' ')
    echo "$1: $(($(date +%s) - from)) s, kill -9 of ${killed:- nobody}"
    held "$1"
}
own() { run own "$kills" ""; }
trl() {
    make_folder
    run trl "" "$(torchrun 2)"
}

make_f32
start
for part in ${PARTS:-own trl}; do $part; done
echo "adapters on llama-server: as they should be"
