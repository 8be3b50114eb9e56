#!/usr/bin/env bash
# needs: model
# A run that is disturbed: wrong recipes, a changed recipe, a second ste on the same run, a folder that may not be
# written, a full disk, Ctrl-C. Each: one sentence, the right exit code, nothing lost.
. "$2/tests/e2e/lib_run.sh"

# expect CODE PART COMMAND...
expect() {
    local code=$1 part=$2 got=0
    shift 2
    "$@" >"$WORK/out" 2>"$WORK/err" || got=$?
    [ "$got" = "$code" ] || fail "$*: exit $got, not $code: $(cat "$WORK/err")"
    grep -qF -- "$part" "$WORK/err" || fail "$*: said $(cat "$WORK/err"), not: $part"
    [ "$(grep -c '^ste: ' "$WORK/err")" -ge 1 ] || fail "$*: no sentence"
}

# recipes
expect 1 'did you mean demo?' "$STE" run demmo
expect 2 'did you mean "judge.temperature"?' "$STE" run demo --run "$WORK/x" --set judge.temprature=1
expect 2 'name a recipe' "$STE" run
printf 'judge:\n  sampels: 3\n' >"$WORK/bad.yaml"
expect 2 'judge.samples' "$STE" run "$WORK/bad.yaml" --run "$WORK/x"
printf 'judge:\n  samples: many\n' >"$WORK/bad.yaml"
expect 2 'judge.samples' "$STE" run "$WORK/bad.yaml" --run "$WORK/x"
expect 1 'bad.yaml' "$STE" run "$WORK/nothing/bad.yaml" --run "$WORK/x"
[ ! -e "$WORK/x/run.db" ] || fail "a refused recipe made a run"

# instructions
printf '{"instruction": "Name a colour of the rainbow."}\nnot json\n' >"$WORK/broken.jsonl"
expect 1 'broken.jsonl:2' "$STE" select "$WORK/b" --recipe "$WORK/tiny.yaml" --set "instructions.files=$WORK/broken.jsonl"
printf '{"ask": "none of the known fields"}\n' >"$WORK/broken.jsonl"
expect 1 'broken.jsonl:1' "$STE" run "$WORK/tiny.yaml" --run "$WORK/c" --set "instructions.files=$WORK/broken.jsonl"

# steps out of order
"$STE" select "$WORK/run" --recipe "$WORK/tiny.yaml" || fail "ste select"
expect 2 'ste pair' "$STE" judge-step "$WORK/run"
expect 2 'ste judge-step' "$STE" judge "$WORK/run"
expect 2 'not judged yet' "$STE" filter "$WORK/run"
expect 2 'ste filter' "$STE" train "$WORK/run"
expect 2 'comes first' "$STE" iterate "$WORK/run" --iteration 2
expect 1 'no run' "$STE" pair "$WORK/nowhere"
expect 1 'no run' "$STE" dump "$WORK/nowhere"

# a second ste on a run at work, then Ctrl-C, then going on
"$STE" run "$WORK/tiny.yaml" --run "$WORK/run" >/dev/null 2>"$WORK/first.err" &
pid=$!
until "$STE" dump "$WORK/run" | grep -q '"table":"generation"'; do
    kill -0 $pid 2>/dev/null || fail "the run ended before it wrote anything: $(cat "$WORK/first.err")"
    sleep 0.2
done
expect 4 'another ste' "$STE" run "$WORK/tiny.yaml" --run "$WORK/run"
"$STE" report "$WORK/run" >/dev/null || fail "a report of a run at work"
kill -INT $pid
got=0
wait $pid || got=$?
[ "$got" = 130 ] || fail "Ctrl-C: exit $got, not 130: $(cat "$WORK/first.err")"
rows=$("$STE" dump "$WORK/run" | wc -l)
"$STE" run "$WORK/tiny.yaml" --run "$WORK/run" >/dev/null || fail "going on after Ctrl-C ended with $?"
[ "$("$STE" dump "$WORK/run" | wc -l)" -gt "$rows" ] || fail "nothing was done after Ctrl-C"
python3 "$SRC/tests/e2e/sums.py" "$WORK/run" >/dev/null || fail "sums after Ctrl-C"

# a changed recipe: the difference is shown, the run stays as it is
before=$(dump_hash "$WORK/run")
expect 2 'judge.samples: 6 -> 7' "$STE" run "$WORK/tiny.yaml" --run "$WORK/run" --set judge.samples=7
[ "$(dump_hash "$WORK/run")" = "$before" ] || fail "a refused recipe changed the run"

"$STE" run "$WORK/tiny.yaml" --run "$WORK/whole" >/dev/null || fail "the undisturbed run"
[ "$(dump_hash "$WORK/run")" = "$(dump_hash "$WORK/whole")" ] || fail "Ctrl-C and going on gave another store"

# a newer store
cp -r "$WORK/run" "$WORK/newer"
python3 -c "import sqlite3; sqlite3.connect('$WORK/newer/run.db').execute('pragma user_version = 99')"
expect 1 'newer ste' "$STE" report "$WORK/newer"

# a folder that may not be written: reading is fine, running is not (as nobody, since root may write everywhere)
cp -r "$WORK/run" "$WORK/still"
chmod -R a-w,a+rX "$WORK/still" "$WORK"
as() { if [ "$(id -u)" = 0 ]; then setpriv --reuid=65534 --regid=65534 --clear-groups env "STE_HOME=$WORK/home" "$@"; else "$@"; fi; }
if as test -x "$STE"; then
    as "$STE" dump "$WORK/still" >"/dev/null" || fail "a read-only run cannot be read"
    expect 1 'denied' as "$STE" pair "$WORK/still"
fi
chmod -R u+w "$WORK"

# a full disk
if [ "$(id -u)" = 0 ] && mkdir "$WORK/disk" && mount -t tmpfs -o size=300k tmpfs "$WORK/disk" 2>/dev/null; then
    trap 'umount "$WORK/disk" 2>/dev/null; rm -rf "$WORK"' EXIT
    expect 1 'full' "$STE" run "$WORK/tiny.yaml" --run "$WORK/disk/run"
    mount -o remount,size=64m "$WORK/disk"
    "$STE" run "$WORK/tiny.yaml" --run "$WORK/disk/run" >/dev/null || fail "going on after a full disk ended with $?"
    [ "$(dump_hash "$WORK/disk/run")" = "$(dump_hash "$WORK/whole")" ] || fail "a full disk changed the store"
else
    echo "full disk: left out (needs root and tmpfs)"
fi
echo "bad runs: each with its sentence, and nothing lost"
