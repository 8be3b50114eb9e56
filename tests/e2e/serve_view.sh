#!/usr/bin/env bash
# The viewer of `ste serve`: every page answers, texts are no markup, names lead nowhere, filters count what a dump
# counts, a run is neither changed nor held up.
. "$(dirname "$0")/lib_tiny.sh"
cd "$dir" || exit 1
export STE_LOG=quiet
mkdir runs secret
rows Question 24 >labelled.jsonl
python3 - >>labelled.jsonl <<'PY'
import json
nasty = ["</script><script>window.pwned=1</script><img id=pwned src=x onerror=alert(1)>", "\u202ertl \u0627\u0644\u0633\u0644\u0627\u0645 \u05e9\u05dc\u05d5\u05dd",
         "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308 emoji", "bell \x07 escape \x1b[31m c1 \x9b del \x7f end", "&lt;b&gt; \"quoted\" 'single' & more -->",
         "<!--", "]]><![CDATA[", "{{7*7}} ${x} %s%n", "a\nb\n\n  c\td"]
for i, text in enumerate(nasty):
    print(json.dumps({"id": f"n{i}", "prompt": f"Nasty {i}: {text}", "chosen": f"Yes {i} {text}", "rejected": f"No {i} {text}"}))
print(json.dumps({"id": "long", "prompt": "Long?", "chosen": "Yes <b>long</b> \u05e9 " * 50000 + "the end of it", "rejected": "No."}))
PY
recipe 2 "max_steps: 2, checkpoint_every: 2" >tiny.yaml
"$ste" run tiny.yaml --run runs/a >out.txt 2>err || fail "run a: $?"
"$ste" run tiny.yaml --run runs/b --set seed=2 --set train.max_steps=4 >out.txt 2>err || fail "run b: $?"
"$ste" dump runs/a >a.dump
cp -r runs/a secret/hidden
cp -r runs/a runs/newer
sql runs/newer "PRAGMA user_version = 99" >/dev/null
cp -r runs/a "runs/odd name's <&>?#%2e"
ln -s "$dir/secret/hidden" runs/link
mkdir runs/linked && ln -s "$dir/secret/hidden/run.db" runs/linked/run.db
mkdir runs/empty

PYTHONPATH=$src/tests/e2e python3 - "$ste" <<'PY' || fail "the viewer"
import collections, fcntl, hashlib, html.parser, json, re, sqlite3, sys, urllib.parse
import lib_serve

VOID = {"meta", "link", "input", "br", "img"}
HOSTILE = ("pwned", "onerror")


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.text, self.links, self.stack, self.tags = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.stack, f"open: {self.stack}"

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        assert not any(k.startswith("on") or k == "style" for k in attrs), (tag, attrs)
        assert tag not in ("img", "iframe", "object", "style", "b", "base"), tag
        if tag == "script":
            assert attrs.get("src") == "/static/view.js", attrs
        if tag == "a":
            self.links.append((attrs["href"], attrs.get("rel")))
        if "href" in attrs:
            assert attrs["href"].startswith(("/", "#", "data:,")), attrs
        if tag in ("select", "input"):
            assert attrs.get("id") and f'for="{attrs["id"]}"' in self.source(), f"no label: {attrs}"
        if tag not in VOID:
            self.stack.append(tag)

    def source(self):
        return self.rawdata

    def handle_endtag(self, tag):
        assert tag in VOID or self.stack.pop() == tag, f"</{tag}> in {self.stack}"

    def handle_data(self, data):
        self.text.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data[:80]}")

    def whole(self):
        return "".join(self.text)


def shown(text):
    """As a page shows it: control characters but tab and ends of lines are replaced."""
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "\ufffd", text)


dump = collections.defaultdict(list)
for line in open("a.dump"):
    row = json.loads(line)
    dump[row["table"]].append(row)
pairs = {p["id"]: p for p in dump["pair"]}
before = hashlib.sha256(open("runs/a/run.db", "rb").read()).hexdigest()

