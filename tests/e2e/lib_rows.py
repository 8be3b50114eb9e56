"""The Hub's data set API with faults, for pull_dataset.sh: GET /api/datasets/NAME, /splits and /rows as the dataset
viewer documents them. Arguments: a folder for its log, its faults and the port."""
import http.server, json, os, sys, urllib.parse

folder = sys.argv[1]
ROWS = [{"id": i, "prompt": f"Question {i}?", "chosen": f"Yes, {i}.\n\u00e9", "rejected": "No.", "subset": "even" if i % 2 == 0 else "odd",
         "score": i / 7} for i in range(250)]
SPLITS = {"some/pairs": [("default", "train")], "some/many": [("a", "train"), ("a", "test"), ("b", "train")]}
calls = 0


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a):
        with open(f"{folder}/log", "a") as f:
            f.write(f"{self.path} {self.headers.get('Authorization', '-')}\n")

    def answer(self, code, body, extra=()):
        page = isinstance(body, str)
        data = body.encode() if page else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/html" if page else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for k, v in extra:
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        global calls
        fault = open(f"{folder}/fault").read().strip() if os.path.exists(f"{folder}/fault") else ""
        url = urllib.parse.urlsplit(self.path)
        q = {k: v[0] for k, v in urllib.parse.parse_qs(url.query).items()}
        if url.path.startswith("/api/datasets/"):
            name = url.path[len("/api/datasets/"):]
            if name not in SPLITS and fault == "login":
                return self.answer(401, {"error": "Invalid username or password."})
            if name not in SPLITS:
                return self.answer(404, {"error": "Repository not found"})
            calls += 1
            changed = fault == "changes" and calls > 1
            return self.answer(200, {"id": name, "sha": ("f" if changed else "e") * 40, "private": False})
        if url.path == "/splits":
            return self.answer(200, {"splits": [{"dataset": q["dataset"], "config": c, "split": s} for c, s in SPLITS[q["dataset"]]],
                                     "pending": [], "failed": []})
        if url.path != "/rows":
            return self.answer(404, {"error": "no such page"})
        start, length = int(q["offset"]), int(q["length"])
        if length > 100:
            return self.answer(422, {"error": "Parameter 'length' must not be greater than 100"})
        if fault == "never":
            return self.answer(501, {"error": "The dataset viewer does not take this\ndata set."})
        if fault == "later":
            return self.answer(429, {"error": {"message": "Quota of the hour is used up"}}, [("Retry-After", "3600")])
        if fault == "proxy":
            return self.answer(503, "<html><head><title>503 Backend\x1b[31m away</title></head>" + "x" * 100000, [("Retry-After", "1")])
        if fault == "long":
            return self.answer(422, {"error": "e" * 5000})
        if fault == "down" and start >= 100:
            return self.answer(500, {"error": "Unexpected error."})
        if fault == "busy" and not os.path.exists(f"{folder}/was-busy"):
            open(f"{folder}/was-busy", "w").close()
            return self.answer(429, {"error": "Too many requests"}, [("Retry-After", "1")])
        rows = [{"row_idx": i, "row": ROWS[i], "truncated_cells": ["chosen"] if fault == "cut" and i == 120 else []}
                for i in range(start, min(start + length, len(ROWS)))]
        if fault == "other" and start == 100:
            rows[3]["row_idx"] = 7
        if fault == "ends" and start >= 200:
            rows = []
        self.answer(200, {"features": [{"feature_idx": k, "name": n, "type": {"dtype": "string", "_type": "Value"}} for k, n in enumerate(ROWS[0])],
                          "rows": rows, "num_rows_total": len(ROWS), "num_rows_per_page": 100, "partial": fault == "partial"})


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(f"{folder}/rows.jsonl", "w", encoding="utf-8") as f:
    for r in ROWS:
        f.write(json.dumps(r, ensure_ascii=False) + "\n")
with open(f"{folder}/port.tmp", "w") as f:
    f.write(str(server.server_address[1]))
os.rename(f"{folder}/port.tmp", f"{folder}/port")
server.serve_forever()
