"""view_pages.py STE [judgments=100000] [pairs=5000] [chars=1500] [times=7] [limit=0.2]: how long each page of the
viewer takes on a large run.

A real run of the tiny model is made, and its rows are multiplied in place until it has as many pairs and judgments; then
`ste serve` gives every kind of page, first, last, filtered and searched, each TIMES over connections of their own. Ends
with 1 where the median of a page is over LIMIT seconds.
"""
import hashlib
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ste = os.path.abspath(sys.argv[1])
here = os.path.dirname(os.path.abspath(__file__))
sys.path.append(f"{here}/../e2e")
import lib_serve  # noqa: E402

options = {"judgments": 100000, "pairs": 5000, "chars": 1500, "times": 7, "limit": 0.2}
for word in sys.argv[2:]:
    key, _, value = word.partition("=")
    options[key] = type(options[key])(value)
N, PAIRS, CHARS = options["judgments"], options["pairs"], options["chars"]


def make_run(folder):
    """A run of the loop on the tiny model, in FOLDER/runs/large."""
    subprocess.run([sys.executable, f"{here}/../e2e/lib_tiny.py", folder], check=True)
    with open(f"{folder}/labelled.jsonl", "w") as f:
        for i in range(40):
            f.write(json.dumps({"id": f"p{i}", "prompt": f"Question {i} of {i * 37 % 101}?", "chosen": f"Yes, {i}.",
                                "rejected": f"No, {i * 7}."}) + "\n")
    with open(f"{folder}/tiny.yaml", "w") as f:
        f.write(f"""models: {{seed: {folder}/judge.gguf}}
prompts: {{pack: direct}}
pair: {{kinds: {{labelled: 1}}, labelled: [{folder}/labelled.jsonl]}}
check: {{by: none}}
select: {{min_chars: 1, duplicate: 0}}
split: {{dev: 0.2, test: 0.2, dev_pairs: 0, cluster: 1}}
judge: {{samples: 2, orders: both}}
filter: {{rule: margin, trust_from: 100}}
train: {{r: 2, lr: 0.001, batch: 4, warmup: 1, max_steps: 2, checkpoint_every: 2}}
iterations: 1
""")
    subprocess.run([ste, "run", f"{folder}/tiny.yaml", "--run", f"{folder}/runs/large"], check=True,
                   stdout=subprocess.DEVNULL, env=dict(os.environ, STE_LOG="quiet"))


def columns(db, table):
    return [r[1] for r in db.execute(f"PRAGMA table_info({table})")]


def row_of(db, table, where="1"):
    names = columns(db, table)
    return dict(zip(names, db.execute(f"SELECT * FROM {table} WHERE {where} LIMIT 1").fetchone()))


def put(db, table, rows):
    names = columns(db, table)
    db.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
                   ([r[n] for n in names] for r in rows))


def key(*parts):
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]


