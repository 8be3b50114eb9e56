"""recorder.py PORT SERVER_PORT LOG: stands before a llama-server and writes down, a JSON line each, the questions that it
is asked (not the short ones of the probe) and whether the whole reply was handed over: key (of the body without its
adapters' ids, and the files of those that are on), about (the same for all n_probs), t (when the reply had gone), whole,
free, probs, adapter. While the server is gone nobody listens here either."""
import hashlib
import http.client
import http.server
import json
import os
import select
import socket
import struct
import sys
import threading
import time

port, server_port = map(int, sys.argv[1:3])
log = open(sys.argv[3], "a", buffering=1)
lock = threading.Lock()
SHORT = 64  # ids of the longest prompt of the probe; those of judges are longer


def connect():
    there = http.client.HTTPConnection("127.0.0.1", server_port, timeout=600)
    there.connect()
    return there


def fetch(there, *request):
    there.request(*request)
    reply = there.getresponse()
    return reply, reply.read()


def files(there):
    """Its adapters, which are those that it was started with; None: it loads its model."""
    reply, body = fetch(there, "GET", "/lora-adapters")
    return {x["id"]: x["path"] for x in json.loads(body)} if reply.status == 200 else None


def question(path, body, adapters):
    if path not in ("/completion", "/v1/completions", "/v1/chat/completions"):
        return None
    b = json.loads(body)
    free = b.get("n_predict") != 1
    if "prompt" in b and len(b["prompt"]) < SHORT and b["n_predict"] <= 2:
        return None
    on = [adapters[x["id"]] for x in b.pop("lora", []) if x["scale"]]
    b.pop("cache_prompt", None)  # as lora, it goes by what the server has
    key, about = [hashlib.sha256(json.dumps([path, x, on], sort_keys=True).encode()).hexdigest() for x in (b, dict(b, n_probs=0))]
    return {"key": key, "about": about, "free": free, "probs": b.get("n_probs", 0), "adapter": on}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    there = adapters = None

    def log_message(self, *args):
        pass

    def gone(self):
        """Who asked is."""
        return bool(select.select([self.connection], [], [], 0)[0]) and not self.connection.recv(1, socket.MSG_PEEK)

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = None
        whole = False
        try:
            if not self.there:
                self.there = connect()
            if self.adapters is None:
                self.adapters = files(self.there)
            asked = question(self.path, body, self.adapters or {}) if body else None
            headers = {"Content-Type": "application/json"} if body else {}
            reply, text = fetch(self.there, self.command, self.path, body or None, headers)
            if not self.gone():
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.getheader("Content-Type", "text/plain"))
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
                self.wfile.flush()
                whole = reply.status == 200
        except ConnectionRefusedError:
            threading.Thread(target=self.server.shutdown).start()
            self.reset()
        except (OSError, http.client.HTTPException):
            self.reset()
        if asked:
            with lock:
                log.write(json.dumps(dict(asked, t=time.time(), whole=whole)) + "\n")

    do_POST = do_GET

    def reset(self):
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        pass


while True:
    try:
        connect().close()
    except OSError:
        time.sleep(0.05)
        continue
    with Server(("127.0.0.1", port), Handler) as server:
        server.serve_forever(0.05)
