#!/usr/bin/env bash
# Files that results go to: with closed standard descriptors, in folders that are not there, on disks that are full.
. "$(dirname "$0")/lib_tiny.sh"
cd "$dir" || exit 1

# ---- 0, 1 and 2 closed: data files hold data, as without
"$ste" judge --judge "$tiny" --in judge.jsonl --out want.jsonl 2>/dev/null || fail "judge: exit $?"
"$ste" judge --judge "$tiny" --in judge.jsonl --no-cache --out a.jsonl 2>&- || fail "judge 2>&-: exit $?"
"$ste" judge --judge "$tiny" --in judge.jsonl --no-cache --out b.jsonl >&- 2>/dev/null || fail "judge >&-: exit $?"
"$ste" judge --judge "$tiny" --in judge.jsonl --no-cache --out c.jsonl <&- >&- 2>&- || fail "judge with all closed: exit $?"
for f in a b c; do
    cmp -s want.jsonl $f.jsonl || fail "$f.jsonl is not what it is with the descriptors open: $(head -c 300 $f.jsonl)"
done
"$ste" eval --judge "$tiny" --data pairs.jsonl --no-cache --json e.json --outcomes o.jsonl >&- 2>&- || fail "eval, closed: exit $?"
python3 -c 'import json; json.load(open("e.json")); [json.loads(l) for l in open("o.jsonl")]' || fail "eval, closed: no JSON"
"$ste" sft --model "$tiny" --in sft.jsonl --out lora --steps 2 --log log.jsonl >&- 2>&- || fail "sft, closed: exit $?"
python3 -c 'import json; assert len([json.loads(l) for l in open("log.jsonl")]) == 2' || fail "sft, closed: another log"
# what should go to the standard output is not lost without a word
"$ste" judge --judge "$tiny" --in judge.jsonl --out - >&- 2>err && fail "--out - with a closed standard output: exit 0"
grep -q 'standard output is closed' err || fail "the closed standard output is not named"

# ---- tried before the work: nothing is read or opened for it (the judge is not there either)
for call in "judge --judge nowhere.gguf --in judge.jsonl --out no/such/x" \
    "score --judge nowhere.gguf --in sft.jsonl --out no/such/x" \
    "eval --judge nowhere.gguf --data pairs.jsonl --json no/such/x" \
    "eval --judge nowhere.gguf --data pairs.jsonl --outcomes no/such/x" \
    "compare --judge nowhere.gguf nowhere2.gguf --data pairs.jsonl --json no/such/x" \
    "rank --judge nowhere.gguf --answers a.jsonl --out no/such/x" \
    "rank --judge nowhere.gguf --answers a.jsonl --json no/such/x" \
    "export nowhere --out no/such/x" "bench --model nowhere.gguf --json no/such/x" \
    "logits --model nowhere.gguf --in a.jsonl --out no/such/x" \
    "sft --model nowhere.gguf --in sft.jsonl --out lora2 --log no/such/x" \
    "sft --model nowhere.gguf --in sft.jsonl --out pairs.jsonl/x" \
    "train-rm --model nowhere.gguf --in pairs.jsonl --out pairs.jsonl/x"; do
    # shellcheck disable=SC2086
    "$ste" $call >/dev/null 2>err && fail "$call: exit 0"
    grep -qE 'cannot (write no/such/x|make the folder pairs.jsonl/x)' err || fail "$call: said $(cat err)"
done
"$ste" judge --judge nowhere.gguf --in judge.jsonl --out '' 2>err && fail "--out '': exit 0"
grep -q 'the name of a file to write is empty' err || fail "--out '': said $(cat err)"
[ ! -e no ] && [ ! -e lora2 ] || fail "trying left something behind"
ls -a | grep -q 'ste-try\|\.tmp' && fail "trying left a file"

# ---- a full disk: the result is kept elsewhere, the error says where, and the work goes on to its end
kept() { # NAME: the file that the error names
    sed -n "s|.*$1.* kept in \([^ ]*\).*|\1|p" err | tail -1
}
"$ste" judge --judge "$tiny" --in judge.jsonl --out /dev/full >/dev/null 2>err && fail "judge, full disk: exit 0"
f=$(kept /dev/full) && cmp -s want.jsonl "$f" || fail "judge, full disk: nothing kept"
rm "$f"
"$ste" eval --judge "$tiny" --data pairs.jsonl --json /dev/full --outcomes /dev/full >table 2>err && fail "eval: exit 0"
grep -q 'pairs in both orders' table || fail "eval, full disk: no table"
[ "$(ls "$TMPDIR" | wc -l)" = 2 ] || fail "eval, full disk: not two files are kept"
grep -o 'kept in' err | wc -l | grep -q 2 || fail "eval, full disk: not both are named"
for f in "$TMPDIR"/*; do
    grep -q . "$f" || fail "eval, full disk: $f is empty"
done
rm "$TMPDIR"/*
"$ste" judge --judge "$tiny" --in judge.jsonl --out - >/dev/full 2>err && fail "judge to a full standard output: exit 0"
cmp -s want.jsonl "$(kept 'standard output')" || fail "judge to a full standard output: nothing kept"
rm "$TMPDIR"/*
# the first other folder does not take it: the next one
TMPDIR=/dev/null "$ste" compare --judge "$tiny" "$dir/reward" --data pairs.jsonl --json /dev/full >table 2>err && fail "compare: exit 0"
grep -q 'No space left' err && grep -q 'McNemar' table || fail "compare, full disk"
[ -s "$(kept /dev/full)" ] && rm "$(kept /dev/full)" || fail "compare, full disk: nothing kept"
"$ste" sft --model "$tiny" --in sft.jsonl --out lora3 --steps 2 --log /dev/full >/dev/null 2>err && fail "sft, full log: exit 0"
[ -f lora3/adapter_model.safetensors ] && grep -q 'kept in' err || fail "sft: a full log costs the adapter"
rm -f "$TMPDIR"/*
# the folder goes while the training runs
mkdir gone
("$ste" sft --model "$tiny" --in sft.jsonl --out gone/lora --steps 400 >steps 2>err; echo $? >code) &
for _ in $(seq 200); do [ -s steps ] && break; sleep 0.05; done
rm -r gone && : >gone
wait
[ "$(cat code)" = 1 ] || fail "sft, the folder is gone: exit $(cat code)"
f=$(sed -n 's/.*what was trained is kept in \(.*\)/\1/p' err)
[ -f "$f/adapter_model.safetensors" ] && [ -f "$f/adapter.gguf" ] || fail "sft, the folder is gone: nothing kept"
cmp -s "$f/adapter_config.json" lora3/adapter_config.json || fail "sft: another adapter is kept"

# ---- a cache folder that cannot be made
STE_HOME=$dir/judge.jsonl/home "$ste" judge --judge "$tiny" --in judge.jsonl --out d.jsonl 2>err || fail "cache folder: exit $?"
cmp -s want.jsonl d.jsonl && grep -q STE_HOME err && grep -q -- --no-cache err || fail "cache folder: no warning"

echo "outputs: as they should be"
