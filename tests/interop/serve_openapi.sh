#!/usr/bin/env bash
# serve_openapi.sh STE VENV [EXAMPLES]: schemathesis (4.32.5, in VENV) asks a server of a tiny model and its run what
# /openapi.json says: no 5xx, no status, type or body that is not described. EXAMPLES (50) of each route.
set -u
venv=$(readlink -f "$2") n=${3:-50}
set -- "$(readlink -f "$1")" "$(cd "$(dirname "$0")/../.." && pwd)"
. "$2/tests/e2e/lib_tiny.sh"
cd "$dir" || exit 1
export no_proxy='*' STE_LOG=quiet
mkdir runs
rows Question 12 >labelled.jsonl
recipe 1 "max_steps: 1" >tiny.yaml
"$ste" run tiny.yaml --run runs/mine >out.txt 2>err || fail "the run"
"$ste" serve --judge judge.gguf --runs runs --no-cache --port 0 >serve.txt 2>err &
pid=$!
trap 'kill "$pid" 2>/dev/null; wait "$pid"; rm -rf "$dir"' EXIT
for _ in $(seq 200); do
    [ -s serve.txt ] && break
    sleep 0.1
done
url=$(sed -n '1s/^\(http:[^ ]*\): .*/\1/p' serve.txt)
cat >schemathesis.toml <<'T'
[parameters]
run = "mine"
T
"$venv/bin/schemathesis" run "$url/openapi.json" --max-examples "$n" --phases examples,coverage,fuzzing \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
    --request-timeout 60 --continue-on-failure || fail "schemathesis"
kill -0 "$pid" || fail "the server has ended"
