#!/usr/bin/env bash
# Files as the field has them, without a model: pools of conversations, recorded results, outcomes, lists in --set.
set -u
ste=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
export STE_LOG=quiet STE_HOME=$dir/home
fail() {
    echo "FAILED: $*"
    exit 1
}
# refuse CODE WORDS ARGUMENT...: the exit code, and WORDS in the one line on stderr
refuse() {
    local code=$1 words=$2 rc=0
    shift 2
    "$ste" "$@" >/dev/null 2>"$dir/err" || rc=$?
    [ "$rc" = "$code" ] || fail "exit code $rc, not $code: $* ($(cat "$dir/err"))"
    grep -qF -- "$words" "$dir/err" || fail "the error does not say \"$words\": $(cat "$dir/err")"
    [ "$(wc -l <"$dir/err")" = 1 ] || fail "more than one line for an error: $(cat "$dir/err")"
}

# Pools of whole conversations: the last question and what stands before it is the instruction.
cat >"$dir/ultrachat.jsonl" <<'END'
{"prompt": "How do I peel an onion?", "prompt_id": 18446744073709551616, "messages": [{"role": "user", "content": "How do I peel an onion?"}, {"role": "assistant", "content": "With a knife."}]}
END
cat >"$dir/sharegpt.json" <<'END'
[
  {"conversations": [{"from": "human", "value": "How do I boil an egg?"}, {"from": "gpt", "value": "In water."},
                     {"from": "human", "value": "For how long?"}, {"from": "gpt", "value": "Seven minutes."}]}
]
END
cat >"$dir/wildchat.jsonl" <<'END'
{"conversation_hash": "ab", "conversation": [{"role": "user", "content": "Plan a walk of 7 km.", "language": "English"}, {"role": "assistant", "content": "Sure."}], "turn": 1}
END
cd "$dir" || exit 1
"$ste" select "$dir/run" --recipe demo --set "instructions.files=[ultrachat.jsonl, \"sharegpt.json\", wildchat.jsonl]" \
    --set select.min_chars=1 || fail "pools"
"$ste" dump "$dir/run" | grep -c '"table":"instruction"' | grep -qx 3 || fail "not three instructions"
"$ste" dump "$dir/run" >"$dir/dump"
grep -qF 'For how long?' "$dir/dump" && grep -qF 'In water.' "$dir/dump" || fail "a conversation lost its beginning"
grep -qF -e 'With a knife' -e 'Seven minutes' -e 'Sure.' "$dir/dump" && fail "an answer became part of an instruction"

# What never began may begin otherwise, in the same folder.
refuse 1 'cannot open nowhere.jsonl' select "$dir/again" --recipe demo --set instructions.files=nowhere.jsonl
"$ste" select "$dir/again" --recipe demo --set instructions.files=[ultrachat.jsonl] --set seed=3 || fail "the second try"
refuse 1 'nowhere' run demo --run "$dir/again" --set instructions.files=wildchat.jsonl --set models.seed=nowhere
"$ste" select "$dir/again" --recipe demo --set instructions.files=[ultrachat.jsonl] || fail "the third try"
"$ste" dump "$dir/again" >"$dir/dump"
grep -qF 'Plan a walk' "$dir/dump" && fail "the run kept what an earlier try read"
grep -qF 'peel an onion' "$dir/dump" || fail "the third try read nothing"
refuse 2 'pair.modify must be one of' select "$dir/other" --recipe demo --set 'pair.modify=two_calls|one_call'

