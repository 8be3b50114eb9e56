#!/usr/bin/env bash
# needs: model
# kill -9 at random moments, each time the same command again; the store and the adapters must be those of a run that
# nobody disturbed. KILLS=N (default 2).
. "$2/tests/e2e/lib_run.sh"
KILLS=${KILLS:-2}
sed -i 's/max_steps: 4/max_steps: 8/' "$WORK/tiny.yaml"

start=$(date +%s%N)
"$STE" run "$WORK/tiny.yaml" --run "$WORK/whole" >/dev/null || fail "the undisturbed run ended with $?"
took=$((($(date +%s%N) - start) / 1000000))
want=$(dump_hash "$WORK/whole") adapters=$(adapters_hash "$WORK/whole")
echo "undisturbed: $took ms"

RANDOM=${SEED:-7}
kills=0 runs=0
while [ "$kills" -lt "$KILLS" ]; do
    runs=$((runs + 1))
    [ "$runs" -lt $((KILLS * 8 + 20)) ] || fail "no end after $runs runs"
    "$STE" run "$WORK/tiny.yaml" --run "$WORK/killed" >/dev/null 2>"$WORK/err.txt" &
    pid=$!
    # Somewhere within a share of the whole that leaves work for the kills to come, and lets each run get somewhere.
    share=$((2 * took / (KILLS + 1)))
    [ "$share" -ge $((took / 8)) ] || share=$((took / 8))
    wait_ms=$((300 + RANDOM % (share + 400)))
    sleep "$(awk "BEGIN {print $wait_ms / 1000}")"
    if kill -9 $pid 2>/dev/null; then
        wait $pid 2>/dev/null || true
        kills=$((kills + 1))
        where=$(python3 -c "
import sqlite3
try:
    c = sqlite3.connect('file:$WORK/killed/run.db?mode=ro', uri=True)
    print(*(c.execute('select count(*) from ' + t).fetchone()[0] for t in
            ('generation', 'pair', 'judgment', 'train_step', 'evaluation')))
except sqlite3.Error as e:
    print(e)")
        echo "kill $kills after $wait_ms ms; generations, pairs, judgments, steps, evaluations: $where"
    else
        wait $pid || fail "a resumed run ended with $?: $(cat "$WORK/err.txt")"
        # It was done before its kill: start over, so that every kill hits a run at work.
        [ "$(dump_hash "$WORK/killed")" = "$want" ] || fail "after $kills kills: another store"
        rm -rf "$WORK/killed"
    fi
done
"$STE" run "$WORK/tiny.yaml" --run "$WORK/killed" >/dev/null || fail "the last resume ended with $?"
if [ "$(dump_hash "$WORK/killed")" != "$want" ]; then
    "$STE" dump "$WORK/whole" >"$WORK/a.txt"
    "$STE" dump "$WORK/killed" | diff "$WORK/a.txt" - | cut -c1-300 | head -6
    fail "another store after $kills kills"
fi
[ "$(adapters_hash "$WORK/killed")" = "$adapters" ] || fail "other adapters after $kills kills"
echo "same store and adapters after $kills kills: $want"
