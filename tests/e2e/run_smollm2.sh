#!/usr/bin/env bash
# needs: model
# The whole loop on SmolLM2-135M: it finishes, its sums add up, running it again does nothing, and it comes out the same
# for other threads and batch limits.
. "$2/tests/e2e/lib_run.sh"

"$STE" run "$WORK/tiny.yaml" --run "$WORK/a" --profile >"$WORK/out.txt" 2>"$WORK/profile.txt" || fail "the run ended with $?"
# The profile adds up: the kinds of work to their step, the steps to the whole.
awk '
    /^  [a-z]/ { match($0, /[0-9.]+ +[0-9.]+%/); kinds += substr($0, RSTART); next }
    /^all /    { all = $2; next }
    /^[a-z]+ / { steps += $2 }
    END {
        if (all <= 0 || steps < all - 1 || steps > all + 1 || kinds < all - 3 || kinds > all + 1) {
            printf "all %s, steps %s, kinds %s\n", all, steps, kinds
            exit 1
        }
    }' "$WORK/profile.txt" || fail "the profile does not add up: $(cat "$WORK/profile.txt")"
grep -q "Held-out synthetic pairs" "$WORK/out.txt" || fail "no closing table: $(cat "$WORK/out.txt")"
[ "$(awk 'length > 80' "$WORK/out.txt" | grep -vc "$WORK")" = 0 ] || fail "the table is wider than 80 columns"
python3 "$SRC/tests/e2e/sums.py" "$WORK/a" || fail "sums do not add up"
for i in 1 2; do
    for f in adapter_config.json adapter_model.safetensors adapter.gguf; do
        [ -s "$WORK/a/adapters/iter-$i/$f" ] || fail "iteration $i has no $f"
    done
done
[ -s "$WORK/a/report.json" ] && [ -s "$WORK/a/recipe.resolved.yaml" ] || fail "report or recipe is missing"
[ ! -e "$WORK/a/training" ] || [ -z "$(find "$WORK/a/training" -type f)" ] || fail "training states were left behind"

want=$(dump_hash "$WORK/a") adapters=$(adapters_hash "$WORK/a")
# Each step that did something adds its seconds to the table work.
work() { python3 -c "import sqlite3; print(*sqlite3.connect('$WORK/a/run.db').execute('select * from work'))"; }
before=$(work)
"$STE" run "$WORK/tiny.yaml" --run "$WORK/a" >/dev/null || fail "running again ended with $?"
[ -n "$before" ] && [ "$(work)" = "$before" ] || fail "running again: something was done twice"
[ "$(dump_hash "$WORK/a")" = "$want" ] || fail "running again changed the store"

# Steps as commands give the same run. (The loop's judge is judge-step.)
"$STE" select "$WORK/steps" --recipe "$WORK/tiny.yaml" || fail "ste select"
"$STE" pair "$WORK/steps" --threads 1 || fail "ste pair"
compare() { # NAME FLAGS...
    local name=$1
    shift
    "$STE" run "$WORK/tiny.yaml" --run "$WORK/$name" "$@" >/dev/null || fail "$name: the run ended with $?"
    "$STE" dump "$WORK/$name" >"$WORK/$name.txt"
    if [ "$(dump_hash "$WORK/$name")" != "$want" ]; then
        "$STE" dump "$WORK/a" | diff - "$WORK/$name.txt" | cut -c1-300 | head -6
        fail "$name: another store"
    fi
    [ "$(adapters_hash "$WORK/$name")" = "$adapters" ] || fail "$name: other adapters"
}
compare steps --threads 2
compare batch-7 --threads 1 --batch 7

# The judge's probability in the place of right judgments, pairs held back in the first iteration: other examples, and
# the sums still add up. What is exported are the labels that are trained.
"$STE" run "$WORK/tiny.yaml" --run "$WORK/margin" --set filter.rule=margin --set filter.weigh=true \
    --set 'filter.kinds=modify=1 other=1,modify=1 other=1 weaker=1 refuse=1 comply=1' >/dev/null || fail "the rule margin: the run ended with $?"
python3 "$SRC/tests/e2e/sums.py" "$WORK/margin" || fail "the rule margin: sums do not add up"
"$STE" export "$WORK/margin" --out "$WORK/margin.jsonl" || fail "export"
[ "$("$STE" dump "$WORK/margin" | grep -c '"state":"held back"')" -gt 0 ] || fail "no pair is held back in iteration 1"
python3 - "$WORK/margin.jsonl" <<'PY' || fail "exported labels are not those of both orders"
import json, sys
last = [json.loads(line)["completion"].rstrip("] ")[-1] for line in open(sys.argv[1])]
assert last and last == ["A", "B"] * (len(last) // 2), last
PY
# FULL=1 tries every batch limit: each is a whole run.
if [ "${FULL:-0}" = 1 ]; then
    compare batch-1 --threads 1 --batch 1
    compare batch-32 --threads 2 --batch 32
fi
echo "same store and adapters for other threads and batch limits: $want"
