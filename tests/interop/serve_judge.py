"""The judging routes of a running `ste serve` against the commands on the same file: every field that `ste judge` and
`ste score` write of a row is in the server's reply with the same bytes, whatever the batches that the rows come in.

serve_judge.py URL STE JUDGE PAIRS.jsonl [N [FLAG...]]   N rows (20); FLAGS: of ste judge, as the server was started with
The token of a server that needs one is in STE_TOKEN.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.request

url, ste, judge, path = sys.argv[1:5]
count = int(sys.argv[5]) if len(sys.argv) > 5 else 20
flags = sys.argv[6:]
failed = False


def post(route, body):
    headers = {"Content-Type": "application/json"}
    if os.environ.get("STE_TOKEN"):
        headers["Authorization"] = "Bearer " + os.environ["STE_TOKEN"]
    request = urllib.request.Request(url + route, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def check(good, what):
    global failed
    failed = failed or not good
    print("ok  " if good else "FAIL", what)


def canonical(value):
    return json.dumps(value, sort_keys=True)


def same(want, got, given, what):
    """WANT is a row of a file, with the fields that were GIVEN; GOT is the server's."""
    differs = [k for k in want if k not in given and canonical(want[k]) != canonical(got.get(k))]
    return not differs and want["id"] == got["id"] or print(what, want["id"], differs, [(want[k], got.get(k)) for k in differs][:2])


def command(name, rows, folder, more):
    with open(folder + "/in.jsonl", "w") as f:
        f.writelines(json.dumps(r) + "\n" for r in rows)
    subprocess.run([ste, name, "--judge", judge, "--in", folder + "/in.jsonl", "--out", folder + "/out.jsonl", "--no-cache",
                    *more], check=True, stderr=subprocess.DEVNULL)
    return [json.loads(line) for line in open(folder + "/out.jsonl")]


def at_once(calls):
    """The results of functions that run together."""
    out = [None] * len(calls)

    def run(i):
        out[i] = calls[i]()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return out


rows = []
for i, line in enumerate(open(path)):
    r = json.loads(line)
    a, b = r.get("response_a", r.get("chosen")), r.get("response_b", r.get("rejected"))
    rows.append({"id": r.get("id", i), "prompt": r["prompt"], "response_a": a, "response_b": b} if i % 2 else
                {"id": r.get("id", i), "prompt": r["prompt"], "response_a": b, "response_b": a})
    if len(rows) == count:
        break

with tempfile.TemporaryDirectory() as folder:
    want = command("judge", rows, folder, flags)
    together = post("/v1/judge", {"pairs": rows, "reasons": True})["data"]
    check(all([same(w, g, rows[0], "judge") for w, g in zip(want, together)]) and len(together) == len(rows),
          f"{len(rows)} pairs in one request: as ste judge")
    alone = at_once([lambda r=r: post("/v1/judge", {**r, "reasons": True}) for r in rows])
    check(all([same(w, g, rows[0], "judge") for w, g in zip(want, alone)]), "each pair in a request of its own, all at once")
    if "--votes" not in flags:
        if "likeliest" in post("/v1/score", {"prompt": "q", "response": "a"}):  # it is asked, and no scorer
            more = command("judge", rows[:5], folder, ["--votes", "4", *flags])
            votes = post("/v1/judge", {"pairs": rows[:5], "votes": 4, "reasons": True})["data"]
            check(all([same(w, g, rows[0], "votes") for w, g in zip(more, votes)]), "5 pairs with 4 votes")
            one = command("judge", rows[:5], folder, ["--one-order", *flags])
            got = post("/v1/judge", {"pairs": rows[:5], "order": "one", "reasons": True})["data"]
            check(all([same(w, g, rows[0], "one order") for w, g in zip(one, got)]), "5 pairs in one order")
            answers = [{"id": r["id"], "prompt": r["prompt"], "output": r["response_a"]} for r in rows]
            want = command("score", answers, folder, flags)
            got = post("/v1/score", {"answers": answers, "reasons": True})["data"]
            check(all([same(w, g, answers[0], "score") for w, g in zip(want, got)]), f"{len(answers)} answers: as ste score")
    group = post("/v1/group", {"prompt": rows[0]["prompt"], "id": rows[0]["id"], "by": "margin",
                               "responses": [rows[0]["response_a"], rows[0]["response_b"]]})
    margin = together[0]["margin"]
    check(group["rewards"] == ([None, None] if margin is None else [margin, -margin]), "a group of two: the margins of the pair")
    ranking = post("/v1/rank", {"prompt": rows[0]["prompt"], "id": rows[0]["id"],
                                "answers": {"a": rows[0]["response_a"], "b": rows[0]["response_b"]}})
    check(margin is None or ranking["order"] == ([0, 1] if margin > 0 else [1, 0]), "a ranking of two: the two-order verdict")
sys.exit(failed)
