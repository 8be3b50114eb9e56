#!/usr/bin/env bash
# slurm.sh [STE]: the scripts of cluster/slurm on a Slurm cluster of two nodes that are both this machine: servers as an
# array, a driver that meets its time limit and a preemption, a second driver of the same run, a trainer as a job of its
# own. The run must be the one that nobody disturbed. Needs the packages slurmctld, slurmd, slurm-client and munge; about
# ten minutes, in which little is computed. Servers and torchrun are stand-ins.
here=$(cd "$(dirname "$0")" && pwd)
for program in munged slurmctld slurmd sbatch; do
    command -v $program >/dev/null || { echo "no $program: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"; exit 77; }
done
set -- "$(realpath "${1:-$here/../../build/ste}")" "$(realpath "$here/../..")"
. "$here/../e2e/lib_tiny.sh"
cd "$dir" || exit 1
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY STE_API_KEY
export STE_LOG=quiet no_proxy='*' NO_PROXY='*' SLURM_CONF=$dir/slurm.conf PATH=$dir/bin:$PATH
slurm=$src/cluster/slurm
down() {
    scancel --user="$(id -un)" 2>/dev/null && sleep 3
    for pid in slurmctld.pid n1.pid n2.pid munge/pid plain.pid; do
        [ -s $pid ] && kill "$(cat $pid)" 2>/dev/null
    done
    sleep 1
    rm -rf "$dir"
}
trap down EXIT

# ---- the cluster
mkdir -m 700 munge
mkdir bin state n1 n2 s
head -c 1024 /dev/urandom >munge/key
chmod 600 munge/key
munged --force --key-file="$dir/munge/key" --socket="$dir/munge.sock" --pid-file="$dir/munge/pid" \
    --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" || fail "munged"
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'; }
cat >slurm.conf <<CONF
ClusterName=ste
SlurmctldHost=$(uname -n)(127.0.0.1)
SlurmctldPort=$(port)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$dir/munge.sock
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
GresTypes=gpu
NodeName=n1 NodeHostname=$(uname -n) NodeAddr=127.0.0.1 Port=$(port) CPUs=64 Gres=gpu:8
NodeName=n2 NodeHostname=$(uname -n) NodeAddr=127.0.0.1 Port=$(port) CPUs=64 Gres=gpu:8
PartitionName=low Nodes=n[1-2] Default=YES State=UP PriorityTier=1
PartitionName=high Nodes=n[1-2] State=UP PriorityTier=2 PreemptMode=OFF
CONF
touch gpu{0..7}
echo "Name=gpu File=$dir/gpu[0-7]" >gres.conf
two() { [ "$(sinfo -h -p low -o '%D %T' 2>/dev/null)" = "2 idle" ]; }
slurmctld -c || fail "slurmctld does not start"
for _ in $(seq 60); do
    scontrol ping >/dev/null 2>&1 && break
    sleep 1
done
slurmd -N n1 && slurmd -N n2 || fail "slurmd does not start"
for _ in $(seq 60); do
    two && break
    sleep 1
done
two || fail "no two nodes: $(sinfo; tail -n 5 slurmctld.log n1.log)"

field() { # JOB NAME
    scontrol -o show job "$1" | tr ' ' '\n' | sed -n "s/^$2=//p" | head -n 1
}
# Waits until COMMAND is true; meanwhile what was requeued begins at once, not two minutes later.
until_true() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || fail "not in time: $*: $(squeue; tail -n 5 ./*.log)"
        for job in $(squeue -h -t PD -o '%i %r' | sed -n 's/ BeginTime$//p'); do
            scontrol update JobId="$job" StartTime=now
        done
        sleep 1
    done
}
restarts() { [ "$(field "$1" Restarts)" -ge "$2" ]; }
ended() { case $(field "$1" JobState) in COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) ;; *) false ;; esac; }
at_work() { [ "$(field "$1" JobState)" = RUNNING ] && "$ste" dump "$2" 2>/dev/null | grep -q "\"table\":\"$3\""; }

# ---- servers and a driver
[ -f "$src/tests/e2e/lib_endpoint.py" ] || fail "no lib_endpoint.py"
cat >bin/vllm <<'PY'
#!/usr/bin/env python3
"""vllm serve MODEL --served-model-name NAME --host ADDRESS --port N: the paper server under another model's name, with /health."""
import http.server, os, sys
flags = dict(zip(sys.argv[3::2], sys.argv[4::2]))
os.makedirs(folder := os.environ["PAPER"] + flags["--port"], exist_ok=True)
whole = http.server.ThreadingHTTPServer.__init__
def init(self, address, handler):
    ask = handler.do_GET
    def do_GET(self):
        if self.path != "/health":
            return ask(self)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    handler.do_GET = do_GET
    whole(self, (flags["--host"], int(flags["--port"])), handler)
