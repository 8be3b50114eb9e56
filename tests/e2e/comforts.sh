#!/usr/bin/env bash
# The command line as people expect it: what is installed, man pages that have each flag of --help, completion in bash,
# `ste doctor`, `ste runs`, `ste cache`, `ste --version`.
. "$2/tests/e2e/lib_tiny.sh"
cd "$dir" || exit 1
json() { python3 -c "import json, sys; d = json.load(open(sys.argv[1])); assert $2, d" "$1" || fail "$1: not $2"; }

# ---- version
"$ste" --version >version || fail "--version: $?"
head -1 version | grep -qE '^ste [0-9]+\.[0-9]+\.[0-9]+( \([0-9a-f]{12}(-changed)?, [0-9]{4}-[0-9]{2}-[0-9]{2}\))?$' || fail "its first line: $(cat version)"
number=$(sed -n '1s/^ste \([0-9.]*\).*/\1/p' version)
grep -q '^instruction sets: portable' version && grep -q 'sqlite 3' version || fail "what is built in: $(cat version)"
grep -q "^## \[$number\]" "$src/CHANGELOG.md" || fail "CHANGELOG.md does not know $number"
grep -q "^ste ($number-" "$src/packaging/debian/changelog" || fail "packaging/debian/changelog does not know $number"

# ---- what is installed
DESTDIR=$dir/dest cmake --install "$(dirname "$ste")" --prefix /usr >/dev/null || fail "install"
for f in bin/ste include/ste.h share/bash-completion/completions/ste share/fish/vendor_completions.d/ste.fish \
    share/zsh/site-functions/_ste share/man/man1/ste.1 share/man/man5/ste-recipe.5 share/doc/ste/README.md \
    share/doc/ste/CHANGELOG.md share/doc/ste/LICENSE share/doc/ste/docs/judging.md; do
    [ -s "dest/usr/$f" ] || fail "not installed: $f"
done
ls dest/usr/lib*/libste.so.0 dest/usr/lib*/*/libste.so.0 2>/dev/null | grep -q . || fail "no library is installed"

# ---- the manual
commands=$("$ste" help | sed -n 's/^  \([a-z-]*\)  *[A-Z].*/\1/p')
[ "$(wc -w <<<"$commands")" -gt 30 ] || fail "commands: $commands"
plain() { sed 's/\\f[A-Z]//g; s/\\://g; s/\\-/-/g' "$1"; }
for c in $commands; do
    page=dest/usr/share/man/man1/ste-$c.1
    [ -s "$page" ] || fail "no page of $c"
    plain "$page" >page
    "$ste" man "$c" | cmp -s - "$page" || fail "ste man $c is not what is installed"
    grep -q "^.TP" page && grep -q "ste-$c (1)\|^ste-$c \|^ste $c" page || fail "page of $c"
    plain dest/usr/share/man/man1/ste.1 | grep -qx -- "ste-$c(1)" || fail "ste(1) does not name $c"
    for flag in $("$ste" help "$c" | grep -oE '^  --?[a-z][a-z-]*'); do
        grep -qE "^$flag( |$)" page || fail "page of $c lacks $flag"
    done
done
"$ste" help recipe | grep -oE '^  [a-z_]+(\.[a-z_]+)*' | while read -r key; do
    plain dest/usr/share/man/man5/ste-recipe.5 | grep -q "^$key = " || fail "ste-recipe(5) lacks $key"
