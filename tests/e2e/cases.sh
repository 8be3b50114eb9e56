#!/usr/bin/env bash
# Rows as users of other tools have them, judged by a reward model of a few kilobytes: each gives what the same pair
# gives when it is written plainly, or an error that names its line and what would help.
. "$(dirname "$0")/lib_tiny.sh"
cd "$dir" || exit 1
export STE_LOG=quiet

verdicts() { # FILE FLAGS...: what is found of its pairs, without their names
    local file=$1
    shift
    "$ste" eval --judge reward --data "$file" --outcomes out.jsonl "$@" >table 2>err || fail "eval of $file: exit $?"
    sed 's/"suite":.*"prompt_key"/"prompt_key"/; s/,"label":"[^"]*"//' out.jsonl
}
alike() { # FILE FLAGS...: as want.jsonl
    verdicts "$@" | cmp - want || fail "$1 is not read as want.jsonl"
}
refused() { # PART ARGUMENT...
    local part=$1
    shift
    "$ste" "$@" >out 2>err
    [ $? = 1 ] && grep -qF -- "$part" err && [ "$(wc -l <err)" = 1 ] || fail "$*: not refused with: $part"
}
plain() { # PROMPT CHOSEN REJECTED
    echo "{\"prompt\": \"$1\", \"chosen\": \"$2\", \"rejected\": \"$3\"}" >want.jsonl
    verdicts want.jsonl >want
    [ -s want ] || fail "nothing is found of a plain pair"
}
u() { echo "{\"role\": \"user\", \"content\": \"$1\"}"; }
a() { echo "{\"role\": \"assistant\", \"content\": \"$1\"}"; }

# ---- whole dialogues
q='Give one use for an old newspaper.' yes='Line a drawer.' no='None.'
plain "$q" "$yes" "$no"
echo "{\"prompt\": \"$q\", \"chosen\": [$(u "$q"), $(a "$yes")], \"rejected\": [$(u "$q"), $(a "$no")], \"messages\": [$(u "$q"), $(a "$yes")], \"score_chosen\": 8.5}" >ultra.jsonl
alike ultra.jsonl
echo "{\"prompt\": \"$q\", \"chosen\": \"$yes\", \"rejected\": \"$no\", \"messages\": [$(u "$q"), $(a "another answer")]}" >ultra.jsonl
alike ultra.jsonl
plain 'I lost my key.' 'Which door?\n\nUser: The shed.\n\nAssistant: Look in the box.' 'Too bad.\n\nUser: Help!\n\nAssistant: Look in the box.'
echo "{\"chosen\": [$(u 'I lost my key.'), $(a 'Which door?'), $(u 'The shed.'), $(a 'Look in the box.')], \"rejected\": [$(u 'I lost my key.'), $(a 'Too bad.'), $(u 'Help!'), $(a 'Look in the box.')]}" >part.jsonl
alike part.jsonl
cat want.jsonl >other.jsonl
echo "{\"chosen\": [$(u 'Capital of Peru?'), $(a Lima.)], \"rejected\": [$(u 'When does water boil?'), $(a 'At 100 C.')]}" >>other.jsonl
refused 'other.jsonl:2: the two dialogues begin with different questions' eval --judge reward --data other.jsonl

# ---- numbers, NUL, lists
plain 'Name a colour.' Red Seven
for n in 12345678901234567890 -12345678901234567890 123456789012345678901234567890 1e999; do
    echo "{\"id\": $n, \"prompt\": \"Name a colour.\", \"chosen\": \"Red\", \"rejected\": \"Seven\", \"meta\": [{\"n\": $n}]}" >big.jsonl
    alike big.jsonl
    sed 's/chosen/response_a/; s/rejected/response_b/' big.jsonl >judge.in
    "$ste" judge --judge reward --in judge.in --out judge.out 2>err || fail "judge, id $n: exit $?"
    grep -qF "{\"id\":$n," judge.out && grep -qF "\"meta\":[{\"n\":$n}]" judge.out || fail "$n is another: $(cat judge.out)"
