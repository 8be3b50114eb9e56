#!/usr/bin/env bash
# What schedulers do to a run: TERM, USR1, Ctrl-C, the same signal again, a second run beside the first. Each has its exit
# code, and the same command goes on to the store and adapters of a run that nobody disturbed.
. "$(dirname "$0")/lib_tiny.sh"
cd "$dir" || exit 1
export STE_LOG=quiet

rows Question 40 >labelled.jsonl
recipe 1 "max_steps: 100, epochs: 100, checkpoint_every: 20" >tiny.yaml
"$ste" run tiny.yaml --run whole >/dev/null 2>err || fail "the undisturbed run ended with $?"
"$ste" dump whole >whole.dump

begin() { # RUN TABLE: a run at work that has rows of TABLE; sets pid
    SLURM_JOB_ID=42 "$ste" run tiny.yaml --run "$1" >out 2>err &
    pid=$!
    until "$ste" dump "$1" 2>/dev/null | grep -q "\"table\":\"$2\""; do
        kill -0 $pid 2>/dev/null || fail "$1: over before it had a $2"
        sleep 0.05
    done
}
ends() { # CODE RUN
    local got=0
    wait $pid || got=$?
    [ "$got" = "$1" ] && grep -q 'the same command goes on from here' err || fail "$2: exit $got, not $1"
    "$ste" dump "$2" | cmp -s - whole.dump && fail "$2: nothing was left to do"
    "$ste" run tiny.yaml --run "$2" >/dev/null 2>err || fail "$2: going on ended with $?"
    "$ste" dump "$2" | cmp - whole.dump || fail "$2: another store"
    diff -r whole/adapters "$2/adapters" || fail "$2: other adapters"
}

begin term pair
kill -TERM $pid
ends 75 term

begin usr1 example # which is what training begins with
refuse 4 "usr1/run.lock is held by another ste (process $pid on $(uname -n), Slurm job 42)" run tiny.yaml --run usr1
kill -USR1 $pid
ends 75 usr1

begin again example
kill -TERM $pid
kill -TERM $pid 2>/dev/null
kill -USR1 $pid 2>/dev/null
ends 75 again

begin int judgment
kill -INT $pid
ends 130 int

# A lock goes with its process, however that ends; what it wrote stays behind and stands in nobody's way.
begin kill example
kill -KILL $pid
wait $pid 2>/dev/null
grep -q "process $pid on" kill/run.lock || fail "kill: run.lock has $(cat kill/run.lock)"
"$ste" run tiny.yaml --run kill >/dev/null 2>err || fail "kill: going on ended with $?"
"$ste" dump kill | cmp - whole.dump || fail "kill: another store"
echo "signals: as they should be"
