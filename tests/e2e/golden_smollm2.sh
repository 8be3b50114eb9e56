#!/usr/bin/env bash
# needs: model
# The run of recipes/demo.yaml on twelve instructions is the one that tests/fixtures/demo_smollm2.sha256 was made from:
# the hash of its dump, which holds those of its adapters. Threads, batch and instruction set change the speed only.
# FULL=1 tries portable, avx2 and avx512 with 1 and 2 threads and batches of 1, 7 and 32, and 30 kills: hours.
# GOLDEN=write makes the fixture anew, when the rows of a run, the recipe or the instructions have changed.
. "$2/tests/e2e/lib_run.sh"

golden=$SRC/tests/fixtures/demo_smollm2.sha256
run() { # NAME flags
    name=$1
    shift
    # What `auto` becomes depends on the machine.
    "$STE" run "$SRC/recipes/demo.yaml" --run "$WORK/$name" --set models.seed=smollm2-135m-instruct \
        --set select.limit=12 --set engine.activations=int8 --set train.gradients=f32 "$@" >/dev/null 2>"$WORK/err"
}

run best || fail "the run ended with $?: $(cat "$WORK/err")"
[ "${GOLDEN:-}" != write ] || dump_hash "$WORK/best" >"$golden"
want=$(cat "$golden")
equal() { # NAME
    [ "$(dump_hash "$WORK/$1")" = "$want" ] && return
    "$STE" dump "$WORK/$1" >"$WORK/$1.txt"
    "$STE" dump "$WORK/best" | diff - "$WORK/$1.txt" | cut -c1-300 | head -6
    fail "$1: another dump than the golden one"
}
equal best

sets="avx2" threads="1" batches="7"
[ "${FULL:-0}" != 1 ] || { sets="portable avx2 avx512" threads="1 2" batches="1 7 32"; }
for isa in $sets; do
    for n in $threads; do
        for batch in $batches; do
            name=$isa-$n-$batch
            run "$name" --isa "$isa" --threads "$n" --batch "$batch" || {
                grep -q 'lacks the instruction set' "$WORK/err" && { echo "skipped: $name"; continue; }
                fail "$name: $(cat "$WORK/err")"
            }
            equal "$name"
            echo "$name: the golden dump"
        done
    done
done

[ "${FULL:-0}" = 1 ] || exit 0
RANDOM=7 kills=0
while [ "$kills" -lt 30 ]; do
    run killed &
    sleep "0.$((RANDOM % 9))"
    kill -9 $! 2>/dev/null && kills=$((kills + 1))
    wait $! 2>/dev/null || true
    [ $((kills % 10)) -ne 9 ] || run killed || fail "after $kills kills: $(cat "$WORK/err")"
done
run killed || fail "after 30 kills: $(cat "$WORK/err")"
equal killed
echo "after 30 kills: the golden dump"
