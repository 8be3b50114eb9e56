#!/usr/bin/env bash
# needs: model
# Another instruction set changes the speed only: whole runs, to the same store and the same adapter. FULL=1 tries the
# portable kernels too, which take many times as long.
. "$2/tests/e2e/lib_run.sh"

few="--set select.limit=10 --set iterations=1 --set judge.samples=2 --set judge.max_tokens=48"
# shellcheck disable=SC2086
"$STE" run "$WORK/tiny.yaml" --run "$WORK/best" $few >/dev/null || fail "the run ended with $?"
tried=0
for isa in avx512 avx-vnni avx2 portable; do
    [ "$isa" != portable ] || [ "${FULL:-0}" = 1 ] || continue
    # shellcheck disable=SC2086
    "$STE" run "$WORK/tiny.yaml" --run "$WORK/$isa" $few --isa "$isa" >/dev/null 2>"$WORK/err" || {
        grep -q 'lacks the instruction set' "$WORK/err" && continue
        fail "$isa: $(cat "$WORK/err")"
    }
    tried=$((tried + 1))
    [ "$(dump_hash "$WORK/$isa")" = "$(dump_hash "$WORK/best")" ] || {
        "$STE" dump "$WORK/$isa" >"$WORK/isa.txt"
        "$STE" dump "$WORK/best" | diff - "$WORK/isa.txt" | cut -c1-300 | head -6
        fail "$isa: another store"
    }
    [ "$(adapters_hash "$WORK/$isa")" = "$(adapters_hash "$WORK/best")" ] || fail "$isa: another adapter"
done
[ "$tried" -gt 0 ] || { echo "skipped: this machine has no second instruction set"; exit 77; }