done || exit 1
"$ste" help recipe | grep -qE '^  judge\.samples' || fail "no keys were looked for"
if command -v groff >/dev/null; then
    for page in dest/usr/share/man/man?/*; do
        said=$(groff -man -Tutf8 -ww "$page" 2>&1 >/dev/null)
        [ -z "$said" ] || fail "groff: $said"
    done
fi
refuse 2 'there is no page "nothing"' man nothing

# ---- completion: bash
mkdir -p work/runs home/models && cd work || exit 1
offers() { # LINE WANT: WANT is among what is offered, and all begins with what stands there
    local COMP_LINE=$1 COMP_POINT=${#1} COMPREPLY word last=${1##*[ =:]}
    _ste
    printf '%s\n' "${COMPREPLY[@]}" | grep -qxF -- "$2" || fail "completion of '$1': ${COMPREPLY[*]} (want: $2)"
    for word in "${COMPREPLY[@]}"; do
        [ "${word#"$last"}" != "$word" ] || [ -z "$last" ] || fail "completion of '$1' offers $word"
    done
}
PATH=$(dirname "$ste"):$PATH
[ "$BASH" ] && . ../dest/usr/share/bash-completion/completions/ste
touch 'my recipe.yaml' pairs.jsonl
mkdir -p runs/mine && echo 'iterations: 1' >runs/mine/recipe.resolved.yaml
offers 'ste ju' judge-step
offers 'ste judge --one' --one-order
offers 'ste judge --score lik' likelihood
offers 'ste judge --score=lik' likelihood
offers 'ste judge --judge run' runs/mine
offers 'ste judge --judge smol' smollm2-135m-instruct
offers 'ste judge --in pa' pairs.jsonl
offers 'ste run ' small
offers 'ste run my' 'my recipe.yaml'
offers 'ste run small --set judge.sam' judge.samples=
offers 'ste report runs/m' runs/mine
offers 'ste pull qwen2.5-coder-0' qwen2.5-coder-0.5b-instruct
offers 'ste help rec' recipe
offers 'ste help dum' dump
offers 'ste completion zs' zsh
COMP_LINE='ste judge --threads ' COMP_POINT=20 && _ste && [ ${#COMPREPLY[@]} = 0 ] || fail "a number is offered: ${COMPREPLY[*]}"
refuse 2 'bash, zsh and fish' completion tcsh
rm -r runs/mine

# ---- runs
python3 "$src/tests/e2e/lib_tiny.py" "$dir" >/dev/null
rows Question 24 >"$dir/labelled.jsonl"
recipe 1 'epochs: 1' >one.yaml
"$ste" runs >out && grep -q 'There are no runs here' out || fail "no runs: $(cat out)"
"$ste" run one.yaml --run runs/one >out 2>err || fail "a run: $? $(tail -3 err)"
"$ste" run one.yaml --run runs/killed >out 2>err &
until [ -s runs/killed/run.db-wal ] || ! kill -0 $! 2>/dev/null; do sleep 0.02; done
"$ste" runs --json runs/killed >held.json
kill -9 $! 2>/dev/null
wait $! 2>/dev/null
mkdir -p runs/newer runs/broken runs/deep/er
cp -r runs/one runs/deep/er/copy
cp runs/one/recipe.resolved.yaml runs/newer && cp runs/one/run.db runs/newer && sql runs/newer 'PRAGMA user_version = 99'
cp runs/one/recipe.resolved.yaml runs/broken && head -c 5000 /dev/zero >runs/broken/run.db
"$ste" runs --json >runs.json || fail "runs: $?"
cat >look.py <<'PY'
import json
r = {x["run"]: x for x in json.load(open("runs.json"))}
held = json.load(open("held.json"))[0]
assert set(r) == {"runs/" + n for n in ("one", "killed", "newer", "broken", "deep/er/copy")}, set(r)
one = r["runs/one"]
assert one["state"] == "done" and (one["iteration"], one["iterations"]) == (1, 1) and one["pairs"] == 24, one
assert one["bytes"] > 50000 and one["changed"].startswith("20") and one["seed"].endswith("judge.gguf"), one
assert "newer ste" in r["runs/newer"]["why"] and r["runs/newer"]["state"] == "unreadable", r["runs/newer"]
assert r["runs/broken"]["state"] == "unreadable" and "damaged" in r["runs/broken"]["why"], r["runs/broken"]
killed = r["runs/killed"]
if held["state"] == "running":  # else it was over before we looked
    assert held["by"].startswith("process "), held
    assert killed["state"] in ("killed", "done") and (killed["state"] == "done" or killed["by"].startswith("process ")), killed
PY
python3 look.py || fail "runs: $(cat runs.json)"
"$ste" runs runs >out && [ "$(awk 'length > 80' out)" = "" ] && [ "$(grep -c ^runs/ out)" = 5 ] || fail "runs as text: $(cat out)"
"$ste" run one.yaml --run runs/killed >/dev/null 2>&1 && "$ste" runs --json runs/killed >out && json out 'd[0]["state"] == "done"'
recipe 1 'epochs: 1, max_steps: 1' | sed 's/rule: margin/rule: margin, min_probability: 1.0/' >none.yaml
"$ste" run none.yaml --run runs/none >out 2>err
if [ $? = 3 ]; then "$ste" runs --json runs/none >out && json out 'd[0]["state"] == "threshold" and d[0]["why"]'; fi
refuse 1 'there is no folder nowhere' runs nowhere

# ---- doctor
"$ste" doctor >out || fail "doctor: $? $(cat out)"
[ -z "$(awk 'length > 80' out)" ] || fail "doctor: wide lines"
for check in cpu cores memory home folder cache model fits 'open files' network sandbox; do
    grep -qE "^(ok|warning) +$check " out || fail "doctor does not look at $check: $(cat out)"
done
HF_TOKEN=hf_secret https_proxy=http://user:word@nowhere "$ste" doctor --json >doctor.json || fail "doctor --json"
grep -q 'secret\|user:word' doctor.json && fail "doctor shows a secret"
json doctor.json 'any("HF_TOKEN" in r["says"] and "https_proxy" in r["says"] for r in d if r["check"] == "network")'
head -c 1000 /dev/zero >"$STE_HOME/models/smollm2-135m-instruct.gguf"
refuse 1 'is broken' doctor
grep -A5 '^broken *model' out | grep -q 'ste pull' || fail "doctor of a wrong model: $(cat out)"
rm "$STE_HOME/models/smollm2-135m-instruct.gguf"
(ulimit -n 64 && "$ste" doctor) | grep -q '^warning  open files' || fail "doctor: open files"
touch file && STE_HOME=$PWD/file/home refuse 1 'broken' doctor

# ---- cache
export STE_HOME=$dir/home
"$ste" judge --judge "$dir/judge.gguf" --in "$dir/judge.jsonl" --out /dev/null 2>err || fail "judge"
"$ste" cache --json >cache.json && json cache.json 'd["answers"]["answers"] == 6 and d["answers"]["bytes"] > 4096 and d["answers"]["oldest_days"] == 0'
"$ste" cache --prune 2>err >out && grep -q '^0 of 6 answers removed' err || fail "prune of nothing: $(cat err)"
python3 - "$STE_HOME/cache.db" <<'PY'
import sqlite3, sys  # three of them came 40 days ago
d = sqlite3.connect(sys.argv[1])
(first,), (today,) = d.execute("SELECT min(rowid) FROM answers").fetchone(), d.execute("SELECT day FROM day").fetchone()
d.execute("UPDATE day SET first = ? WHERE day = ?", (first + 3, today))
d.execute("INSERT INTO day VALUES (?, ?)", (today - 40, first))
d.commit()
PY
"$ste" cache --prune --days 50 2>err >out && grep -q '^0 of 6' err || fail "prune: $(cat err)"
# another process has it open and goes on
python3 -c "
import sqlite3, sys, time
d = sqlite3.connect(sys.argv[1]); d.execute('SELECT count(*) FROM answers').fetchone(); print('open', flush=True); sys.stdin.read()
d.execute('INSERT INTO answers VALUES (\"x\", \"y\", \"z\")'); d.commit()" "$STE_HOME/cache.db" < <(sleep 2) >opened &
until [ -s opened ]; do sleep 0.05; done
"$ste" cache --prune 2>err >out && grep -q '^3 of 6' err && grep -q 'another ste has the cache open' err || fail "prune beside another: $(cat err)"
wait $! || fail "a process beside a prune cannot write"
"$ste" cache --json >cache.json && json cache.json 'd["answers"]["answers"] == 4'
"$ste" cache --prune --gb 0.000000001 2>err >out && grep -q '^4 of 4' err || fail "prune by size: $(cat err)"
"$ste" judge --judge "$dir/judge.gguf" --in "$dir/judge.jsonl" --out /dev/null 2>err && "$ste" cache --json >cache.json && json cache.json 'd["answers"]["answers"] == 6'
cp "$dir/judge.gguf" "$STE_HOME/models/tiny-judge.gguf" && echo x >"$STE_HOME/models/tiny-judge.gguf.sha256"
"$ste" cache --remove tiny-judge >/dev/null 2>err && [ -z "$(ls "$STE_HOME/models")" ] || fail "remove: $(cat err; ls "$STE_HOME/models")"
refuse 1 'there is no model tiny-judge to remove' cache --remove tiny-judge
refuse 1 'there is no model ../cache.db to remove' cache --remove ../cache.db
head -c 5000 /dev/zero >"$STE_HOME/cache.db" && rm -f "$STE_HOME"/cache.db-*
refuse 1 'remove it' cache
echo "comforts: as they should be"
