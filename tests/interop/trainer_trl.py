#!/usr/bin/env python3
"""trainers/trl/train.py in the place of our own trainer in runs of the loop: one process and two (torchrun, CPU), language
modelling and DPO. The losses of its steps are those of our trainer on the same rows; its adapter judges; a run that is
stopped goes on. STE_TRAIN_PYTHON names another python with torch and TRL."""

import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import time

from common import MODELS, SOURCE, arguments, figure, finish, hf_folder, scratch, ste

PYTHON = os.environ.get("STE_TRAIN_PYTHON") or sys.executable
TRAIN = SOURCE / "trainers" / "trl" / "train.py"
STEPS = 6


def recipe(folder, short):
    """Short labelled pairs; the filter keeps them all, so that what is trained does not hang on what the judge says."""
    random.seed(5)
    facts = ["Paris", "Rome", "Oslo", "Lima", "Cairo", "Delhi", "Quito", "Seoul"]
    with open(folder / "labelled.jsonl", "w", encoding="utf-8") as f:
        for i in range(24):
            good, bad = random.sample(facts, 2)
            f.write(json.dumps({"id": f"p{i}", "prompt": f"Name number {i}, please: {good}.", "chosen": f"It is {good}" + "!" * (i % 4),
                                "rejected": f"It is {bad}."}) + "\n")
    path = folder / "trl.yaml"
    path.write_text(f"""
models: {{seed: {MODELS[short]}}}
prompts: {{pack: direct}}
pair: {{kinds: {{labelled: 1}}, labelled: [{folder}/labelled.jsonl]}}
check: {{by: none}}
select: {{min_chars: 1, duplicate: 0}}
split: {{dev: 0, test: 0.2, cluster: 1}}
judge: {{samples: 2, orders: both}}
filter: {{rule: margin, trust_from: 100, balance: false}}
train: {{r: 8, lr: 0.0003, batch: 4, warmup: 1, epochs: 9, max_steps: {STEPS}, checkpoint_every: 2, activations: f32, gradients: f32,
        base: {hf_folder(short)}}}
iterations: 1
""")
    return path


def rows(run, what):
    with sqlite3.connect(run / "run.db") as db:
        return db.execute(what).fetchall()


def losses(run):
    return [v for v, in rows(run, "select loss from train_step order by step")]


def command(processes):
    launcher = [PYTHON, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else [PYTHON]
    return "train.command=[" + ", ".join(f'"{w}"' for w in [*launcher, TRAIN]) + "]"


def compare(name, ours, theirs):
    a, b = losses(ours), losses(theirs)
    figure(f"{name}: steps", len(b), "==", len(a))
    figure(f"{name}: largest relative difference of a step's loss", max(abs(x - y) / x for x, y in zip(a, b)), "<", 0.02,
           f"{a[0]:.4f} to {a[-1]:.4f}, there {b[-1]:.4f}")
    norms = [[v for v, in rows(r, "select grad_norm from train_step order by step")] for r in (ours, theirs)]
    figure(f"{name}: largest relative difference of a gradient's norm", max(abs(x - y) / x for x, y in zip(*norms)), "<", 0.05)
    rates = [[v for v, in rows(r, "select lr from train_step order by step")] for r in (ours, theirs)]
    figure(f"{name}: largest difference of a learning rate", max(abs(x - y) for x, y in zip(*rates)), "<", 1e-9)


def stopped(a, run, path, processes):
    """TERM to ste when the first checkpoint is there; then the same command."""
    cmd = [a.ste, "run", str(path), "--run", str(run), "--set", command(processes), "--set", f"train.max_steps={4 * STEPS}",
           "--set", "train.checkpoint_every=1"]
    p = subprocess.Popen(cmd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    progress = run / "training" / "iter-1" / "progress.jsonl"
    for _ in range(2400):
        if progress.exists() and "checkpoint" in progress.read_text() or p.poll() is not None:
            break
        time.sleep(0.1)
    p.send_signal(signal.SIGTERM)
    began = time.time()
    figure(f"{processes} processes, TERM: exit code", p.wait(), "==", 130, f"after {time.time() - began:.0f} s")
    left = sum(str(progress.parent) in pathlib.Path("/proc", d, "cmdline").read_text(errors="replace") for d in os.listdir("/proc")
               if d.isdigit() and os.path.exists(f"/proc/{d}/cmdline"))
    figure(f"{processes} processes, TERM: processes that are left", left, "==", 0)
    done = max(json.loads(line)["step"] for line in progress.read_text().splitlines())
    figure(f"{processes} processes, TERM: steps that were done", done, "<", 4 * STEPS)
    ste(a, *cmd[1:])
    resume = json.loads((progress.parent / "job.json").read_text())["resume"]
    figure(f"{processes} processes: goes on from", resume, "==", f"trl/checkpoint-{done}")
    figure(f"{processes} processes: steps in the store", len(losses(run)), "==", 4 * STEPS)


def check(a, short):
    os.environ["OMP_NUM_THREADS"] = "1"
    d = scratch("trainer-" + short)
    path = recipe(d, short)
    for objective in a.objective.split(","):
        run = {}
        for name, more in [("ours", "train.command="), ("one", command(1)), ("two", command(2))]:
            run[name] = d / f"{objective}-{name}"
            ste(a, "run", path, "--run", run[name], "--set", f"train.objective={objective}", "--set", more)
        compare(f"{short} {objective}, one process", run["ours"], run["one"])
        compare(f"{short} {objective}, two processes", run["ours"], run["two"])
        verdicts = rows(run["two"], "select count(*) from evaluation where iteration = 1 and logprob_a is not null")[0][0]
        figure(f"{short} {objective}: verdicts of the adapter on held-out pairs", verdicts, ">", 0)
        pairs = [dict(((i, p), x - y) for i, p, x, y in rows(r, "select item, position, logprob_a, logprob_b from evaluation "
                                                               "where iteration = 1 and logprob_a is not null"))
                 for r in (run["ours"], run["two"])]
        shared = pairs[0].keys() & pairs[1].keys()
        figure(f"{short} {objective}: largest difference of log-odds from our adapter's", max(abs(pairs[0][k] - pairs[1][k]) for k in shared))
    stopped(a, d / "stopped", path, 2)


if __name__ == "__main__":
    args = arguments(__doc__, objective="sft,dpo")
    for s in args.model[:1]:
        check(args, s)
    finish()
