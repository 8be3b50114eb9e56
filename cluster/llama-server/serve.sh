#!/usr/bin/env bash
# Keeps a llama-server up, with the adapter that on_adapter.sh gave it last, if any; STATE is a folder for the two.
#   serve.sh STATE llama-server -m base.gguf --alias base --port 8080
set -u
state=$1 pid='' end=''
shift
mkdir -p "$state"
trap 'end=yes; [ -z "$pid" ] || kill "$pid" 2>/dev/null' TERM INT
while [ -z "$end" ]; do
    {
        flock 9 # so that on_adapter.sh never ends a server other than the one that has the former adapter
        adapter=$(cat "$state/adapter" 2>/dev/null)
        [ -f "$adapter" ] || adapter= # its run is gone
        "$@" ${adapter:+--lora "$adapter"} 9>&- &
        pid=$!
        echo $pid >"$state/pid"
    } 9>"$state/lock"
    while kill -0 $pid 2>/dev/null; do wait $pid; done
    [ -n "$end" ] || sleep 0.5
done
