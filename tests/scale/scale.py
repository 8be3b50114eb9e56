"""What the driver costs where others compute: `ste judge` against scale_server, which answers like vLLM.

scale.py STE SERVER [pairs=N,N,...] [pack=small] [votes=1] [places=256] [mean=0.05] [faults=0.01] [kill=1]

For each N: CPU time of ste alone (user and system), for a judgment and for a request; the most memory it had; bytes of
the cache of answers. With kill=1 the last N once more: ste is killed at two thirds, the same command goes on, and the
time until its first new request is told. VOTES: samples of each order. Ends with 1 where anything was asked again that
was answered, but for what was in flight at the kill.
"""
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ste, server = sys.argv[1:3]
given = dict(a.split("=", 1) for a in sys.argv[3:])
sizes = [int(n) for n in given.pop("pairs", "1000,5000,25000").split(",")]
pack, votes, kill = given.pop("pack", "small"), int(given.pop("votes", 1)), int(given.pop("kill", 1))
places = int(given.get("places", 256))
WORDS = """a able about answer because better both but by can case city clear come day does each even explain fact find
first follow for from gives good has have he help how idea if in is it kind know large later less line long made make many
may more most name need new no not number of often on one only or other part people place point question reason right
say see she short show small so some take than that the then there these they think this time to true two under use very
was way well were what when which who will with word work world would write year you""".split()


def text(rng, n):
    return " ".join(rng.choice(WORDS) for _ in range(n)).capitalize() + "."


def write_pairs(path, n):
    """Requests of about 20 words, answers of 40 to 160."""
    rng = random.Random(1)
    with open(path, "w") as f:
        for i in range(n):
            f.write(json.dumps({"id": "p%d" % i, "prompt": text(rng, 20)[:-1] + "?", "response_a": text(rng, rng.randrange(40, 160)),
                                "response_b": text(rng, rng.randrange(40, 160))}) + "\n")


def judge(args, until=None):
    """Runs ste; its figures. UNTIL: kills it once that returns true."""
    began = time.time()
    p = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    ended = 0
    while until and not ended:
        if until():
            p.send_signal(signal.SIGKILL)
            break
        time.sleep(0.05)
        ended, status, u = os.wait4(p.pid, os.WNOHANG)
    said = p.stderr.read().decode()
    if not ended:
        _, status, u = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode not in (0, -signal.SIGKILL):
        sys.exit("ste ended with %d: %s" % (p.returncode, said[-2000:]))
    return {"user": u.ru_utime, "sys": u.ru_stime, "peak": u.ru_maxrss * 1024, "wall": time.time() - began,
            "killed": p.returncode < 0}


class Server:
    def __init__(self, folder):
        port = os.path.join(folder, "port")
        if os.path.exists(port):
            os.remove(port)
        self.process = subprocess.Popen([server, port] + ["%s=%s" % kv for kv in given.items()])
        while not os.path.exists(port):
            time.sleep(0.01)
        self.url = "http://127.0.0.1:%s" % open(port).read()

    def stats(self):
        return json.load(urllib.request.urlopen(self.url + "/stats"))

    def end(self):
        self.process.kill()
        self.process.wait()


def home_bytes(home):
    return sum(os.path.getsize(os.path.join(home, f)) for f in os.listdir(home) if f.startswith("cache.db"))


def main():
    for name in "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "STE_API_KEY":
        os.environ.pop(name, None)
    os.environ["no_proxy"] = "127.0.0.1"
    bad = 0
    print("pack %s, %d sample%s of each order, %d in flight" % (pack, votes, "s" * (votes > 1), places))
    print("%9s %9s %7s %11s %11s %9s %9s %11s %9s" % ("judgments", "requests", "faults", "CPU/judgm.", "CPU/request", "user/sys",
                                                       "peak MB", "bytes/judgm.", "a second"))
    with tempfile.TemporaryDirectory() as folder:
        pairs, out = os.path.join(folder, "pairs.jsonl"), os.path.join(folder, "out.jsonl")
        for n in sizes:
            write_pairs(pairs, n)
            for end in ([None, 2 / 3] if kill and n == sizes[-1] else [None]):
                s = Server(folder)
                named = os.path.join(folder, "server.yaml")
                with open(named, "w") as f:
                    f.write("url: %s/v1\nmodel: paper\nmax_in_flight: %d\n" % (s.url, places))
                home = os.environ["STE_HOME"] = tempfile.mkdtemp(dir=folder)
                args = [ste, "judge", "--judge", named, "--in", pairs, "--out", out, "--pack", pack]
                args += ["--votes", str(2 * votes), "--all-votes"] if votes > 1 else []
                judgments = 2 * n * votes
                if end:
                    each = whole["answered"]
                    judge(args, until=lambda: s.stats()["answered"] >= end * each)
                    before, began, first = s.stats(), time.time(), []

                    def asked():
                        if not first and s.stats()["answered"] + s.stats()["again"] > before["answered"] + before["again"]:
                            first.append(time.time() - began)
                        return False
                    r = judge(args, until=asked)
                    after = s.stats()
                    print("killed at %d of %d answers; the first new answer after %.1f s; %d asked again (%d were in flight)" %
                          (before["answered"], each, first[0] if first else -1, after["again"], places))
                    bad |= after["again"] > 2 * places or after["answered"] != each
                else:
                    r = judge(args)
                    whole = t = s.stats()
                    cpu = r["user"] + r["sys"]
                    print("%9d %9d %7d %8.1f us %8.1f us  %3.0f%%/%2.0f%% %9.1f %11.0f %9.0f" % (
                        judgments, t["requests"], t["faults"], 1e6 * cpu / judgments, 1e6 * cpu / t["requests"],
                        100 * r["user"] / cpu, 100 * r["sys"] / cpu, r["peak"] / 1e6, home_bytes(home) / judgments,
                        judgments / r["wall"]))
                    bad |= t["again"] > 0
                with open(out) as f:
                    rows = [json.loads(line) for line in f]
                bad |= len(rows) != n or any(o["ab"]["verdict"] == "invalid" or o["ba"]["verdict"] == "invalid" for o in rows)
                s.end()
                sys.stdout.flush()
    sys.exit("something was asked again, or has no verdict" if bad else 0)


main()