with lib_serve.Server(sys.argv[1], "runs") as s:
    def page(path, status=200):
        got, headers, body = s.get(path)
        assert got == status, f"{path}: {got}, not {status}: {body[:300]}"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and headers["X-Content-Type-Options"] == "nosniff", headers
        assert headers["Content-Type"] == "text/html; charset=utf-8", headers["Content-Type"]
        p = Page(body.decode())
        assert p.tags.count("h1") == 1 and p.tags.count("main") == 1 and p.tags[0] == "html", path
        return p

    # ---- all that links lead to
    seen, todo = set(), ["/"]
    while todo:
        path = todo.pop()
        if path in seen or len(seen) > 1500:
            continue
        seen.add(path)
        if path.startswith("/static"):
            continue
        if "/text/" in path:
            got, headers, body = s.get(path)
            assert got == 200 and headers["Content-Type"] == "text/plain; charset=utf-8" and headers["X-Content-Type-Options"] == "nosniff"
            continue
        todo += [link for link, _ in page(path).links if link.startswith("/") and link not in seen and
                 (link.count("?") == 0 or link.startswith("/runs/a/"))]
    assert len(seen) > 200 and len(seen) < 1500, f"{len(seen)} pages were reached"
    assert all(f"/runs/a/pairs/{i}" in seen for i in pairs), "a pair that no page leads to"
    print(f"{len(seen)} pages")

    # ---- texts are shown as they are
    for row in pairs.values():
        text = page(f"/runs/a/pairs/{row['id']}").whole()
        for part in ("chosen", "rejected"):
            whole = s.get(f"/runs/a/text/{part}/{row['id']}")[2].decode()
            assert whole == row[part]
            assert shown(row[part])[:90000] in text, row[part][:80]
    long = [p for p in pairs.values() if len(p["chosen"]) > 500000][0]
    body = s.get(f"/runs/a/pairs/{long['id']}")[2]
    assert len(body) < 600000 and b"<details>" in body and f"/runs/a/text/chosen/{long['id']}".encode() in body, len(body)

    # ---- names
    inside = "/runs/" + urllib.parse.quote("odd name's <&>?#%2e", safe="")
    page(inside + "/pairs")
    names = page("/").whole()
    assert "odd name's <&>?#%2e" in names and "link" not in names and "empty" not in names and "hidden" not in names
    assert "newer ste" in names, "no sentence of the run of a newer version"
    assert "newer ste" in page("/runs/newer", 422).whole()
    for name in ("nosuch", "link", "linked", "empty", "%2e%2e", "..%2fsecret%2fhidden", "%2e%2e%2fsecret%2fhidden", "a%2f..%2fa", "a%2e", "A",
                 "%01", "a%0a", "%c3%28", "..%5csecret", "x" * 300):
        got, _, body = s.get(f"/runs/{name}")
        assert got in (400, 404), f"{name}: {got}"
        got, _, body = s.get(f"/runs/{name}/pairs")
        assert got in (400, 404), f"{name}/pairs: {got}"
    for path in ("/runs/a/pairs/none", "/runs/a/instructions/none", "/diff?a=a&b=..%2Fsecret%2Fhidden", "/diff?a=link&b=a"):
        page(path, 404)
    for path in ("/runs/a/text/chosen/none", "/runs/a/text/recipe/none", "/runs/a/text/..%2f..%2fx/none", "/nothing", "/runs/a/nothing", "/runs/a/pairs/",
                 "/static/..%2fview.css", "/static/nothing"):
        assert s.get(path)[0] in (400, 404), path
    page("/runs/a/pairs?iteration=1x", 400)
    page("/runs/a/pairs?text=" + "x" * 600, 400)
    page("/runs/a/pairs?kind=%27%20OR%201=1%20--&state=%22%3E%3Cscript%3E&text=%3C/script%3E%25_")
    print("names")

    # ---- filters: the caption's number, and the rows of all pages, forwards and backwards
    def count(path):
        text = page(path).whole()
        n = int(re.search(r"(\d+) (instructions|pairs|judgments|verdicts)", text[text.index("Show all"):])[1])
        listed, at = [], path
        while at:
            p = page(at)
            ids = [l for l, _ in p.links if re.match(r"/runs/a/(pairs|instructions)/", l)]
            listed += ids
            nexts = [l for l, rel in p.links if rel == "next"]
            if nexts:
                back = [l for l, rel in page(nexts[0]).links if rel == "prev"]
                assert [l for l, _ in page(back[0]).links if re.match(r"/runs/a/(pairs|instructions)/", l)] == ids, at
            at = nexts[0] if nexts else None
        assert len(listed) == n, f"{path}: {n} in the caption, {len(listed)} rows"
        return n

    def same(path, rows):
        n = count("/runs/a/" + path)
        assert n == len(rows), f"{path}: {n}, the dump has {len(rows)}"
        return n

    j, v = dump["judgment"], [e for e in dump["evaluation"] if e["suite"] == "test"]
    kinds = lambda r: pairs[r["pair"]]["kind"]
    some = 0
    same("instructions", dump["instruction"])
    for state in {r["state"] for r in dump["instruction"]}:
        same("instructions?state=" + urllib.parse.quote(state), [r for r in dump["instruction"] if r["state"] == state])
    for state in {p["state"] for p in pairs.values()}:
        same("pairs?state=" + urllib.parse.quote(state), [p for p in pairs.values() if p["state"] == state])
    for split in ("train", "dev", "test"):
        same(f"pairs?split={split}", [p for p in pairs.values() if p["split"] == split])
        some += same(f"judgments?split={split}", [r for r in j if pairs[r["pair"]]["split"] == split])
    same("judgments", j)
    same("judgments?suite=test", v)
    verdict = lambda r: "invalid" if r["verdict"] == "invalid" else "right" if r["verdict"] == r["winner"] else "wrong"
    for it in (1, 2):
        same(f"judgments?iteration={it}", [r for r in j if r["iteration"] == it])
        for state in ("right", "wrong", "invalid"):
            some += same(f"judgments?iteration={it}&state={state}", [r for r in j if r["iteration"] == it and verdict(r) == state])
            same(f"judgments?suite=test&iteration={it}&state={state}", [r for r in v if r["iteration"] == it and verdict(r) == state])
        for state in {o["state"] for o in dump["outcome"]}:
            same(f"pairs?iteration={it}&outcome=" + urllib.parse.quote(state), [p for p in pairs if any(
                o["pair"] == p and o["iteration"] == it and o["state"] == state for o in dump["outcome"])])
    reasons = {r["reason"] for r in j if r["verdict"] == "invalid"}
    assert reasons, "the run has no invalid judgment: the filter by reason is not tried"
    for reason in reasons:
        same("judgments?reason=" + urllib.parse.quote(reason), [r for r in j if r["reason"] == reason and r["verdict"] == "invalid"])
    first = {(r["iteration"], r["pair"], r["winner"]): r for r in j if r["sample"] == 0}
    apart = {k[:2] for k, r in first.items() if k[2] == "A" and r["verdict"] != "invalid" and
             first[(*k[:2], "B")]["verdict"] == r["verdict"]}
    some += same("judgments?disagree=1", [r for r in j if (r["iteration"], r["pair"]) in apart])
    one = {(e["iteration"], e["step"], e["item"], e["suite"]): e for e in dump["evaluation"] if e["winner"] == "A"}
    also = {k[2] for k, e in one.items() if k[3] in ("test", "dev") and e["verdict"] in "AB" and any(
        o["winner"] == "B" and o["verdict"] == e["verdict"] and (o["iteration"], o["step"], o["item"], o["suite"]) == k for o in dump["evaluation"])}
    same("pairs?disagree=1", [p for p in pairs if p in also or any(a[1] == p for a in apart)])
    asked = {i["id"]: i["dialogue"] for i in dump["instruction"]}
    def holds(p, text):
        turns = [t["content"] for t in json.loads(asked[p["instruction"]])]
        return any(text.lower() in t.lower() for t in turns + [p["chosen"], p["rejected"]])
    for text in ("</script>", "\"quoted\"", "\u05e9\u05dc\u05d5\u05dd", "yes, 1", "\\", "%", "_", "content", "role", "a\nb", "of it", "\U0001f3f3", "\x07"):
        some += same("pairs?text=" + urllib.parse.quote(text), [p for p in pairs.values() if holds(p, text)])
        same("judgments?text=" + urllib.parse.quote(text), [r for r in j if holds(pairs[r["pair"]], text)])
    assert some > 100, some
    print("filters")

    # ---- two runs
    text = page("/diff?a=a&b=b").whole()
    assert "seed" in text and "train.max_steps" in text, text
    both = re.search(r"(\d+) of (\d+) verdicts that both have differ", text)
    assert both and int(both[2]) > 0, "nothing of both"
    assert re.findall(r"(\d+) of (\d+) verdicts", page("/diff?a=a&b=odd%20name%27s%20%3C%26%3E%3F%23%252e").whole())[0][0] == "0"

    # ---- the same page again is not sent, a run is neither changed nor held up
    got, headers, _ = s.get("/runs/a")
    assert s.get("/runs/a", If_None_Match=headers["ETag"])[0] == 304
    assert "finished" in page("/runs/a").whole() and 'data-live' not in s.get("/runs/a")[2].decode()
    with open("runs/a/run.lock", "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert "goes on" in page("/runs/a/live").whole() and 'data-live="/runs/a/live"' in s.get("/runs/a")[2].decode()
        assert "goes on" in page("/").whole()
    db = sqlite3.connect("runs/b/run.db", timeout=0, isolation_level=None)
    for path in ("", "/pairs?text=yes", "/judgments?disagree=1"):
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO work VALUES (?, 9, 1)", (path,))
        page("/runs/b" + path)
        db.execute("COMMIT")
    db.close()
assert hashlib.sha256(open("runs/a/run.db", "rb").read()).hexdigest() == before, "the store was written to"
print("live")
PY
"$ste" dump runs/a | cmp - a.dump || fail "another store than before"
"$ste" run tiny.yaml --run runs/a >out.txt 2>err || fail "the run cannot go on: $?"
