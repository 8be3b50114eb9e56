#!/bin/sh
# Servers: one vLLM a task of an array; each leaves its address in the folder SERVERS when it can answer.
#   sbatch --array=0-3 servers.sh SERVERS MODEL [flags of vllm serve]
#SBATCH --job-name=ste-server
#SBATCH --nodes=1 --ntasks=1 --cpus-per-task=8 --gpus-per-task=1
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@60
#SBATCH --requeue --open-mode=append --output=ste-server-%A_%a.log
set -u
servers=$1 model=$2
shift 2
mkdir -p "$servers"
address=$servers/$SLURM_ARRAY_JOB_ID-$SLURM_ARRAY_TASK_ID.url
# Several tasks may share a node: a port that nobody has.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
# Who knows the key may ask; without one anybody in the cluster's network may.
export VLLM_API_KEY="${STE_API_KEY:-}"
vllm serve "$model" --served-model-name base --host 0.0.0.0 --port "$port" "$@" &
pid=$! again=''
trap 'again=yes; kill -TERM "$pid"' USR1
trap 'kill -TERM "$pid" 2>/dev/null' TERM # Slurm sends it to vllm as well
until curl -fs -m 5 -o /dev/null "http://127.0.0.1:$port/health"; do
    kill -0 "$pid" 2>/dev/null || break
    sleep 2
done
if kill -0 "$pid" 2>/dev/null; then
    echo "http://$(hostname):$port/v1" >"$address.new"
    mv "$address.new" "$address" # never half an address
fi
wait "$pid"
code=$?
while kill -0 "$pid" 2>/dev/null; do
    wait "$pid"
    code=$?
done
rm -f "$address"
[ -z "$again" ] || scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
exit "$code"
