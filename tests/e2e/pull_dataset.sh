#!/usr/bin/env bash
# ste pull dataset against a rows API of our own: pages, a server that is busy, one that fails and the same command
# again, a revision that changes, rows that are not what was asked for.
set -u
ste=$1
here=$2/tests/e2e
command -v python3 >/dev/null || exit 77
tmp=$(mktemp -d) || exit 1
server=
trap 'kill "$server" 2>/dev/null; rm -rf "$tmp"' EXIT
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1 HF_TOKEN=sesame

fail() {
    echo "FAILED: $1"
    [ -s "$tmp/err" ] && cat "$tmp/err"
    exit 1
}

# A fresh server and an empty folder to pull into.
serve() {
    [ -n "$server" ] && kill "$server" 2>/dev/null
    dir=$tmp/$RANDOM$RANDOM
    mkdir -p "$dir"
    python3 "$here/lib_rows.py" "$dir" 2>"$dir/stderr" &
    server=$!
    for _ in $(seq 100); do
        [ -f "$dir/port" ] && break
        sleep 0.1
    done
    port=$(cat "$dir/port") || exit 1
    export STE_DATASETS_URL=http://127.0.0.1:$port HF_ENDPOINT=http://127.0.0.1:$port
    [ -n "${1:-}" ] && echo "$1" >"$dir/fault"
}

pull() {
    (cd "$dir" && "$ste" pull dataset "$@") >"$tmp/out" 2>"$tmp/err"
}

right() { # FILE: all rows, as they are
    python3 - "$1" "$dir/rows.jsonl" <<'PY' || fail "$1 has other rows"
import json, sys

a, b = ([json.loads(line) for line in open(p, encoding="utf-8")] for p in sys.argv[1:3])
sys.exit(a != b)
PY
}

serve
pull some/pairs || fail "exit $?"
right "$dir/pairs.jsonl"
grep -q '"revision": "eeee' "$dir/pairs.jsonl.source.json" && grep -q '"rows": 250' "$dir/pairs.jsonl.source.json" ||
    fail "no source beside the rows"
ls "$dir"/pairs.jsonl.part* >/dev/null 2>&1 && fail "parts are left"
[ "$(grep -c '^/rows' "$dir/log")" = 3 ] || fail "not three pages: $(cat "$dir/log")"
grep -vq 'Bearer sesame' "$dir/log" && fail "a question without the login"
# with the standard descriptors closed, no line of the log lands among the rows
(cd "$dir" && "$ste" pull dataset some/pairs --out closed.jsonl) >&- 2>&- || fail "closed descriptors: exit $?"
right "$dir/closed.jsonl"
: >"$dir/log"
pull some/pairs || fail "again: exit $?"
[ "$(grep -c '^/rows' "$dir/log")" = 0 ] || fail "again: rows were asked for"
# again: nothing is asked but the revision; a file that is something else stays
echo '{}' >"$dir/pairs.jsonl.source.json"
pull some/pairs && fail "another file was written over"
# the first rows of one split of many
pull some/many && fail "a split was guessed"
grep -q 'say which: --config a --split train, --config a --split test, --config b --split train' "$tmp/err" || fail "splits are not said"
pull some/many --config a --split test --limit 130 --out some.jsonl || fail "--limit: exit $?"
head -130 "$dir/rows.jsonl" | wc -l | grep -q 130 && [ "$(wc -l <"$dir/some.jsonl")" = 130 ] || fail "not 130 rows"
pull some/none && fail "a data set that is not there"
pull none && fail "a name without an owner"

# a name that is not there looks to the Hub like one that wants a login: both are said, and what the Hub says
serve login
pull some/pears && fail "a data set that is not there"
grep -q '401 (Invalid username or password.); either there is nothing of that name, or it wants a login (HF_TOKEN' "$tmp/err" ||
    fail "401: not both readings"
# what does not pass is not tried again, and a wait that is too long is refused; the server's reason is shown, in bounds
for fault in never:'501 (The dataset viewer does not take this data set.)' \
    later:'429 (Quota of the hour is used up); it asks to wait 3600 seconds' long:'422 (eeee'; do
    serve "${fault%%:*}"
    pull some/pairs && fail "${fault%%:*}: not refused"
    grep -qF "${fault#*:}" "$tmp/err" || fail "${fault%%:*}: not said"
    [ "$(grep -c '^/rows' "$dir/log")" = 1 ] || fail "${fault%%:*}: asked again"
    [ "$(wc -c <"$tmp/err")" -lt 700 ] || fail "${fault%%:*}: too much is said"
done
serve proxy
pull some/pairs && fail "proxy: not refused"
grep -qF '503 (503 Backend [31m away); try again later' "$tmp/err" || fail "proxy: not said"
[ "$(grep -c '^/rows' "$dir/log")" = 4 ] || fail "proxy: not four tries"

# busy at first: asked again
serve busy
pull some/pairs || fail "busy: exit $?"
right "$dir/pairs.jsonl"

# a server that fails on the second page: what came stays, and the same command goes on there
serve down
pull some/pairs && fail "down: not refused"
grep -q '500 (Unexpected error.)' "$tmp/err" || fail "down: the reason is not shown"
[ "$(wc -l <"$dir/pairs.jsonl.part")" = 100 ] && [ ! -e "$dir/pairs.jsonl" ] || fail "down: the first page is not kept"
printf '{"id": 100, "pro' >>"$dir/pairs.jsonl.part" # cut in the midst of a row
rm "$dir/fault"
: >"$dir/log"
pull some/pairs || fail "after down: exit $?"
right "$dir/pairs.jsonl"
grep -q 'offset=0&' "$dir/log" && fail "after down: it began anew"

# a beginning of another revision is not gone on with
serve down
pull some/pairs && fail "down again: not refused"
sed -i 's/eeee/dddd/' "$dir/pairs.jsonl.part.json"
rm "$dir/fault"
pull some/pairs || fail "another revision: exit $?"
right "$dir/pairs.jsonl"
grep -c 'offset=0&' "$dir/log" | grep -q 2 || fail "another revision: it did not begin anew"

for fault in changes:'changed while it was pulled' cut:'row 120 comes with its field "chosen" cut off' \
    other:'another row than row 103' ends:'sent no row 200 of 250'; do
    serve "${fault%%:*}"
    pull some/pairs && fail "${fault%%:*}: not refused"
    grep -q "${fault#*:}" "$tmp/err" || fail "${fault%%:*}: not said"
    [ ! -e "$dir/pairs.jsonl" ] || fail "${fault%%:*}: a file is there"
done
serve partial
pull some/pairs || fail "partial: exit $?"
grep -q 'only the first 250 rows' "$tmp/err" || fail "partial: not said"

echo "data sets: as they should be"
