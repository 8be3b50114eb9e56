#!/usr/bin/env bash
# The HTTP floor of ste serve: routes, errors, who may ask, clients that misbehave, a graceful stop.
# serve.sh STE SOURCE [IDLE]: so many idle connections (2,000).
. "$(dirname "$0")/lib_tiny.sh"
export STE_LOG=quiet no_proxy='*'
mkdir "$dir/runs"
refuse() { # CODE PART ARGUMENT...
    local code=$1 part=$2 got=0
    shift 2
    timeout 20 "$ste" "$@" >"$dir/out" 2>"$dir/err" || got=$?
    [ "$got" = "$code" ] && grep -qF -- "$part" "$dir/err" || fail "$*: exit $got, not $code with: $part"
}
refuse 2 "--judge" serve
refuse 2 "token" serve --runs "$dir/runs" --host 0.0.0.0 --port 0
refuse 1 "no such folder" serve --runs "$dir/none"
printf 'short\n' >"$dir/short"
refuse 1 "at least 8" serve --runs "$dir/runs" --token-file "$dir/short"
python3 "$src/tests/e2e/lib_serve_floor.py" "$ste" "$dir" "${3:-2000}" || fail "serve"
echo "ste serve: as it should be"
