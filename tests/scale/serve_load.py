"""64 clients of `ste serve` for a minute: no error, no client far behind, and no less throughput than the commands have.

serve_load.py STE MODEL.gguf PAIRS.jsonl [seconds=60] [clients=64] [llama=LLAMA_SERVER] [tokens=64]

1. Each client asks /v1/judge for one pair after the other. Then `ste judge` judges the pairs that were judged, in a
   file: the server's pairs a second must be at least 0.9 of that, the slowest client's share half of the mean.
2. Each client asks /v1/chat/completions, half of them by streams; the same requests go to llama-server, if there is one.
Five minutes in all. The rows of PAIRS have prompt or messages, and chosen, rejected or response_a, response_b.
"""

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

ste, model, path = sys.argv[1:4]
given = dict(a.split("=", 1) for a in sys.argv[4:])
seconds, clients, tokens = (int(given.get(k, d)) for k, d in (("seconds", 60), ("clients", 64), ("tokens", 64)))
llama = given.get("llama")
failed = False


def check(good, what):
    global failed
    failed = failed or not good
    print("ok  " if good else "FAIL", what, flush=True)


def pairs():
    out = []
    for i, line in enumerate(open(path)):
        r = json.loads(line)
        row = {k: r[k] for k in ("messages", "prompt") if k in r}
        row |= {"id": str(r.get("id", i)), "response_a": r.get("response_a", r.get("chosen")),
                "response_b": r.get("response_b", r.get("rejected"))}
        if len(json.dumps(row)) < 6000:
            out.append(row)
    return out


class Load:
    """Clients that ask one request after the other until the time is over; requests that were begun by then are ended,
    and count with the time that the last of them took."""

    def __init__(self, port, requests, route, read):
        self.port, self.requests, self.route, self.read = port, requests, route, read
        self.lock, self.next = threading.Lock(), 0
        self.counts, self.errors, self.slowest, self.done = [0] * clients, [], 0.0, []
        self.start = time.monotonic()
        threads = [threading.Thread(target=self.client, args=(i,)) for i in range(clients)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.took = time.monotonic() - self.start

    def client(self, i):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        while time.monotonic() - self.start < seconds:
            with self.lock:
                at = self.next
                self.next += 1
            request = self.requests[at % len(self.requests)]
            begun = time.monotonic()
            try:
                c.request("POST", self.route, json.dumps(request), {"Content-Type": "application/json"})
                reply = c.getresponse()
                body = reply.read()
                got = self.read(request, body) if reply.status == 200 else None
            except (OSError, ValueError, KeyError, http.client.HTTPException) as e:
                reply, got, body = None, None, repr(e).encode()
                c.close()
            with self.lock:
                if got is None:
                    self.errors.append((reply and reply.status, body[:200]))
                else:
                    self.counts[i] += got
                    self.done.append(at)
                self.slowest = max(self.slowest, time.monotonic() - begun)
        c.close()

    def report(self, what, unit):
        mean = sum(self.counts) / clients
        rate = sum(self.counts) / self.took
        check(not self.errors, f"{what}: {len(self.done)} requests of {clients} clients in {self.took:.0f} s, "
                               f"{len(self.errors)} errors {self.errors[:2] or ''}")
        print(f"     {rate:.2f} {unit} a second; slowest request {self.slowest:.1f} s")
        return rate, min(self.counts) / mean if mean else 0


def judged(request, body):
    return 1 if json.loads(body)["verdict"] else None


def written(request, body):
    """Tokens of a whole reply, or of a stream, which ends with its usage."""
    if not request.get("stream"):
        return json.loads(body)["usage"]["completion_tokens"]
    events = [json.loads(line[6:]) for line in body.decode().split("\n") if line.startswith("data: {")]
    if any("error" in e for e in events) or "[DONE]" not in body.decode():
        raise ValueError("a stream with an error")
    return next(e["usage"] for e in events if e.get("usage"))["completion_tokens"]


def start_ste():
    p = subprocess.Popen([ste, "serve", "--judge", model, "--port", "0", "--no-cache"], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
    for line in p.stdout:
        found = re.search(r"http://[0-9.]+:([0-9]+)", line)
        if found:
            return p, int(found.group(1))
    sys.exit("ste serve did not start")


def start_llama():
    p = subprocess.Popen([llama, "-m", model, "--port", "18098", "-np", str(clients), "-c", str(clients * 1024)],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(240):
        time.sleep(0.5)
        try:
            c = http.client.HTTPConnection("127.0.0.1", 18098, timeout=5)
            c.request("GET", "/health")
            if c.getresponse().status == 200:
                return p, 18098
        except OSError:
            pass
    sys.exit("llama-server did not start")


def file_rate(rows):
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/in.jsonl", "w") as f:
            f.writelines(json.dumps({**r, "id": str(i)}) + "\n" for i, r in enumerate(rows))
        begun = time.monotonic()
        subprocess.run([ste, "judge", "--judge", model, "--in", folder + "/in.jsonl", "--out", folder + "/out.jsonl",
                        "--no-cache"], check=True, stderr=subprocess.DEVNULL)
        return len(rows) / (time.monotonic() - begun)


def cpu(p):
    """Seconds that a process has worked."""
    fields = open(f"/proc/{p.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stop(p):
    p.terminate()
    return p.wait()


def main():
    rows = pairs()
    questions = [r["prompt"] if isinstance(r.get("prompt"), str) else r["messages"][-1]["content"] for r in rows]
    chats = [{"model": os.path.basename(model).removesuffix(".gguf"), "max_tokens": tokens, "temperature": 0.7, "seed": i,
              "messages": [{"role": "user", "content": q[:400]}]} |
             ({"stream": True, "stream_options": {"include_usage": True}} if i % 2 else {})
             for i, q in enumerate(questions)]
    server, port = start_ste()
    try:
        before = cpu(server)
        load = Load(port, rows, "/v1/judge", judged)
        rate, least = load.report("/v1/judge", "pairs")
        print(f"     {(cpu(server) - before) / max(1, len(load.done)):.3f} seconds of CPU a pair")
        check(least >= 0.5, f"the slowest client has {least:.2f} of the mean")
        chat = Load(port, chats, "/v1/chat/completions", written)
        chat_rate, least = chat.report("/v1/chat/completions", "tokens written")
        check(least >= 0.5, f"the slowest client has {least:.2f} of the mean")
    finally:
        check(stop(server) in (0, 75, 130, -15), "the server stops")
    alone = file_rate([rows[i % len(rows)] for i in load.done])
    check(rate >= 0.9 * alone, f"{rate:.2f} pairs a second, {rate / alone:.2f} of ste judge's {alone:.2f} on a file")
    if llama:
        server, port = start_llama()
        try:
            theirs, _ = Load(port, chats, "/v1/chat/completions", written).report("llama-server", "tokens written")
            check(chat_rate >= theirs, f"{chat_rate / theirs:.2f} times the tokens of llama-server")
        finally:
            stop(server)
    print("serve_load:", "failed" if failed else "ok")
    sys.exit(failed)


main()
