"""The faults of tests/e2e/lib_endpoint.py met by the official openai client, as it is after installation, and by ste.

endpoint_openai_sdk.py STE [REQUESTS]: run by a Python that has openai (pip install openai). Each of REQUESTS questions
(200) meets the fault, then a right answer. Of the client: answers that are right, those that it hands over as answers
though they are not, and errors, by their class, where the question is lost unless its caller asks again. Of ste: answers,
and questions that end without one. Ends with 1 where ste has anything but right answers, or ends otherwise than it should.
"""
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter

import openai

ste, requests = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200
here = os.path.dirname(os.path.abspath(__file__))
# a fault, how many times each question meets it, settings of the server
CASES = [("429", 1, {}), ("429-after", 1, {}), ("500", 1, {}), ("503", 1, {}), ("reset", 1, {}), ("reset-body", 1, {}),
         ("cut", 1, {}), ("garbage", 1, {}), ("array", 1, {}), ("null", 1, {}), ("index", 1, {}), ("twice", 1, {}),
         ("error", 1, {}), ("unknown", 1, {}), ("abort", 1, {}), ("silence", 1, {}), ("500", 3, {}), ("reset", 3, {}),
         ("none", 1, {"CLOSE": "7"}), ("none", 1, {"CLOSE": "100"}), ("redirect", 99, {}), ("quota", 99, {})]
ENDS = {"redirect", "quota"}  # what no other try can turn: ste is to say so and end


def serve(folder, fault, times, settings):
    p = subprocess.Popen([sys.executable, os.path.join(here, "../e2e/lib_endpoint.py"), folder, "openai", fault, str(times)],
                         env=dict(os.environ, **settings), stderr=subprocess.DEVNULL)
    port = os.path.join(folder, "port")
    while not os.path.exists(port):
        time.sleep(0.02)
    return p, "http://127.0.0.1:%s/v1" % open(port).read()


def right(text, number):
    return isinstance(text, str) and ("question %d," % number) in text


async def by_sdk(url, fault):
    client = openai.AsyncOpenAI(base_url=url, api_key="none", **({"timeout": 6} if fault == "silence" else {}))
    places, said = asyncio.Semaphore(64), Counter()

    async def one(number):
        async with places:
            try:
                r = await client.chat.completions.create(
                    model="paper", max_tokens=200, seed=number,
                    messages=[{"role": "user", "content": "Question %d? Which answer is better?" % number}])
            except Exception as e:
                said[type(e).__name__] += 1
                return
        try:
            said["right" if len(r.choices) == 1 and right(r.choices[0].message.content, number) else "wrong"] += 1
        except (AttributeError, TypeError):
            said["wrong"] += 1  # no completion at all

    await asyncio.gather(*(one(1000 + i) for i in range(requests)))
    await client.close()
    return said


def by_ste(url, folder, fault):
    pairs, out, named = (os.path.join(folder, f) for f in ("in.jsonl", "out.jsonl", "server.yaml"))
    with open(pairs, "w") as f:
        for i in range(requests // 2):
            f.write(json.dumps({"id": "p%d" % (1000 + i), "prompt": "Question %d?" % (1000 + i), "response_a": "Yes.",
                                "response_b": "No."}) + "\n")
    with open(named, "w") as f:
        f.write("url: %s\nmodel: paper\n%s" % (url, "timeout: 6\n" if fault == "silence" else ""))
    r = subprocess.run([ste, "judge", "--judge", named, "--in", pairs, "--out", out, "--pack", "paper", "--no-cache"],
                       capture_output=True, text=True)
    if r.returncode:
        return Counter(ended=1), re.sub(r"http://[^ ]*: ", "", r.stderr.strip().splitlines()[-1])
    said = Counter()
    for row in map(json.loads, open(out)):
        for order in "ab", "ba":
            ok = right(row[order]["reasoning"], int(row["id"][1:])) and row[order]["verdict"] in "AB"
            said["right" if ok else "lost"] += 1
    return said, ""


def asked_twice(folder):
    """Answers that went out whole and were asked for once more."""
    n = Counter(json.loads(line)["address"] for line in open(os.path.join(folder, "served.jsonl")))
    return sum(n.values()) - len(n)


def main():
    for name in "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "STE_API_KEY", "OPENAI_API_KEY":
        os.environ.pop(name, None)
    bad = 0
    print("openai %s, max_retries 2; %d requests for each row; answered rightly / wrong and taken / lost" % (openai.__version__, requests))
    print("%-22s %-46s %6s   %-24s %6s" % ("each question meets", "openai's client", "s", "ste", "s"))
    for fault, times, settings in CASES:
        what = "closed after %s" % settings["CLOSE"] if settings else fault + (" %d times" % times if 1 < times < 99 else "")
        with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
            server, url = serve(a, fault, times, settings)
            began = time.time()
            sdk = asyncio.run(by_sdk(url, fault))
            sdk_took = time.time() - began
            server.kill()
            server, url = serve(b, fault, times, settings)
            began = time.time()
            ours, why = by_ste(url, b, fault)
            took = time.time() - began
            twice = asked_twice(b)
            server.kill()
        lost = ["%d %s" % (n, name) for name, n in sorted(sdk.items()) if name not in ("right", "wrong")]
        ok = bool(why) if fault in ENDS else ours == Counter(right=requests // 2 * 2) and not twice
        bad += not ok
        print("%-22s %-46s %6.1f   %-24s %6.1f%s" % (
            what, "%d / %d / %s" % (sdk["right"], sdk["wrong"], ", ".join(lost) or "0"), sdk_took,
            "ends: " + why if why else "%d / 0 / %d" % (ours["right"], ours["lost"]), took, "" if ok else "   FAIL"))
        sys.stdout.flush()
    sys.exit(1 if bad else 0)


main()
