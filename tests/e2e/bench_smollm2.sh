#!/usr/bin/env bash
# ste bench: the figures as JSON, a profile whose times and shares add up, bad input.
# needs: model
. "$2/tests/e2e/lib_model.sh"

"$ste" bench --model "$model" --prompt-tokens 70 --samples 3 --new-tokens 4 --train --profile --json "$dir/1.json" >"$dir/1.table" ||
    fail "bench"
for f in prefill_tokens_per_second decode_tokens_per_second train_tokens_per_second train_peak_mb load_seconds peak_mb; do
    grep -Eq "\"$f\": *[1-9.0]*[1-9]" "$dir/1.json" || fail "no $f, or none above 0"
done
# Steps add up to all and kinds of work to their step, as far as they are shown: to a tenth of a second, kinds
# below half of that not at all.
awk 'function check() {
        rounding = 0.051 * (n_kinds + 1)
        if (n_steps && n_kinds && (kinds > step + rounding || kinds < step - rounding - 0.5))
            bad = bad " " name ": " kinds " of " step " s"
    }
    /^Where time went/ { on = 1; next }
    !on { next }
    { for (i = 1; i <= NF; i++) if ($i ~ /%$/) { share = $i + 0; seconds = $(i - 1) + 0; break } }
    /^all / { total = seconds; whole = share; check(); next }
    /^  / { kinds += seconds; n_kinds++; next }
    { check(); n_steps++; name = $1; step = seconds; kinds = n_kinds = 0; sum += seconds; shares += share }
    END { rounding = 0.051 * (n_steps + 1)
        if (bad != "" || n_steps < 4 || total <= 0 || whole != 100 || shares < 99.5 || shares > 100.5 || sum < total - rounding ||
            sum > total + rounding) {
            print n_steps " steps, " shares " %, " sum " of " total " s" bad
            exit 1
        } }' "$dir/1.table" || fail "the profile does not add up: $(cat "$dir/1.table")"
awk 'NR > 1 && length > 80 { exit 1 }' "$dir/1.table" || fail "wider than 80 columns" # the first names the model

# Bad input: what is wrong and where, nothing written.
echo '{"tokens": [1, 2, 3]}' >"$dir/short.jsonl"
echo '{"tokens": [1, "x"]}' >"$dir/wrong.jsonl"
refused() {
    what=$1
    shift
    "$ste" bench "$@" --json "$dir/no.json" >"$dir/out" 2>"$dir/err" && fail "$* was taken"
    grep -q "$what" "$dir/err" || fail "$*: $(cat "$dir/err")"
    [ ! -e "$dir/no.json" ] || fail "$* wrote figures"
}
refused 'no\.gguf' --model "$dir/no.gguf"
refused 'short.jsonl has 1 prompts, --rounds 2' --model "$model" --prompt-tokens 3 --prompts "$dir/short.jsonl" --rounds 2
refused 'short.jsonl:1 has 3 tokens' --model "$model" --prompts "$dir/short.jsonl"
refused 'wrong.jsonl:1' --model "$model" --prompts "$dir/wrong.jsonl"
refused 'unknown instruction set' --model "$model" --isa mmx
refused 'activations must be one of' --model "$model" --activations int7
echo "ok"