# Recorded results: a tie as an export calls it, an unknown value by its name, what is there twice counts once.
printf '{"model_a": "p", "model_b": "q", "winner": "%s"}\n' model_a both_bad 'tie (bothbad)' >"$dir/battles.jsonl"
"$ste" rank --from "$dir/battles.jsonl" | grep -qF '3 matches on 3 prompts, 2 ties' || fail "both_bad is no tie"
printf '{"model_a": "p", "model_b": "q", "winner": "%s"}\n' model_a neither >"$dir/unknown.jsonl"
refuse 1 'unknown.jsonl:2: winner is "neither"' rank --from "$dir/unknown.jsonl"
cat >"$dir/judged.jsonl" <<'END'
{"question_id": 81, "model_1": "p", "model_2": "q", "g1_winner": "model_1", "g2_winner": "model_1", "judge": ["j", "k"], "turn": 1}
{"question_id": 82, "model_1": "p", "model_2": "q", "g1_winner": "model_2", "g2_winner": "model_2", "judge": ["j", "k"], "turn": 1}
END
cat "$dir/judged.jsonl" "$dir/judged.jsonl" >"$dir/twice.jsonl"
"$ste" rank --from "$dir/twice.jsonl" >"$dir/twice.txt" 2>"$dir/err" || fail "rank of doubled results"
"$ste" rank --from "$dir/judged.jsonl" | cmp - "$dir/twice.txt" || fail "results count double"
grep -qF '2 results are there already and counted once' "$dir/err" || fail "nothing is said of doubled results: $(cat "$dir/err")"

# Outcomes: names of any length, whole in JSON and cut between characters in tables; no pair twice.
name=$(printf '評%.0s' $(seq 90))
for i in 1 2; do
    for s in "$name" "${name}x"; do
        echo "{\"suite\": \"f\", \"subset\": \"$s\", \"id\": \"$s$i\", \"prompt_key\": \"0$i\", \"state\": \"judged\", \"ab\": {\"verdict\": \"A\"}, \"ba\": {\"verdict\": \"B\"}}"
    done
done >"$dir/outcomes.jsonl"
"$ste" eval --from "$dir/outcomes.jsonl" --json "$dir/figures.json" >"$dir/table" || fail "long names"
grep -qF "\"name\": \"$name\"" "$dir/figures.json" && grep -qF "\"name\": \"${name}x\"" "$dir/figures.json" || fail "a name is cut"
iconv -f UTF-8 -t UTF-8 "$dir/table" >/dev/null || fail "the table cuts a character: $(cat "$dir/table")"
grep -qE '^評{8}\.\.\.  +2 ' "$dir/table" || fail "the table's columns are off: $(cat "$dir/table")"
cat "$dir/outcomes.jsonl" "$dir/outcomes.jsonl" >"$dir/doubled.jsonl"
refuse 1 'doubled.jsonl:5: the pair' eval --from "$dir/doubled.jsonl"
# Rows of several answers (RewardBench 2): right where each chosen answer beats each rejected one; means over subsets.
pair() { # SUBSET ROW ID VERDICT_AB VERDICT_BA: right is A, then B
    echo "{\"suite\": \"f\", \"subset\": \"$1\", \"id\": \"$2/$3\", \"row\": \"$2\", \"prompt_key\": \"0$2\", \"state\": \"judged\", \"ab\": {\"verdict\": \"$4\"}, \"ba\": {\"verdict\": \"$5\"}}"
}
for i in 1 2 3; do
    pair Math 1 1-$i A B
    pair Math 2 1-$i "$([ $i = 2 ] && echo B || echo A)" "$([ $i = 2 ] && echo A || echo B)"
    pair Focus 3 1-$i A B
done | sort >"$dir/rows.jsonl"
"$ste" eval --from "$dir/rows.jsonl" --json "$dir/rows.json" >"$dir/rows.txt" || fail "rows of several answers"
best() { sed -n 's/^ *"'"$1"'": \([0-9.]*\),*$/\1/p' "$dir/rows.json" | tr '\n' ' '; }
[ "$(best best)" = "1.0 0.5 0.75 " ] && [ "$(best best_rows)" = "1 2 3 " ] || fail "best: $(best best) of $(best best_rows)"
grep -qE '^overall +3  0.750 ' "$dir/rows.txt" || fail "the table lacks the best: $(cat "$dir/rows.txt")"
"$ste" eval --from "$dir/rows.jsonl" --suite rewardbench2 --partial | grep -qF 'not its own score' || fail "suite rewardbench2"
"$ste" eval --from "$dir/outcomes.jsonl" --json - | grep -q best && fail "best of rows that have one pair"
echo "files as the field has them: read, or named"