def prose(seed, n):
    words = "the judge of an answer reads what was asked and says which one serves it better than another".split()
    h, out = int(key(seed), 16), []
    while sum(map(len, out)) + len(out) < n:
        h = (h * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        out.append(words[(h >> 33) % len(words)])
    return " ".join(out)


def multiply(path):
    """PAIRS more pairs, and N judgments of them in two iterations, two orders and as many samples as that makes."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous = OFF")
    instruction, pair = row_of(db, "instruction", "state = 'kept'"), row_of(db, "pair", "split = 'train'")
    judgment, outcome = row_of(db, "judgment"), row_of(db, "outcome")
    generation, evaluation = row_of(db, "generation"), row_of(db, "evaluation", "suite = 'test'")
    texts = [prose(i, CHARS) for i in range(97)]
    ids = [key("pair", i) for i in range(PAIRS)]
    put(db, "instruction", (dict(instruction, id=key("instruction", i), position=1000 + i, category=f"kind {i % 9}",
                                 dialogue=json.dumps([{"content": f"{texts[i % 89][:300]} number {i}?",
                                                       "role": "user"}])) for i in range(PAIRS)))
    put(db, "generation", (dict(generation, id=key("generation", i, k), instruction=key("instruction", i),
                                kind=k, text=texts[(i + len(k)) % 97]) for i in range(PAIRS)
                           for k in ("answer", "rejected")))
    put(db, "pair", (dict(pair, id=ids[i], instruction=key("instruction", i), position=1000 + i,
                          kind=("modify", "other", "labelled")[i % 3], chosen=texts[i % 97] + f" {i}",
                          rejected=texts[i % 83] + f" {i}") for i in range(PAIRS)))
    samples = max(1, N // (PAIRS * 4))

    def judgments():
        for it in (1, 2):
            for i in range(PAIRS):
                for winner in "AB":
                    for sample in range(samples):
                        h = int(key("verdict", it, i, winner, sample)[:8], 16)
                        invalid = h % 13 == 0
                        verdict = "invalid" if invalid else winner if h % 3 else "AB"[winner == "A"]
                        yield dict(judgment, id=key("judgment", it, i, winner, sample), pair=ids[i], iteration=it,
                                   winner=winner, sample=sample, verdict=verdict,
                                   reason="no marker" if invalid else "", correct=int(verdict == winner),
                                   reasoning=texts[h % 97])

    put(db, "judgment", judgments())
    put(db, "outcome", (dict(outcome, id=key("outcome", it, i), pair=ids[i], iteration=it,
                             state="kept" if i % 4 else "none right") for it in (1, 2) for i in range(PAIRS)))
    put(db, "evaluation", (dict(evaluation, id=key("evaluation", it, i, w), item=ids[i], position=1000 + i, iteration=it,
                                winner=w) for it in (0, 1, 2) for i in range(PAIRS // 5) for w in "AB"))
    db.commit()
    counts = [db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("judgment", "pair", "evaluation")]
    print(f"{counts[0]} judgments, {counts[1]} pairs, {counts[2]} verdicts of evaluations, "
          f"{os.path.getsize(path) / 1e6:.0f} MB")
    middle = db.execute("SELECT id FROM judgment ORDER BY iteration, pair, winner, sample LIMIT 1 OFFSET ?",
                        (counts[0] // 2,)).fetchone()[0]
    last = db.execute("SELECT id FROM judgment ORDER BY iteration DESC, pair DESC, winner DESC, sample DESC LIMIT 1"
                      ).fetchone()[0]
    db.close()
    return ids, middle, last


def main():
    with tempfile.TemporaryDirectory() as folder:
        make_run(folder)
        ids, middle, last = multiply(f"{folder}/runs/large/run.db")
        began = time.perf_counter()
        with open(f"{folder}/report.json", "w") as f:  # as the end of a run leaves it
            subprocess.run([ste, "report", f"{folder}/runs/large", "--json"], check=True, stdout=f)
        os.replace(f"{folder}/report.json", f"{folder}/runs/large/report.json")
        print(f"its figures take {time.perf_counter() - began:.1f} s")
        with lib_serve.Server(ste, f"{folder}/runs") as server:
            return 1 if measure(server.url, ids, middle, last) > options["limit"] else 0


def measure(url, ids, middle, last):
    run = "/runs/large"
    pages = {
        "runs": "/", "overview": run, "report": f"{run}/report", "live": f"{run}/live",
        "instructions": f"{run}/instructions", "instructions, search": f"{run}/instructions?text=number+4321",
        "an instruction": f"{run}/instructions/{key('instruction', 7)}",
        "pairs": f"{run}/pairs", "pairs, last": f"{run}/pairs?before={ids[-1]}",
        "pairs, kind": f"{run}/pairs?kind=other", "pairs, search": f"{run}/pairs?text=number+4321",
        "pairs, search of many": f"{run}/pairs?text=better",
        "pairs, search of none": f"{run}/pairs?text=nowhere+at+all",
        "pairs, orders disagree": f"{run}/pairs?disagree=1&iteration=2",
        "pairs, outcome": f"{run}/pairs?outcome=none+right&iteration=2",
        "a pair": f"{run}/pairs/{ids[7]}", "a pair in a filtered list": f"{run}/pairs/{ids[7]}?kind=other&text=better",
        "judgments": f"{run}/judgments", "judgments, middle": f"{run}/judgments?after={middle}",
        "judgments, last": f"{run}/judgments?before={last}", "judgments, wrong": f"{run}/judgments?state=wrong&iteration=2",
        "judgments, invalid": f"{run}/judgments?reason=no+marker", "judgments, kind": f"{run}/judgments?kind=other",
        "judgments, orders disagree": f"{run}/judgments?disagree=1", "judgments, search": f"{run}/judgments?text=number+4321",
        "judgments, all filters": f"{run}/judgments?text=better&kind=other&state=right&iteration=2&disagree=1",
        "verdicts of test": f"{run}/judgments?suite=test", "compare": "/diff?a=large&b=large",
    }
    worst = 0
    print(f"{'page':28}{'first':>9}{'median':>9}{'worst':>9}{'KB':>7}   (ms)")
    for name, path in pages.items():
        took = []
        for _ in range(options["times"]):
            began = time.perf_counter()
            with urllib.request.urlopen(url + path) as reply:
                body = reply.read()
            took.append(1000 * (time.perf_counter() - began))
        worst = max(worst, statistics.median(took) / 1000)
        print(f"{name:28}{took[0]:9.1f}{statistics.median(took):9.1f}{max(took):9.1f}{len(body) / 1000:7.0f}")
    return worst


if __name__ == "__main__":
    sys.exit(main())
