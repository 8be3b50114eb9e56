"""A small Hub with faults, for pull_hub.sh: three repositories at one revision. Arguments: a folder for its log and the
port, and for a file `fault` that names what goes wrong."""
import hashlib, http.server, json, os, sys

folder = sys.argv[1]
SHA = "0123456789abcdef0123456789abcdef01234567"
LARGE = bytes((i * i >> 3) & 255 for i in range(200_000))
SHARDS = [LARGE, LARGE[::-1]]
INDEX = {"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors",
                                        "c": "model-00001-of-00002.safetensors"}}
FOLDER = {"config.json": b'{"model_type": "made"}', "tokenizer.json": b"{}" * 700, "README.md": b"not wanted",
          "merges.txt": b"not wanted beside tokenizer.json", "pytorch_model.bin": b"not wanted",
          "model.safetensors.index.json": json.dumps(INDEX).encode(),
          "model-00001-of-00002.safetensors": SHARDS[0], "model-00002-of-00002.safetensors": SHARDS[1]}
REPOSITORIES = {
    "some/folder": FOLDER,
    "some/gguf": {"README.md": b"x", "made-q4_k_m.gguf": LARGE, "made-q8_0.gguf": LARGE[::-1],
                  "sub/split-00001-of-00002.gguf": SHARDS[0], "sub/split-00002-of-00002.gguf": SHARDS[1]},
    "some/gated": FOLDER,
    "some/missing": {k: v for k, v in FOLDER.items() if k != "model-00002-of-00002.safetensors"},
    "some/nothing": {"README.md": b"x", "pytorch_model.bin": b"y"},
}
cut = set()


def git(b):
    return hashlib.sha1(b"blob %d\0" % len(b) + b).hexdigest()


def siblings(files, plain):
    for name, b in files.items():
        row = {"rfilename": name}
        if not plain:
            row |= {"size": len(b), "blobId": git(b)}
            if len(b) > 100_000:
                row["lfs"] = {"sha256": hashlib.sha256(b).hexdigest(), "size": len(b), "pointerSize": 130}
        yield row


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a):
        with open(f"{folder}/log", "a") as f:
            f.write(f"{self.path} {self.headers.get('Range', '-')} {self.headers.get('Authorization', '-')}\n")

    def send(self, code, body, extra=(), only=None):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        for k, v in extra:
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(body if only is None else body[:only])
        self.close_connection = only is not None

    def do_GET(self):
        fault = open(f"{folder}/fault").read().strip() if os.path.exists(f"{folder}/fault") else ""
        parts = self.path.split("?")[0].strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        name = "/".join(parts[2:4] if api else parts[:2])
        files = REPOSITORIES.get(name)
        if files is None:
            return self.send(401, b'{"error": "Invalid username or password."}')
        if api:
            if parts[5] not in ("main", "v1", SHA):
                return self.send(404, b'{"error": "Invalid rev id"}')
            return self.send(200, json.dumps({"sha": SHA, "siblings": list(siblings(files, fault == "plain"))}).encode())
        if name == "some/gated" and self.headers.get("Authorization") != "Bearer right":
            return self.send(403, b'{"error": "Access to model some/gated is restricted"}')
        file = "/".join(parts[4:])
        if parts[3] != SHA or file not in files:
            return self.send(404, b"Entry not found")
        body = files[file]
        if fault == "corrupt" and len(body) > 500:
            body = body[:100] + b"X" + body[101:]
        if fault == "short" and len(body) > 500:
            body = body[:-1]
        start = int(self.headers["Range"].split("=")[1].split("-")[0]) if self.headers.get("Range") else 0
        if start >= len(body) and start:
            return self.send(416, b"")
        extra = [("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")] if start else []
        only = len(body[start:]) // 2 if fault == "cut" and file not in cut else None
        if fault == "down" and file == "model-00002-of-00002.safetensors":
            return self.send(404, b"gone")
        cut.add(file)
        self.send(206 if start else 200, body[start:], extra, only)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(f"{folder}/port.tmp", "w") as f:
    f.write(str(server.server_address[1]))
os.rename(f"{folder}/port.tmp", f"{folder}/port")
server.serve_forever()
