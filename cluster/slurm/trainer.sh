#!/bin/sh
# The trainer: `train.command: [cluster/slurm/trainer.sh]` in a recipe. ste adds the folder of the training ($1), which all
# nodes must see. It is a job of its own, so that its GPUs are held only while it trains; give it the time of an iteration.
# (On GPUs of the driver's job it is a step: leave out the loop, and put --overlap in place of --dependency.)
here=$(cd "$(dirname "$0")/../.." && pwd)
for name in $(env | sed -n 's/^\(SLURM_[A-Z0-9_]*\)=.*/\1/p'); do
    [ "$name" = SLURM_CONF ] || unset "$name" # with these srun makes a step of the driver's job
done
# As long as train.grace. TERM goes from ste to srun, to torchrun, to its workers.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=120
# singleton: not beside an earlier job of this name, which may outlive a driver whose node failed.
exec srun --job-name="ste-train-$(printf %s "$1" | cksum | cut -d' ' -f1)" --dependency=singleton \
    --nodes=1 --ntasks-per-node=1 --gpus-per-node=8 --cpus-per-task=64 --time=12:00:00 \
    sh -c 'exec torchrun --nnodes="$SLURM_NNODES" --nproc-per-node=gpu --rdzv-id="$SLURM_JOB_ID" --rdzv-backend=c10d \
        --rdzv-endpoint="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):29500" "$0" "$1"' \
    "$here/trainers/trl/train.py" "$1"
