#!/usr/bin/env bash
# ste pull HF:... and catalogue entries without a hash, against a Hub of our own: folders by their index, GGUF files by
# name and by part of it, split ones, revisions, what is cut off, what is not what the Hub lists, gated repositories.
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

# serve [FAULT]: a fresh server and a fresh home
serve() {
    dir=$tmp/$RANDOM$RANDOM
    mkdir -p "$dir/home"
    export STE_HOME=$dir/home
    [ -n "${1:-}" ] && echo "$1" >"$dir/fault"
    python3 "$here/lib_hub.py" "$dir" 2>"$dir/stderr" &
    servers+=($!)
    for _ in $(seq 100); do
        [ -f "$dir/port" ] && break
        sleep 0.1
    done
    HF_ENDPOINT=http://127.0.0.1:$(cat "$dir/port") || exit 1
    export HF_ENDPOINT
    models=$STE_HOME/models
}

pull() {
    "$ste" pull "$@" >"$tmp/out" 2>"$tmp/err"
}

refused() { # WHAT SENTENCE PULL...
    what=$1 sentence=$2
    shift 2
    pull "$@" && fail "$what: not refused"
    grep -q -- "$sentence" "$tmp/err" || fail "$what: not said"
    [ "$(wc -l <"$tmp/err")" -le 2 ] || fail "$what: more than a sentence"
}

whole_folder() { # NAME
    [ "$(ls "$models/$1" | tr '\n' ' ')" = "config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors \
model.safetensors.index.json source.json tokenizer.json " ] || fail "$1: its files are $(ls "$models/$1" | tr '\n' ' ')"
    [ "$(cat "$models/$1"/model-*.safetensors | wc -c)" = 400000 ] || fail "$1: wrong bytes"
    grep -q '"revision": "0123456789abcdef' "$models/$1/source.json" || fail "$1: no revision kept"
    grep -q "\"sha256\": \"$(sha256sum <"$models/$1/model-00001-of-00002.safetensors" | cut -d' ' -f1)" \
        "$models/$1/source.json" || fail "$1: no hash kept"
}

# a folder; again asks nobody; at a revision that is another than the one here
serve
pull HF:some/folder || fail "folder: exit $?"
whole_folder folder
n=$(wc -l <"$dir/log")
pull HF:some/folder || fail "folder again: exit $?"
[ "$(wc -l <"$dir/log")" = "$n" ] || fail "folder again: the server was asked"
pull HF:some/folder@v1 || fail "the same revision by a tag: exit $?"
sed -i 's/0123456789abcdef/ff23456789abcdef/' "$models/folder/source.json"
refused "another revision" 'is there and is not some/folder at revision' HF:some/folder@v1
refused "a revision that is not" 'answered 404' HF:some/folder@v2
ls "$STE_HOME/downloads" | grep -v lock && fail "folder: downloads are left"

# a GGUF file: by its name, by part of it, split
serve
pull HF:some/gguf:made-q4_k_m.gguf || fail "gguf: exit $?"
[ "$(wc -c <"$models/made-q4_k_m.gguf")" = 200000 ] || fail "gguf: wrong bytes"
pull HF:some/gguf:Q8_0 || fail "gguf by part: exit $?"
[ -f "$models/made-q8_0.gguf" ] && [ -f "$models/made-q8_0.gguf.source.json" ] || fail "gguf by part: not there"
n=$(wc -l <"$dir/log")
pull HF:some/gguf:made-q4_k_m.gguf || fail "gguf again: exit $?"
[ "$(wc -l <"$dir/log")" = "$n" ] || fail "gguf again: the server was asked"
pull HF:some/gguf:split || fail "split: exit $?"
[ "$(cat "$models"/split-0000?-of-00002.gguf | wc -c)" = 400000 ] || fail "split: wrong bytes"
refused "more than one" 'more than one GGUF file "made"; it has made-q4_k_m.gguf, made-q8_0.gguf' HF:some/gguf:made
refused "no such file" 'no GGUF file "q2_k"' HF:some/gguf:q2_k
refused "which one" 'name one of its GGUF files as :FILE: made-q4_k_m.gguf' HF:some/gguf
refused "no model" 'and no GGUF file' HF:some/nothing
refused "a missing shard" 'names the file "model-00002-of-00002.safetensors", which some/missing does not have' \
    HF:some/missing
for name in HF:folder HF:/x HF:a/b/c HF:a/b: HF:a/b@ HF:a/../b 'HF:a/b?x'; do
    refused "$name" 'a model of the Hub is named OWNER/NAME' "$name"
done
refused "no such repository" 'no such model, or it is gated' HF:no/such
echo x >"$models/gated"
refused "another thing of that name" 'is there and is not some/gated' HF:some/gated
rm "$models/gated"

# gated: one sentence; a token goes with every request
refused gated 'accept its terms on http://127.0.0.1:.*/some/gated, make a token that may read it and set HF_TOKEN' \
    HF:some/gated
HF_TOKEN=right pull HF:some/gated || fail "gated with a token: exit $?"
whole_folder gated

# cut in the midst of a file: the rest is asked for; stopped between two files: those that came are not asked for again
serve cut
pull HF:some/folder || fail "cut: exit $?"
whole_folder folder
grep -q 'safetensors bytes=[1-9]' "$dir/log" || fail "cut: no range was asked for"
serve down
refused down 'answered 404' HF:some/folder
rm "$dir/fault"
: >"$dir/log"
pull HF:some/folder || fail "after down: exit $?"
whole_folder folder
grep -q '00001-of-00002' "$dir/log" && fail "after down: it began anew"

# what comes is not what the Hub lists
for fault in corrupt short; do
    serve $fault
    refused $fault 'is not the file that the Hub lists' HF:some/folder
    [ -e "$models/folder" ] && fail "$fault: a model is there"
    rm "$dir/fault"
    pull HF:some/folder || fail "after $fault: exit $?"
    whole_folder folder
done

# a mirror that lists names alone
serve plain
pull HF:some/gguf:q8 || fail "plain: exit $?"
[ "$(wc -c <"$models/made-q8_0.gguf")" = 200000 ] || fail "plain: wrong bytes"

# entries of a catalogue without a hash
serve
cat >"$STE_HOME/models.yaml" <<Y
models:
  - name: by-folder
    license: Apache-2.0
    sources: [huggingface: some/folder]
  - name: by-file
    sources: [huggingface: some/gguf/made-q8_0.gguf]
Y
pull by-folder by-file || fail "entries: exit $?"
whole_folder by-folder
[ "$(wc -c <"$models/by-file.gguf")" = 200000 ] || fail "entries: no file"
[ "$("$ste" models --json | grep -c '"pulled": true')" = 2 ] || fail "entries: models does not know them"
exit $bad