done
{ cat want.jsonl; echo '{"prompt": "What is in \u0000 here?", "chosen": "A NUL", "rejected": "Nothing"}'; } >nul.jsonl
refused 'nul.jsonl:2: a text in it has a NUL character (\u0000)' eval --judge reward --data nul.jsonl
{ echo '['; cat want.jsonl; echo ']'; } >array.json
alike array.json
python3 -c 'import json; print(json.dumps([json.load(open("want.jsonl"))], indent=2))' >array.json
alike array.json
{ cat want.jsonl; echo '{'; echo '"prompt": "x"}'; } >cut.jsonl
refused 'cut.jsonl:2: not JSON' eval --judge reward --data cut.jsonl
grep -q 'give one whole object a line' err || fail "an object over several lines: no help"
printf 'PAR1\0\25\4' >x.parquet
printf '\37\213\10\0' >x.jsonl.gz
printf '<!DOCTYPE html><html>' >x.jsonl
for f in 'x.parquet is a Parquet file' 'x.jsonl.gz is a file compressed by gzip' 'x.jsonl is a web page' 'tiny.gguf is a GGUF file'; do
    refused "$f; JSON is expected, one object a line" eval --judge reward --data "${f%% *}"
done

# ---- a bad row of a stream: the others get their verdicts
for i in $(seq 8); do echo "{\"id\": \"c$i\", \"prompt\": \"What comes after $i?\", \"response_a\": \"$((i + 1))\", \"response_b\": \"$((i - 1))\"}"; done >good.jsonl
"$ste" judge --judge reward --in - --out good.out <good.jsonl 2>err || fail "a stream: exit $?"
for bad in '{"prompt": 3}' 'not json' '{"prompt": "x", "response_a": "\u0000", "response_b": "y"}' '[]'; do
    { head -4 good.jsonl; echo "$bad"; tail -4 good.jsonl; } >stream
    "$ste" judge --judge reward --in - --out stream.out <stream 2>err
    [ $? = 1 ] && grep -q 'stdin:5: ' err || fail "$bad in a stream is not named"
    cmp stream.out good.out || fail "$bad in a stream takes other rows' verdicts"
done

# ---- ratings whose partner stands anywhere; rows of several answers
rate() { echo "{\"prompt\": \"Q$1?\", \"response\": \"answer $2 to $1\", \"helpfulness\": $3}"; }
for i in 1 2 3; do rate $i 0 1; rate $i 1 4; done >sorted.jsonl
{ rate 3 1 4; rate 1 0 1; rate 9 0 2; rate 2 1 4; rate 3 0 1; rate 1 1 4; rate 2 0 1; } >shuffled.jsonl
verdicts sorted.jsonl --suite helpsteer2 | sort >want
[ "$(wc -l <want)" = 3 ] || fail "not three pairs of ratings"
STE_LOG=info verdicts shuffled.jsonl --suite helpsteer2 | sort | cmp - want || fail "ratings in another order are other pairs"
grep -q '1 rating is left out, since no other row has the same prompt' err || fail "a rating without a partner is not counted"
for r in 5 6 22; do echo "{\"prompt\": \"2+2?\", \"chosen\": \"4\", \"rejected\": \"$r\"}"; done >want.jsonl
verdicts want.jsonl >want
echo '{"id": "1", "prompt": "2+2?", "chosen": ["4"], "rejected": ["5", "6", "22"], "num_correct": 1, "subset": "Math"}' >rb2.jsonl
verdicts rb2.jsonl --suite rewardbench2 --partial | sed 's/"row":"[^"]*",//' | cmp - want || fail "rows of several answers are other pairs"

# ---- two files of one name, and one file twice
mkdir a b
cp pairs.jsonl a/test.jsonl
sed 's/"p/"q/' pairs.jsonl >b/test.jsonl
"$ste" eval --judge reward --data a/test.jsonl b/test.jsonl --json two.json --outcomes two.out >table 2>err || fail "two files: exit $?"
python3 - <<'PY' || fail "two files of one name are not two suites: $(cat table)"
import json
names = [s["name"] for s in json.load(open("two.json"))["subsets"]]
rows = [(r["suite"], r["id"]) for r in map(json.loads, open("two.out"))]
assert names == ["a/test", "b/test"] and len(set(rows)) == len(rows) == 6, (names, rows)
PY
ln -s test.jsonl a/link.jsonl
for again in a/test.jsonl a/../a/test.jsonl a/link.jsonl; do
    "$ste" eval --judge reward --data a/test.jsonl "$again" >table 2>err
    [ $? = 2 ] && grep -q 'are one file' err || fail "$again counts double"
done
cat two.out two.out >twice.out
refused 'twice.out:7: the pair p1 of a/test is there already' eval --from twice.out
echo "cases: as they should be"
