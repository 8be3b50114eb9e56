#!/usr/bin/env bash
# Gives the llama-server that serve.sh keeps up in STATE an adapter: what on_adapter names.
#   on_adapter: [cluster/llama-server/on_adapter.sh, STATE]        (ste adds FOLDER and NAME)
set -u
state=$1 adapter=$2/adapter.gguf
[ -f "$adapter" ] || { echo "on_adapter.sh: there is no $adapter here" >&2; exit 1; }
exec 9>"$state/lock" || exit 1
flock 9 # one at a time, also where the command that was killed with its driver is still at work
echo "$adapter" >"$state/adapter.new" && mv "$state/adapter.new" "$state/adapter" || exit 1
pid=$(cat "$state/pid") || exit 1
kill "$pid" 2>/dev/null
for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || exit 0 # it is gone, and serve.sh starts the next one, with the adapter
    sleep 0.1
done
kill -9 "$pid"
