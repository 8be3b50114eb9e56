#!/usr/bin/env bash
# schemathesis asks each route of /openapi.json what the description allows, and what it does not: no 5xx, no answer that
# the description does not have. serve_openapi.sh STE SCHEMATHESIS [JUDGE] [RUNS] [EXAMPLES]
set -eu
ste=$1 schemathesis=$2 judge=${3:-smollm2-135m-instruct} runs=${4:-} examples=${5:-100}
dir=$(mktemp -d)
trap 'kill $pid 2>/dev/null; rm -rf "$dir"' EXIT
[ -n "$runs" ] || { mkdir "$dir/runs"; runs=$dir/runs; }
"$ste" serve --judge "$judge" --runs "$runs" --port 0 >"$dir/out" 2>"$dir/err" &
pid=$!
until [ -s "$dir/out" ]; do
    kill -0 $pid || { cat "$dir/err"; exit 1; }
    sleep 0.2
done
url=$(sed -n '1s/^\(http:[^ ]*\): .*/\1/p' "$dir/out")
"$schemathesis" run "$url/openapi.json" --phases examples,fuzzing --mode all --max-examples "$examples" --seed 1 \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
    --exclude-path /v1/reload --request-timeout 120 --continue-on-failure --no-color
kill -0 $pid || { echo "the server ended"; cat "$dir/err"; exit 1; }
