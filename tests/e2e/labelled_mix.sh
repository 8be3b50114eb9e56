#!/usr/bin/env bash
# Labelled pairs on a model of a few kilobytes: beside other kinds by their share, in every part of the split and with their
# own label source; first alone and then with others; and a judge trained on labels that the next run goes on from.
. "$(dirname "$0")/lib_tiny.sh"
cd "$dir" || exit 1
export STE_LOG=quiet

for i in $(seq 40); do
    echo "{\"id\": \"p$i\", \"prompt\": \"Question $i of $((i * 37 % 101))?\", \"chosen\": \"Yes, $i, since $((i * i)).\", \"rejected\": \"No, $((i * 7)).\"}"
done >labelled.jsonl
for i in $(seq 30); do
    echo "{\"id\": \"q$i\", \"prompt\": \"What is $i of all $((i * 41 % 103)) riddles?\"}"
done >asked.jsonl
cat >tiny.yaml <<YAML
models: {seed: $dir/judge.gguf, answer: $dir/tiny.gguf}
prompts: {pack: direct}
instructions: {files: [$dir/asked.jsonl]}
pair: {kinds: {other: 2, labelled: 1}, labelled: [$dir/labelled.jsonl], max_tokens: 300, temperature: 3, top_p: 1}
check: {margin: -1000}
select: {min_chars: 1, duplicate: 0}
split: {dev: 0.2, test: 0.2, dev_pairs: 0, cluster: 1}
judge: {samples: 2, orders: both}
filter: {rule: margin, trust_from: 100}
train: {r: 2, lr: 0.001, batch: 4, max_steps: 6, warmup: 1, checkpoint_every: 2}
iterations: 2
YAML
run() { # NAME FLAGS...
    local name=$1
    shift
    "$ste" run tiny.yaml --run "$name" "$@" >"$name.txt" 2>err || fail "$name: the run ended with $?"
}
refuse() { # CODE PART FLAGS...
    local code=$1 part=$2 got=0
    shift 2
    "$ste" run tiny.yaml --run refused "$@" >/dev/null 2>err || got=$?
    [ "$got" = "$code" ] && grep -qF -- "$part" err || fail "$*: exit $got, not $code with: $part"
}
sql() { python3 -c "import sqlite3, sys; d = sqlite3.connect(sys.argv[1] + '/run.db'); print(*(r[0] for r in d.execute(sys.argv[2])))" "$@"; }
is() { # WANT RUN SQL
    local got
    got=$(sql "$2" "$3")
    [ "$got" = "$1" ] || fail "$2: $3: $got, not $1"
}

# ---- beside another kind
"$ste" run tiny.yaml --run dry --dry-run >dry.txt 2>err || fail "dry run"
grep -q '70 instructions read, 45 kept' dry.txt || fail "dry run: $(cat dry.txt)"
run mix --threads 2
python3 "$src/tests/e2e/sums.py" mix || fail "sums of a run with labelled pairs"
grep -q 'over its share 25' mix.txt || fail "what is over the share is not counted: $(cat mix.txt)"
for part in train:9 dev:3 test:3; do
    is "${part#*:}" mix "select count(*) from pair where kind = 'labelled' and state = 'kept' and split = '${part%:*}'"
done
is 0 mix "select count(*) from pair where label_source <> case kind when 'labelled' then 'labelled' else 'constructed' end"
is 0 mix "select count(*) from pair p join instruction i on i.id = p.instruction where (i.source like 'p%') <> (p.kind = 'labelled')"
is 2 mix "select count(distinct label_source) from example where iteration = 1"
run mix-2 --threads 1 --batch 3
"$ste" dump mix >mix.dump
"$ste" dump mix-2 | cmp - mix.dump || fail "another batch, another store"
diff -r mix/adapters mix-2/adapters || fail "another batch, other adapters"
"$ste" export mix --what pairs --out mix.jsonl || fail "export of pairs"
[ "$(grep -c '"label_source":"labelled"' mix.jsonl)" = 15 ] || fail "export: labels of people are not told apart"

# Labelled pairs first, then with others: iteration 2 is judged by what learnt from labels alone.
run turns --set 'filter.kinds=["labelled=1", "other=1 labelled=1"]'
is labelled turns "select group_concat(distinct p.kind) from example e join pair p on p.id = e.pair where e.iteration = 1"
is 2 turns "select count(distinct p.kind) from example e join pair p on p.id = e.pair where e.iteration = 2"

