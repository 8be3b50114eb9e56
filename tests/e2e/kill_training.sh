#!/usr/bin/env bash
# kill -9 of ste sft, ste train-rm and ste dpo at random moments and soon after a state was kept, by turns, each time the same
# command again; the folder must be that of a command that nobody disturbed. Another input or setting is refused.
# KILLS=N (default 10), SEED=N.
. "$(dirname "$0")/lib_tiny.sh"
cd "$dir" || exit 1
KILLS=${KILLS:-10}
RANDOM=${SEED:-7}
python3 - <<'PY'
import json
with open("rows.jsonl", "w") as f:
    for i in range(40):
        f.write(json.dumps({"prompt": f"Question {i}? " + "Think. " * (i % 9), "chosen": f"Yes, {i}, " + "surely " * (i % 7),
                            "completion": "Yes. " * (1 + i % 5), "rejected": "No. " * (1 + i % 4)}) + "\n")
PY

done_or_there() { # EXIT CODE: a kill may hit one that has done all but exit
    [ "$1" = 0 ] || { [ "$1" = 2 ] && grep -q 'already there' err; }
}

sums() { (cd "$1" && find . -type f | LC_ALL=C sort | xargs sha256sum); }

states() { ls killed/state-*.bin 2>/dev/null; }

kill_at_random() { # NAME STEPS COMMAND...: without --steps, --out and --log; a fast machine makes more steps
    local name=$1 steps=$2 kills=0 runs=0 resumed=0 began took=0 want had
    shift 2
    while :; do
        began=$(date +%s%N)
        "$ste" "$@" --steps "$steps" --out "$name" --log "$name.log" >"$name.out" 2>err ||
            fail "$name: the undisturbed one ended with $?"
        took=$((($(date +%s%N) - began) / 1000000))
        [ $took -lt 1000 ] && [ "$steps" -lt 20000 ] || break
        steps=$((steps * 2))
        rm -r "$name" "$name.log"
    done
    set -- "$@" --steps "$steps"
    want=$(sums "$name")
    while [ "$kills" -lt "$KILLS" ]; do
        runs=$((runs + 1))
        [ "$runs" -lt $((KILLS * 8 + 20)) ] || fail "$name: no end after $runs runs"
        had=$(states)
        "$ste" "$@" --out killed --log killed.log >killed.out 2>err &
        local pid=$! wait_ms=$((30 + RANDOM % (2 * took / 5 + 1)))
        if [ $((runs % 2)) = 0 ]; then
            while kill -0 $pid 2>/dev/null && [ "$(states)" = "$had" ]; do sleep 0.01; done
            wait_ms=$((RANDOM % 100))
        fi
        sleep "$(awk "BEGIN {print $wait_ms / 1000}")"
        if kill -9 $pid 2>/dev/null; then
            wait $pid 2>/dev/null
            kills=$((kills + 1))
            [ -z "$(states)" ] || resumed=$((resumed + 1))
        else
            wait $pid
            done_or_there $? || fail "$name: one that went on ended otherwise"
            [ "$(sums killed)" = "$want" ] || fail "$name: another folder after $kills kills: $(ls -a killed)"
            rm -r killed
        fi
    done
    local rc=0
    "$ste" "$@" --out killed --log killed.log >killed.out 2>err || rc=$?
    done_or_there $rc || fail "$name: the last one ended with $rc"
    [ "$(sums killed)" = "$want" ] || fail "$name: another folder after $kills kills: $(ls -a killed)"
    [ $rc != 0 ] || cmp -s <(sed 's/, [0-9.]* tok.s$//; s/ in [a-z]*: .*//' "$name.out") \
        <(sed 's/, [0-9.]* tok.s$//; s/ in [a-z]*: .*//' killed.out) || fail "$name: other steps were printed"
    [ $rc != 0 ] || cmp -s <(sed 's/,"seconds.*//' "$name.log") <(sed 's/,"seconds.*//' killed.log) || fail "$name: another log"
    echo "$name: $took ms, the same after $kills kills, $resumed of them with a state to go on from"
    [ "$KILLS" -lt 10 ] || [ "$resumed" -gt 1 ] || fail "$name: hardly any state was there to go on from"
    rm -r killed
}

kill_at_random sft 800 sft --model "$tiny" --in rows.jsonl --batch 4 --schedule cosine --warmup 5
kill_at_random rm 400 train-rm --model "$tiny" --in rows.jsonl --batch 4
kill_at_random dpo 400 dpo --model "$tiny" --in rows.jsonl --batch 4

# Ctrl-C keeps a state; then only the same training goes on from it, and one command at a time.
command=(sft --model "$tiny" --in rows.jsonl --out stopped --batch 4)
"$ste" "${command[@]}" --steps 2000 >out 2>err &
pid=$!
for _ in $(seq 200); do [ -s out ] && break; sleep 0.05; done
"$ste" "${command[@]}" --steps 2000 >/dev/null 2>err.2 && fail "a second command trained in the same folder"
grep -q 'held by another ste' err.2 || fail "a second command said: $(cat err.2)"
kill -INT $pid
wait $pid
[ $? = 130 ] && grep -q 'the same command goes on from here' err || fail "Ctrl-C: $(cat err)"
ls stopped/state-*.bin >/dev/null || fail "Ctrl-C kept no state"
sed 1d rows.jsonl >fewer.jsonl
refused() { # PART FLAGS...
    local part=$1
    shift
    "$ste" "${command[@]}" "$@" >/dev/null 2>err && fail "$*: was taken"
    grep -q "with $part; go on with what it was begun with, or remove that file to begin anew" err || fail "$*: said $(cat err)"
}
refused 'steps 2000, and now it is 2400' --steps 2400
refused 'lr 0.0001, and now it is 0.001' --steps 2000 --lr 0.001
refused 'order shuffle, and now it is file' --steps 2000 --order file
refused 'adapter none, and now it is [0-9a-f]*' --steps 2000 --adapter sft
refused 'examples [0-9a-f]*, and now it is [0-9a-f]*' --steps 2000 --in fewer.jsonl
"$ste" "${command[@]}" --steps 2000 --threads 1 --micro-tokens 64 >/dev/null 2>err || fail "going on: $?"
"$ste" "${command[@]}" --steps 2000 >/dev/null 2>err && fail "what was done is trained again"
grep -q 'already there' err || fail "what was done: $(cat err)"
mkdir mine && echo >mine/notes
"$ste" "${command[@]}" --out mine --steps 1 >/dev/null 2>err && fail "a folder with something else was taken"
[ "$(ls -A mine)" = notes ] || fail "something was left in a folder that was refused"