http.server.ThreadingHTTPServer.__init__ = init
sys.argv = ["lib_endpoint.py", folder, "vllm"]
exec(open(os.environ["PAPER_SOURCE"]).read().replace('"paper"', '"%s"' % flags["--served-model-name"]))
PY
chmod +x bin/vllm
export PAPER=$dir/paper- PAPER_SOURCE=$src/tests/e2e/lib_endpoint.py
for i in $(seq 40); do echo "{\"instruction\": \"Question $((i * 37 + 1000))? It is number $i of $((i * i)).\"}"; done >in.jsonl
cat >servers.yaml <<YAML
models: {seed: $dir/judge.gguf, answer: $dir/s/servers.yaml, modify: $dir/s/servers.yaml, judge: $dir/s/servers.yaml}
prompts: {pack: direct}
instructions: {files: [$dir/in.jsonl]}
pair: {kinds: {other: 1, modify: 1}, max_tokens: 200}
check: {by: none}
select: {min_chars: 1, duplicate: 0}
split: {dev: 0.1, test: 0.2, dev_pairs: 0, cluster: 1}
judge: {samples: 4, orders: both}
filter: {rule: margin, trust_from: 100}
train: {r: 2, lr: 0.001, batch: 4, warmup: 1, max_steps: 4}
iterations: 2
YAML
plain=$(port)
vllm serve base --served-model-name base --host 0.0.0.0 --port "$plain" &
echo $! >plain.pid
until curl -fs "http://127.0.0.1:$plain/health"; do sleep 0.2; done
printf 'model: base\nurl: [http://127.0.0.1:%s/v1]\n' "$plain" >s/servers.yaml
"$ste" run servers.yaml --run whole >/dev/null 2>err || fail "the undisturbed run ended with $?"
kill "$(cat plain.pid)"
"$ste" dump whole >whole.dump

servers=$(SLOW=3 sbatch --parsable --array=0-1 "$slurm/servers.sh" "$dir/s" base)
driver() { sbatch --parsable "$@" "$slurm/driver.sh" "$dir/s" 2 "$ste" run "$dir/servers.yaml" --run "$dir/run"; }
stops() { grep -c 'driver: exit code 75' "ste-$1.log"; }

first=$(driver --time=1 --signal=B:USR1@20)
until_true 120 at_work "$first" run generation
until_true 120 restarts "$first" 1
scontrol update JobId="$first" TimeLimit=30
[ "$(stops "$first")" = 1 ] || fail "the time limit: $(cat "ste-$first.log")"
echo "the time limit: exit code 75, requeued"

until_true 120 at_work "$first" run generation
second=$(driver)
held="is held by another ste (process [0-9]* on $(uname -n), Slurm job $first)"
until_true 60 grep -qs "$held" "ste-$second.log"
echo "a second driver: $(grep -o "$held" "ste-$second.log")"

urgent=$(sbatch --parsable --partition=high --nodes=2 --exclusive --output=urgent.log --wrap 'sleep 2')
until_true 120 ended "$urgent"
[ "$(stops "$first")" = 2 ] || fail "a preemption: $(cat "ste-$first.log")"
echo "a preemption: exit code 75, requeued, and the servers with it"

until_true 600 ended "$first"
until_true 600 ended "$second"
[ "$(field "$first" ExitCode)$(field "$second" ExitCode)" = 0:00:0 ] || fail "the drivers ended otherwise: $(tail -n 20 ste-[0-9]*.log)"
"$ste" dump run | cmp - whole.dump || fail "another store"
diff -r whole/adapters run/adapters || fail "other adapters"
scancel "$servers"
until_true 60 eval '[ -z "$(ls s/*.url 2>/dev/null)" ]'
echo "$(field "$first" Restarts) times requeued: the run that nobody disturbed"

# ---- a trainer that is a job of its own
cat >bin/torchrun <<SH2
#!/bin/sh
for folder; do :; done
exec python3 $src/tests/e2e/lib_trainer.py "\$folder"
SH2
chmod +x bin/torchrun
rows Question 40 >labelled.jsonl
recipe 1 "max_steps: 6, checkpoint_every: 2, epochs: 2, command: [$slurm/trainer.sh]" >trained.yaml
"$ste" run trained.yaml --run trained-whole >/dev/null 2>err || fail "the undisturbed run of a trainer ended with $?"
"$ste" dump trained-whole >trained.dump
job=$(FAKE_STEP=2 sbatch --parsable "$slurm/driver.sh" none 0 "$ste" run "$dir/trained.yaml" --run "$dir/trained")
log=trained/training/iter-1
until_true 120 grep -qs checkpoint $log/progress.jsonl
scontrol requeue "$job"
until_true 120 ended "$job"
[ "$(field "$job" ExitCode)" = 0:0 ] && [ "$(stops "$job")" = 1 ] || fail "the driver of a trainer: $(cat "ste-$job.log")"
grep -q 'begins at [2-6]' $log/log || fail "the trainer began anew: $(cat $log/log)"
"$ste" dump trained | cmp - trained.dump || fail "a trainer: another store"
diff -r trained-whole/adapters trained/adapters || fail "a trainer: other adapters"
echo "a trainer as a job of its own: TERM reached it, and it went on at step $(sed -n 's/begins at \([1-6]\)/\1/p' $log/log)"
