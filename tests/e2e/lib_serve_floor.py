"""lib_serve_floor.py STE DIR IDLE: what serve.sh asks of a server; DIR has a folder runs and the tiny judge."""
import base64
import http.client
import json
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

ste, folder, idle = sys.argv[1], sys.argv[2], int(sys.argv[3])
runs = os.path.join(folder, "runs")


class Serve:
    def __init__(self, *flags, **environment):
        self.process = subprocess.Popen([ste, "serve", "--port", "0", *flags], text=True, stdout=subprocess.PIPE,
                                        env={**os.environ, **environment})
        line = self.process.stdout.readline()
        assert line.startswith("http://"), line
        self.port = int(line.split()[0].rstrip(":").rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.process.kill()
        self.process.wait()

    def socket(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def raw(self, data, wait=30):
        """What comes back until the server closes."""
        s = self.socket()
        s.settimeout(wait)
        got = b""
        try:
            s.sendall(data)
            while True:
                piece = s.recv(65536)
                if not piece:
                    break
                got += piece
        except (ConnectionError, TimeoutError):
            pass
        s.close()
        return got

    def ask(self, method, path, body=None, **headers):
        """Status, headers, bytes."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        c.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        r = c.getresponse()
        out = r.status, r.headers, r.read()
        c.close()
        return out

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


def is_error(reply, status):
    assert reply[0] == status, f"{reply[0]}, not {status}: {reply[2][:300]}"
    assert reply[1]["Content-Type"] == "application/json", reply[1]
    error = json.loads(reply[2])["error"]
    assert error["message"] and error["type"], error
    return error


def status_of(raw):
    return int(raw.split(b" ", 2)[1]) if raw.startswith(b"HTTP/1.") else 0


def well(s):
    """Others are served, and soon."""
    begin = time.monotonic()
    status, _, body = s.ask("GET", "/health")
    took = time.monotonic() - begin
    assert status == 200 and json.loads(body)["status"] == "ok" and took < 2, (status, body, took)


def routes(s):
    status, headers, body = s.ask("GET", "/health")
    assert status == 200 and headers["X-Content-Type-Options"] == "nosniff"
    assert s.ask("HEAD", "/health")[2] == b"" and s.ask("HEAD", "/health")[0] == 200
    status, headers, _ = s.ask("OPTIONS", "/health")
    assert status == 204 and set(headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}, headers
    is_error(s.ask("GET", "/no/such"), 404)
    is_error(s.ask("DELETE", "/health"), 405)
    is_error(s.ask("GET", "/v1/models"), 404)  # there is no judge
    is_error(s.ask("GET", "/" + "x" * 9000), 414)
    is_error(s.ask("GET", "/health", X_Long="x" * 20000), 431)
    for bad in ("/%zz", "/%00", "/%ff", "/health?a=%ff", "/health?" + "a=1&" * 65):
        is_error(s.ask("GET", bad), 400)
    assert s.ask("GET", "/health?a=%C3%A9+b&&c")[0] == 200
    page = s.ask("GET", "/")
    assert page[0] == 200 and "frame-ancestors 'none'" in page[1]["Content-Security-Policy"], page[1]
    # one connection, many requests
    c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=30)
    for _ in range(50):
        c.request("GET", "/health")
        assert c.getresponse().read()
    c.close()


def who_may_ask(s):
    for host in ("evil.example", "evil.example:80", "localhost.evil.example"):
        is_error(s.ask("GET", "/health", Host=host), 403)
    for host in ("localhost", "localhost:9", "127.0.0.1", "[::1]:80"):
        assert s.ask("GET", "/health", Host=host)[0] == 200, host
    here = f"127.0.0.1:{s.port}"
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "file://"):
        is_error(s.ask("GET", "/health", Origin=origin), 403)
    assert s.ask("GET", "/health", Origin=f"http://{here}")[0] == 200
    is_error(s.ask("GET", "/health", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors"), 403)
    assert s.ask("GET", "/health", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200
    assert status_of(s.raw(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")) == 400
    assert status_of(s.raw(b"GET /health HTTP/1.0\r\n\r\n")) == 200


def metrics(s):
    status, headers, body = s.ask("GET", "/metrics")
    text = body.decode()
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4"), headers
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) and "ste_requests_total" in names and "ste_connections" in names, names
    line = next(x for x in text.splitlines() if x.startswith("ste_requests_total") and 'route="/health"' in x
                and 'status="200"' in x)
    assert float(line.split()[-1]) > 50, line


def measure(s, name):
    """A number of /metrics."""
    text = s.ask("GET", "/metrics")[2].decode()
    return float(next(x for x in text.splitlines() if x.startswith(name + " ")).split()[1])


def until(what, seconds=20):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not come to that"
        time.sleep(0.05)


def tokens():
    with open(os.path.join(folder, "token"), "w") as f:
        f.write("a-token-of-some-length\n")
    for flags, environment in ((("--token-file", os.path.join(folder, "token")), {}),
                               ((), {"STE_TOKEN": "a-token-of-some-length"})):
        with Serve("--runs", runs, *flags, **environment) as s:
            assert s.ask("GET", "/health")[0] == 200
            is_error(s.ask("GET", "/metrics"), 401)
            for wrong in ("Bearer a-token-of-some-lengt", "Bearer a-token-of-some-length2", "Bearer ", "a-token", "Basic eA=="):
                is_error(s.ask("GET", "/metrics", Authorization=wrong), 401)
            assert s.ask("GET", "/metrics", Authorization="Bearer a-token-of-some-length")[0] == 200
            assert s.ask("GET", "/metrics", Authorization="bearer  a-token-of-some-length")[0] == 200
            basic = base64.b64encode(b"anyone:a-token-of-some-length").decode()
            assert s.ask("GET", "/metrics", Authorization="Basic " + basic)[0] == 200
            is_error(s.ask("GET", "/metrics", Authorization="Basic " + basic[:-4]), 401)
            assert s.ask("GET", "/metrics", Authorization="Basic " + basic, Host="any.example")[0] == 200
            is_error(s.ask("GET", "/metrics", Authorization="Basic " + basic, Origin="http://evil.example"), 403)
            assert s.stop() in (0, 75)


def bodies(s):
    """On a server with a judge: /v1/judge takes JSON."""
    judge = "/v1/judge"
    kind = {"Content_Type": "application/json"}
    for body in (b"", b"{", b"[1, 2", b"\xff\xfe", b"\0" * 1000, b"[" * 100000, b'"' + b"x" * 100000, b"null", b"1e999", b"{}"):
        is_error(s.ask("POST", judge, body, **kind), 400)
    is_error(s.ask("POST", judge, b"prompt=a", Content_Type="application/x-www-form-urlencoded"), 415)
    is_error(s.ask("POST", judge, b"x", Content_Encoding="gzip", **kind), 415)
    head = b"POST /v1/judge HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    assert status_of(s.raw(head + b"Connection: close\r\n\r\n")) == 411
    before = s.memory()
    # 2 GB that are announced are refused before they come
    c = s.socket()
    c.sendall(head + b"Content-Length: 2147483648\r\n\r\n")
    assert status_of(c.recv(65536)) == 413
    c.close()
    # and so are those of which nobody knows how many they are
    c = s.socket()
    c.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
    piece = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    sent = 0
    try:
        while sent < 2 << 30:
            c.sendall(piece)
            sent += 1 << 20
    except ConnectionError:
        pass
    assert sent < 64 << 20, sent
    c.close()
    assert s.memory() < before + 100, (before, s.memory())
    well(s)
    assert status_of(s.raw(head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n", 10)) in (0, 400)


def garbage(s):
    for data in (b"\0" * 100 + b"\r\n\r\n", os.urandom(5000) + b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + b"x" * 500,
                 b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"G" * 100000,
                 b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20000 + b"\r\n", b"POST /v1/judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                 b"POST /v1/judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
                 b"POST /v1/judge HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n"):
        got = s.raw(data, 3)
        assert status_of(got) in (0, 400, 403, 404, 413, 414, 431, 501, 505), (data[:60], got[:200])
    well(s)


def slow(s):
    """Requests that do not come in whole within --request-time 2; a reader of a large reply who does not read."""
    def half(data, drip=b""):
        c = s.socket()
        begin = time.monotonic()
        c.sendall(data)
        c.settimeout(0.3)
        got = b""
        while time.monotonic() - begin < 20:
            try:
                piece = c.recv(4096)
                if not piece:
                    break
                got += piece
            except TimeoutError:
                if drip:
                    try:
                        c.sendall(drip)
                    except OSError:
                        break
            except ConnectionError:
                break
        return time.monotonic() - begin, got
    head = b"POST /v1/judge HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    with ThreadPoolExecutor(8) as pool:
        several = [pool.submit(half, *x) for x in ((head + b"{", b""), (head, b" "),
                                                   (b"GET /health HTTP/1.1\r\nHost: local", b""),
                                                   (b"GET /health HTTP/1.1\r\nA: ", b"x"))]
        well(s)
        for x in several:
            took, got = x.result()
            assert 1 < took < 8 and status_of(got) == 408 and b'"error"' in got, (took, got[:200])
    readers = []
    for _ in range(20):
        c = s.socket()
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        readers.append(c)
    well(s)
    for c in readers:
        c.close()
    well(s)


def left(s):
    """Bodies whose client leaves in their middle are forgotten."""
    head = b"POST /v1/judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n"
    before = s.memory()
    for data in (head, head + b"{", b"GET /v1/models HT", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        for _ in range(20):
            c = s.socket()
            c.sendall(data)
            c.close()
    for _ in range(80):
        c = s.socket()
        try:
            c.sendall(head + b" " * 7900000)
        except ConnectionError:
            pass  # too many at once
        c.close()
    until(lambda: measure(s, "ste_requests_open") == 1)
    until(lambda: s.memory() < before + 100)
    is_error(s.ask("POST", "/v1/judge", b" " * 8000000, Content_Type="application/json"), 400)


LONG = {"model": "judge", "messages": [{"role": "user", "content": "x"}], "max_tokens": 3900, "n": 128}


def start(s, body, rcvbuf=0):
    c = socket.socket()
    if rcvbuf:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    c.settimeout(60)
    c.connect(("127.0.0.1", s.port))
    data = json.dumps(body).encode()
    c.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
              b"Content-Length: %d\r\n\r\n" % len(data) + data)
    return c


def generations(s):
    """Clients that leave while the model writes, by an end and by a reset, before a reply and within a stream."""
    for stream in (False, True):
        for reset in (False, True):
            failed = measure(s, "ste_jobs_failed_total")
            c = start(s, {**LONG, "stream": stream})
            until(lambda: measure(s, "ste_questions_in_flight") > 0)
            if stream:
                assert status_of(c.recv(200)) == 200
            if reset:
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            c.close()
            until(lambda: measure(s, "ste_jobs") == 0)
            assert measure(s, "ste_jobs_failed_total") == failed + 1
    # streams that nobody reads: others are served, what waits is bounded, in the end they are given up
    before = s.memory()
    slow = [start(s, {**LONG, "stream": True, "logprobs": True}, 4096) for _ in range(4)]
    begin, most = time.monotonic(), 0
    while time.monotonic() < begin + 4:
        well(s)
        most = max(most, s.memory())
        time.sleep(0.2)
    assert most < before + 200, (before, most)
    got = s.ask("POST", "/v1/chat/completions", json.dumps({**LONG, "n": 1, "max_tokens": 5}).encode(), Content_Type="application/json")
    assert got[0] == 200, got
    for c in slow:
        c.close()
    until(lambda: measure(s, "ste_jobs") == 0)


def full():
    """More jobs than may wait are told when to come again; a stop in mid-request lets it end, or ends it."""
    judge = os.path.join(folder, "judge.gguf")
    with Serve("--judge", judge, "--no-cache", "--max-jobs", "1", "--grace", "1") as s:
        c = start(s, {**LONG, "stream": True})
        until(lambda: measure(s, "ste_jobs") == 1)
        short = json.dumps({**LONG, "n": 1, "max_tokens": 2}).encode()
        got = s.ask("POST", "/v1/chat/completions", short, Content_Type="application/json")
        is_error(got, 503)
        assert int(got[1]["Retry-After"]) >= 1, got[1]
        assert measure(s, "ste_jobs_refused_total") == 1
        half = s.socket()
        half.sendall(b"POST /v1/judge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        begin = time.monotonic()
        s.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        try:
            half.sendall(b" " * 9)
            assert status_of(half.recv(4096)) in (0, 503)
        except ConnectionError:
            pass
        assert s.process.wait(timeout=60) == 0 and time.monotonic() - begin < 15
        text = b""
        try:
            while piece := c.recv(65536):
                text += piece
        except ConnectionError:
            pass
        assert b"data: " in text
    with Serve("--judge", judge, "--no-cache") as s:
        c = start(s, {**LONG, "n": 4, "max_tokens": 2000})
        until(lambda: measure(s, "ste_jobs") == 1)
        s.process.send_signal(signal.SIGTERM)
        got = c.recv(65536)
        assert status_of(got) == 200, got
        assert s.process.wait(timeout=60) == 0


def description():
    """Every route of the tables is in /openapi.json, and the other way round."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/serve")
    text = "".join(open(os.path.join(source, name)).read() for name in sorted(os.listdir(source)) if name.endswith(".c"))
    tables = set(re.findall(r'\{"(GET|POST|PUT|DELETE)", "(/[^"]*)"', text))
    tables |= {("GET", path) for path in re.findall(r'\{"(/[^"]*)", (?:view_|STE_HTML|"src)', text)}
    with Serve("--runs", runs, "--judge", os.path.join(folder, "judge.gguf"), "--no-cache") as s:
        said = json.loads(s.ask("GET", "/openapi.json")[2])
        assert said["openapi"].startswith("3.1"), said["openapi"]
        described = {(method.upper(), path) for path, of in said["paths"].items() for method in of}
        assert described == tables and len(tables) > 25, described ^ tables
        for method, path in described:
            status, headers, _ = s.ask("OPTIONS", re.sub(r"\{\w+\}", "x", path))
            assert status == 204 and method in headers["Allow"].split(", "), (method, path, headers)


def answers(s, tags):
    """Each route of /openapi.json is there, and answers something that the description has."""
    doc = json.loads(s.ask("GET", "/openapi.json")[2])
    for path, methods in doc["paths"].items():
        for method, operation in methods.items():
            if not set(operation["tags"]) & tags or path == "/v1/reload":
                continue
            at = path.replace("{", "no-").replace("}", "")
            status, _, body = s.ask(method.upper(), at, b"{}" if method == "post" else None, Content_Type="application/json")
            assert str(status) in operation["responses"], (path, status, body[:200])
            assert status != 404 or "{" in path, (path, body[:200])
            assert status < 500, (path, status, body[:200])


def refused():
    """One sentence each."""
    def says(part, *flags, code=None, **how):
        p = subprocess.run([ste, "serve", "--runs", runs, *flags], capture_output=True, text=True, timeout=30, **how)
        assert p.returncode == (code or p.returncode) != 0 and part in p.stderr, (flags, p)
        assert len(p.stderr.strip().splitlines()) == 1 and not p.stdout, p
    with Serve("--runs", runs) as s:
        says("in use", "--port", str(s.port))
        well(s)
    says("192.0.2.1", "--port", "0", "--host", "192.0.2.1", env={**os.environ, "STE_TOKEN": "a-token-of-some-length"})
    says("no address", "--port", "0", "--host", "no such name", env={**os.environ, "STE_TOKEN": "a-token-of-some-length"})


def closed():
    """Started without standard descriptors, it serves, and writes into no connection."""
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    process = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", ste, "serve", "--runs", runs, "--port", str(port)])
    s = Serve.__new__(Serve)
    s.process, s.port = process, port
    def answers():
        try:
            return s.ask("GET", "/health")[0] == 200
        except ConnectionError:
            return process.poll() is not None
    try:
        until(answers)
        # to have nowhere to write the first line is an error; if it serves all the same, it does so well
        if process.poll() is None:
            well(s)
            assert s.raw(b"GET /health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.")
            assert s.stop() in (0, 1)
        else:
            assert process.returncode == 1, process.returncode
    finally:
        process.kill()


def many(s, n):
    """Idle connections do not keep others from being served, also where there are more than may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = min(n, hard - 100)
    held = []
    for i in range(n):
        held.append(socket.create_connection(("127.0.0.1", s.port), timeout=10))
        if i % 500 == 0:
            well(s)
    well(s)
    print(f"{n} idle connections: {s.memory():.0f} MB")
    for c in held:
        c.close()
    well(s)


def ends():
    """A stop ends idle connections, lets no new one in, and has its exit code; a second signal is obeyed at once."""
    for number, code in ((signal.SIGTERM, 0), (signal.SIGINT, 0)):
        with Serve("--runs", runs) as s:
            c = s.socket()
            c.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert status_of(c.recv(4096)) == 200
            begin = time.monotonic()
            got = s.stop(number)
            assert got == code and time.monotonic() - begin < 10, (number, got, time.monotonic() - begin)
            try:
                s.socket()
                raise AssertionError("it listens still")
            except ConnectionError:
                pass


def activated():
    """A socket that is given, as systemd does."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    def give():
        os.dup2(listening.fileno(), 3)
        os.set_inheritable(3, True)
    process = subprocess.Popen(["sh", "-c", 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"', "sh", ste, "serve", "--runs", runs],
                               stdout=subprocess.PIPE, text=True, preexec_fn=give, close_fds=False)
    line = process.stdout.readline()
    port = listening.getsockname()[1]
    assert f":{port}" in line, line
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    c.request("GET", "/health")
    assert c.getresponse().status == 200
    process.terminate()
    process.wait(timeout=30)
    # one that other machines reach is guarded as --host is; one that does not listen is named
    listening.close()
    for listening in (socket.create_server(("0.0.0.0", 0)), socket.socket()):
        p = subprocess.run(["sh", "-c", 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"', "sh", ste, "serve", "--runs", runs],
                           capture_output=True, text=True, preexec_fn=give, close_fds=False, timeout=30)
        assert p.returncode == 2 and ("token" in p.stderr or "listens" in p.stderr), p
        listening.close()


with Serve("--runs", runs) as s:
    routes(s)
    who_may_ask(s)
    metrics(s)
    answers(s, {"server", "viewer"})
tokens()
with Serve("--judge", os.path.join(folder, "judge.gguf"), "--no-cache", "--request-time", "2") as s:
    answers(s, {"server", "OpenAI", "judging", "trainers"})
    bodies(s)
    garbage(s)
    slow(s)
    left(s)
    generations(s)
    assert s.process.poll() is None
    assert s.stop() in (0, 75)
with Serve("--runs", runs, "--max-connections", str(idle + 100)) as s:
    many(s, idle)
with Serve("--runs", runs, "--max-connections", "300") as s:
    many(s, 2000)
ends()
full()
description()
refused()
closed()
activated()
