#!/bin/sh
# The driver: a job of a few cores that decides, asks, stores and resumes; servers answer, a job of trainer.sh trains.
#   sbatch driver.sh SERVERS COUNT ste run RECIPE --run DIR ...
# COUNT servers (servers.sh) must answer first; their addresses are then in SERVERS/servers.yaml, which the recipe or a
# flag names: --set models.answer=SERVERS/servers.yaml. COUNT 0: none is needed.
#SBATCH --job-name=ste
#SBATCH --nodes=1 --ntasks=1 --cpus-per-task=4
#SBATCH --time=24:00:00
# Five minutes before the limit (up to a minute earlier) USR1 comes to this shell alone, not to ste: it must be passed
# on, and a shell hears it only while it waits for a child in the background.
#SBATCH --signal=B:USR1@300
# A node that fails or a preemption starts this script anew under the same job id, behind the same log.
#SBATCH --requeue --open-mode=append --output=ste-%j.log
set -u
servers=$1 count=$2
shift 2
pid='' again=''
trap 'again=yes; [ -z "$pid" ] || kill -TERM "$pid"' USR1
# scancel or a preemption: Slurm knows what comes next, ste only has to stop within KillWait or GraceTime.
trap '[ -n "$pid" ] || exit 75; kill -TERM "$pid" 2>/dev/null' TERM

# A server that was requeued has another address. The file's name stays, and with it the recipe.
find_servers() {
    while [ -z "$again" ]; do
        urls='' found=0
        for file in "$servers"/*.url; do
            url=$(cat "$file" 2>/dev/null) && curl -fsS -m 5 -o /dev/null "${url%/v1}/health" || continue
            urls=${urls:+$urls, }$url found=$((found + 1))
        done
        [ "$found" -lt "$count" ] || break
        echo "driver: $found of $count servers answer"
        sleep 10
    done
    printf 'model: base\nurl: [%s]\n' "$urls" >"$servers/servers.yaml.new"
    mv "$servers/servers.yaml.new" "$servers/servers.yaml"
}

code=75
while :; do
    [ "$count" -eq 0 ] || find_servers
    [ -z "$again" ] || break
    "$@" &
    pid=$!
    wait "$pid"
    code=$?
    while kill -0 "$pid" 2>/dev/null; do # the wait was ended by a signal, ste not yet
        wait "$pid"
        code=$?
    done
    pid=''
    [ "$code" = 4 ] || break # another ste holds the run: this job before its requeue, on a node that is still dying
    sleep 60
done
echo "driver: exit code $code"
# At the limit Slurm does not requeue by itself.
case $again$code in yes75 | yes4) scontrol requeue "$SLURM_JOB_ID" ;; esac
exit "$code"
