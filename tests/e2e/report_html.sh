#!/usr/bin/env bash
# Reports as pages: whole, with every figure, the same each time, with hostile texts as text.
. "$(dirname "$0")/lib_tiny.sh"
cd "$dir" || exit 1
export STE_LOG=quiet

page() { # PAGE [--json FIGURES] [--text FILE]...
    python3 "$src/tests/e2e/lib_html.py" "$@" >why 2>&1 || fail "$(cat why)"
}

# ---- a run, of a hostile name and with evaluation files of one
rows Question 40 >labelled.jsonl
rows Other 6 >'<i>x.jsonl'
run='a<b>"&'"'c"
recipe 2 "max_steps: 6, checkpoint_every: 2" >tiny.yaml
echo "eval: {files: ['$dir/<i>x.jsonl']}" >>tiny.yaml
"$ste" run tiny.yaml --run "$run" >out 2>err || fail "the run ended with $?"
"$ste" report "$run" --json >report.json 2>err || fail "report --json: exit $?"
"$ste" report "$run" --html page.html >out 2>err || fail "report --html: exit $?"
[ ! -s out ] || fail "report --html: also printed $(head -c 200 out)"
page page.html --json report.json
"$ste" report "$run" --html - >again.html 2>err || fail "report --html -: exit $?"
cmp page.html again.html || fail "made again, the page is another"
"$ste" report "$run/" --html page.html --json 2>err | cmp - report.json || fail "--json beside --html is another"
# what the table says to three digits stands in it, and every state of the funnel
python3 - <<'PY' || fail "a figure is not in the tables"
import json, re
report, page = json.load(open("report.json")), open("page.html").read()
cells = re.sub(r"<[^>]*>", "", page[:page.index('id="all"')])
for row in report["evaluation"]:
    for key in ("two_order", "consistent"):
        assert f"{row[key]:.3f} [{row[key + '_lo']:.3f}, {row[key + '_hi']:.3f}]" in cells, (row["suite"], key)
def states(v):
    for key, item in v.items():
        for part in item if isinstance(item, list) else [item]:
            if isinstance(part, dict) and "states" in part:
                yield key, part["states"]
            elif isinstance(part, dict):
                yield from states(part)
for group, parts in states(report["funnel"]):
    for name, n in parts.items():
        assert re.search(rf">{re.escape(name)}</th><td>{n}</td>", page), (group, name, n)
assert page.count('role="img"') >= 10 and page.count("<title id=") == page.count("<desc id=") == page.count('role="img"')
PY

# ---- a run that is not done: nothing is trained, nothing is judged
"$ste" select begun --recipe tiny.yaml >out 2>err || fail "select: exit $?"
"$ste" report begun --html begun.html 2>err || fail "report of what select did: exit $?"
page begun.html

# ---- hostile texts in what is judged
python3 - <<'PY'
import json
bad = ['</script><script>alert(1)</script>', '<img src=x onerror=alert(1)>"\'&amp;', '\u202eevil\u202c \u05e9\u05dc\u05d5\u05dd',
       '\U0001f468\u200d\U0001f469\u200d\U0001f467 ok', '\x1b[31mred\x07', '--><style>*{display:none}</style>']
with open("hostile.jsonl", "w") as f:
    for i in range(24):
        t = bad[i % len(bad)]
        f.write(json.dumps({"id": f"<u>{i}", "prompt": f"Q{i} {t}", "chosen": f"yes {t}", "rejected": f"no {i}"}) + "\n")
open("rtl", "w").write("yes " + bad[2])
open("script", "w").write("yes " + bad[0])
PY
judge=(--judge "$tiny" --data hostile.jsonl)
"$ste" eval "${judge[@]}" --html eval.html --json eval.json --outcomes o.jsonl >table 2>err || fail "eval --html: exit $?"
page eval.html --json eval.json
[ -s table ] || fail "eval --html: no table"
grep -q 'differ on [1-9]' table || fail "the orders differ on no pair: the page shows none"
[ "$(grep -c '<details class="pair">' eval.html)" = "$(sed -n 's/.*differ on \([0-9]*\).*/\1/p' table)" ] ||
    fail "eval: not all pairs on which the orders differ are shown"
"$ste" eval "${judge[@]}" --html - >eval2.html 2>err || fail "eval --html -: exit $?"
cmp eval.html eval2.html || fail "eval: another page on the standard output"
"$ste" eval --from o.jsonl --html from.html >out 2>err || fail "eval --from --html: exit $?"
page from.html
python3 - <<'PY' || fail "the texts are not in the page"
import html, json, re
page = open("eval.html").read()
shown = re.findall(r'<div class="box text" tabindex="0">(.*?)</div>', page, re.S)
texts = {html.unescape(s) for s in shown}
clean = lambda t: re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "\ufffd", t)
wanted = {clean(json.loads(l)["chosen"]) for l in open("hostile.jsonl")}
assert texts & wanted and all(t in wanted for t in texts if t.startswith("yes")), texts
assert "<img" not in page and "<script" not in page
PY
"$ste" compare --judge "$tiny" --judge judge.gguf --pack direct --data hostile.jsonl --html compare.html --json compare.json >out 2>err ||
    fail "compare --html: exit $?"
page compare.html --json compare.json
for m in '<b>one' two 'th"ree'; do
    for i in 1 2 3 4; do
        python3 -c 'import json, sys; print(json.dumps({"prompt": f"Q{sys.argv[2]}?", "output": f"{sys.argv[1]} says </td> {sys.argv[2]}", "generator": sys.argv[1]}))' "$m" $i
    done
done >answers.jsonl
"$ste" rank --judge judge.gguf --pack direct --answers answers.jsonl --verdict two-order --html rank.html --json rank.json >out 2>err ||
    fail "rank --html: exit $?"
page rank.html --json rank.json

# ---- what cannot be written is said before the work, and by name
for call in "report begun" "eval --judge nowhere.gguf --data pairs.jsonl" "rank --judge nowhere.gguf --answers answers.jsonl" \
    "compare --judge nowhere.gguf --judge nowhere2.gguf --data pairs.jsonl"; do
    # shellcheck disable=SC2086
    "$ste" $call --html no/such/x >/dev/null 2>err && fail "$call: exit 0"
    grep -q 'cannot write no/such/x' err || fail "$call: said $(cat err)"
done
refuse 2 "both go to the standard output" report begun --json --html -
refuse 2 "both go to the standard output" eval "${judge[@]}" --json - --html -
"$ste" report begun --html /dev/full 2>err && fail "a page on a full device: exit 0"
grep -q '/dev/full' err || fail "a full device is not named: $(cat err)"
echo ok