# ---- a judge trained on labels, and a run that goes on from it
run baseline --set pair.kinds=labelled=1 --set iterations=1
is 40 baseline "select count(*) from instruction"
run start --set pair.kinds=other=1 --set pair.labelled=[] --set models.judge=baseline:1 --set filter.trust_from=1 --set filter.min_probability=0.5
python3 "$src/tests/e2e/sums.py" start || fail "sums of a run that starts from labels"
adapter() { sql "$1" "select adapter_hash from iteration where iteration = $2"; }
judged_by() { sql "$1" "select distinct v.adapter_hash from judgment j join provenance v on v.id = j.provenance where j.iteration = $2"; }
[ "$(judged_by start 1)" = "$(adapter baseline 1)" ] || fail "iteration 1 is not judged by the baseline"
[ "$(judged_by start 2)" = "$(adapter start 1)" ] || fail "iteration 2 is not judged by the iteration before"
[ "$(sql start "select count(*) from outcome where iteration = 1 and state = 'disputed by the judge'")" -gt 0 ] ||
    fail "the baseline disputes nothing: $(cat start.txt)"
"$ste" dump start >start.dump
"$ste" run tiny.yaml --run killed --set pair.kinds=other=1 --set pair.labelled=[] --set models.judge=baseline:1 \
    --set filter.trust_from=1 --set filter.min_probability=0.5 >/dev/null 2>&1 &
sleep 0.4
kill -9 $! 2>/dev/null
wait $! 2>/dev/null
run killed --set pair.kinds=other=1 --set pair.labelled=[] --set models.judge=baseline:1 --set filter.trust_from=1 --set filter.min_probability=0.5
"$ste" dump killed | cmp - start.dump || fail "a run that was killed is another one"

# Training goes on from it, too: iteration 1 with it as the judge, and what is exported makes the loop's adapter.
run further --set pair.kinds=other=1 --set pair.labelled=[] --set models.judge=baseline:1 --set train.adapter=baseline:1 --set train.r=4 \
    --set iterations=1 --set split.dev=0
is 1 further "select count(*) from provenance where role = 'train' and sampling like '%\"r\":2%' and sampling like '%\"start\":\"$(adapter baseline 1)%'"
command=$(STE_LOG=info "$ste" export further --out sft.out 2>&1 | sed -n 's/^as the run trains them: ste //p')
# shellcheck disable=SC2086
"$ste" ${command/--out DIR/--out sft.lora} --micro-tokens 64 >/dev/null 2>err || fail "ste $command"
diff -r sft.lora further/adapters/iter-1 || fail "another adapter: ste $command"
run anew --set pair.kinds=other=1 --set pair.labelled=[] --set models.judge=baseline:1 --set iterations=1 --set split.dev=0
cmp -s further/adapters/iter-1/adapter_model.safetensors anew/adapters/iter-1/adapter_model.safetensors && fail "train.adapter changes nothing"

# The same with a reward model.
"$ste" train-rm --model judge.gguf --in labelled.jsonl --out rm --r 2 --steps 4 >/dev/null 2>err || fail "train-rm on labelled pairs"
"$ste" export start --what pairs --out start.jsonl || fail "export of pairs"
go_on() { "$ste" train-rm --model judge.gguf --in start.jsonl --split train --out "$1" --adapter rm --steps 3 --warmup 0 --log "$1.log" >/dev/null 2>err || fail "train-rm --adapter"; }
go_on rm-1
go_on rm-2
diff -r rm-1 rm-2 || fail "two reward models of one training"
grep -q '"loss": *0.69314[67]' rm-1.log && fail "train-rm --adapter begins anew: $(head -1 rm-1.log)"
"$ste" eval --judge rm-1 --data labelled.jsonl >/dev/null 2>err || fail "eval of a reward model that went on from another"
"$ste" train-rm --model tiny.gguf --in start.jsonl --out rm-3 --adapter adapter >/dev/null 2>err && fail "an adapter without a head is taken"
grep -q "is not a reward model's" err || fail "an adapter without a head is not named"

# ---- what is refused, and what is said
refuse 2 'pair.kinds: labelled takes its pairs from pair.labelled, which is empty' --set pair.labelled=[]
refuse 1 'asked.jsonl:1: the field "chosen" is missing' --set "pair.labelled=[$dir/asked.jsonl]"
refuse 1 'nowhere.jsonl' --set "pair.labelled=[$dir/nowhere.jsonl]"
refuse 1 'models.judge: run baseline has no adapter of iteration 3' --set models.judge=baseline:3
refuse 1 'train.adapter: run baseline has no adapter of iteration 3' --set train.adapter=baseline:3
refuse 2 'train.adapter: baseline:0 is no adapter' --set train.adapter=baseline:0
refuse 2 'train.adapter: rm writes nothing' --set train.adapter=rm
refuse 2 "is an adapter on $dir/tiny.gguf" --set train.adapter=adapter
STE_LOG=info "$ste" select unread --recipe tiny.yaml --set pair.kinds=other=1 >/dev/null 2>err || fail "select: $?"
grep -q 'pair.labelled is not read: pair.kinds gives the kind labelled no share' err || fail "labels that are not read are not said to be"
echo "labelled pairs: as they should be"
