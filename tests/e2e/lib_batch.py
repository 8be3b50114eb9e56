"""Runs a file of requests at a server, as a batch service does: lib_batch.py REQUESTS RESULTS ROOT [LOST FAILED].
Each LOST-th line has no result and each FAILED-th one that failed; 0: none. Results come in another order."""
import json
import sys
import urllib.error
import urllib.request

requests, results, root = sys.argv[1:4]
lost, failed = map(int, sys.argv[4:6] or (0, 0))
out, ids = [], set()
for i, line in enumerate(open(requests), 1):
    r = json.loads(line)
    assert set(r) == {"custom_id", "method", "url", "body"} and r["method"] == "POST", r
    assert len(r["custom_id"]) <= 64 and r["custom_id"] not in ids, r
    ids.add(r["custom_id"])
    if lost and i % lost == 0:
        continue
    row = {"id": "batch_req_%d" % i, "custom_id": r["custom_id"], "error": None}
    if failed and i % failed == 0:
        row["response"] = {"status_code": 500, "request_id": "", "body": {"error": {"message": "it went wrong"}}}
    else:
        post = urllib.request.Request(root + r["url"], json.dumps(r["body"]).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(post) as reply:
                row["response"] = {"status_code": 200, "request_id": "", "body": json.load(reply)}
        except urllib.error.HTTPError as e:
            row["response"] = {"status_code": e.code, "request_id": "", "body": json.load(e)}
    out.append(json.dumps(row) + "\n")
with open(results, "w") as f:
    f.writelines(reversed(out))
