#!/usr/bin/env python3
"""trainers/trl/train.py in the place of our own trainer in runs of the loop: one process and two (torchrun, CPU), language
modelling and DPO. The losses of its steps are those of our trainer on the same rows; its adapter judges; a run that is
stopped goes on. STE_TRAIN_PYTHON names another python with torch and TRL."""

import json
import os
import pathlib
import random
import shutil
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
        grace: 300, base: {hf_folder(short)}}}
engine: {{activations: f32}}
iterations: 1
""")
    return path


def rows(run, what):
    with sqlite3.connect(run / "run.db") as db:
        return db.execute(what).fetchall()


def words(processes):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--shutdown-timeout", "300", "--nproc-per-node", str(processes)] if processes > 1 else []
    return [PYTHON, *launcher, str(TRAIN)]


def command(processes):
    return "train.command=[" + ", ".join(f'"{w}"' for w in words(processes)) + "]"


def furthest(ours, theirs):
    return max(abs(x - y) / abs(x) for x, y in zip(ours, theirs))


def loop(a, short, d, path):
    """The loop with our trainer, and with two processes of TRL."""
    ours, theirs = d / "ours", d / "two"
    ste(a, "run", path, "--run", ours)
    ste(a, "run", path, "--run", theirs, "--set", command(2))
    logs = [rows(r, "select loss, grad_norm, lr from train_step order by step") for r in (ours, theirs)]
    figure(f"{short} loop: steps", len(logs[1]), "==", len(logs[0]))
    loss, norm, rate = [[[row[k] for row in log] for log in logs] for k in range(3)]
    figure(f"{short} loop: largest relative difference of a step's loss", furthest(*loss), "<", 0.02, f"{loss[0][0]:.4f} to {loss[0][-1]:.4f}")
    figure(f"{short} loop: largest relative difference of a gradient's norm", furthest(*norm), "<", 0.05)
    figure(f"{short} loop: largest difference of a learning rate", max(abs(x - y) for x, y in zip(*rate)), "<", 1e-9)
    ask = "select item, position, logprob_a - logprob_b from evaluation where iteration = 1 and logprob_a is not null"
    odds = [{(i, p): v for i, p, v in rows(r, ask)} for r in (ours, theirs)]
    shared = odds[0].keys() & odds[1].keys()
    figure(f"{short} loop: verdicts of both adapters", len(shared), ">", 0)
    figure(f"{short} loop: largest difference of their log-odds", max(abs(odds[0][k] - odds[1][k]) for k in shared), "<", 0.01)
    return theirs


def drawn(objective):
    """Seven rows of drawn ids: several lengths, several weights."""
    random.seed(3)
    ids = lambda n: [random.randrange(100, 20000) for _ in range(n)]
    out = []
    for i, weight in enumerate([1.0, 0.5, 2.0, 1.0, 0.0, 1.0, 0.25]):
        prompt = ids(10 + 5 * i)
        if objective == "dpo":
            out.append({"prompt_ids": prompt, "chosen_ids": ids(3 + 2 * i), "rejected_ids": ids(12 - i), "weight": weight})
        else:
            out.append({"prompt_ids": prompt, "completion_ids": ids(1 + 3 * i), "weight": weight})
    return out


def tensors(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "adapter_model.safetensors")


def by_hand(a, short, objective, run, d):
    """A folder as the loop writes it, with other rows: weights, lengths, batches that are not full, and an adapter to begin
    with that is not 0, which is not the reference of DPO."""
    start, batch, steps, given = run / "adapters" / "iter-1", 3, 6, drawn(objective)
    source, rowsfile = run / "training" / "iter-1", d / f"{objective}.jsonl"
    rowsfile.write_text("".join(json.dumps(r) + "\n" for r in given))
    ours = d / f"{objective}-ours"
    ste(a, objective, "--model", MODELS[short], "--in", rowsfile, "--adapter", start, "--batch", batch, "--order", "file", "--steps",
        steps, "--schedule", "linear", "--warmup", 2, "--lr", 1e-3, "--weight-decay", 0.1, "--max-grad-norm", 0.5, "--activations",
        "f32", "--gradients", "f32", "--out", ours, "--log", d / f"{objective}.log")
    loss = [json.loads(line)["loss"] for line in open(d / f"{objective}.log", encoding="utf-8")]
    for processes in 1, 2:
        f = d / f"{objective}-{processes}"
        f.mkdir()
        shutil.copytree(start, f / "start")
        if objective == "sft":
            given = [{"input_ids": r["prompt_ids"] + r["completion_ids"], "labels": [-100] * len(r["prompt_ids"]) + r["completion_ids"],
                      "weight": r["weight"]} for r in drawn(objective)]
        (f / "examples.jsonl").write_text("".join(json.dumps(r) + "\n" for r in given))
        order = [[0, 1, 2], [3, 4, 5], [6]] * 2
        (f / "batches.jsonl").write_text("".join(json.dumps({"step": i + 1, "rows": r}) + "\n" for i, r in enumerate(order)))
        job = json.loads((source / "job.json").read_text())
        job.update(objective=objective, beta=0.1, nll=1.5, steps=steps, batch=batch, schedule="linear", warmup=2, lr=1e-3,
                   weight_decay=0.1, max_grad_norm=0.5, checkpoint_every=100)
        (f / "job.json").write_text(json.dumps(job))
        with open(f / "log", "w", encoding="utf-8") as log:
            if subprocess.run([*words(processes), f], stdout=log, stderr=log).returncode != 0:
                sys.exit(f"train.py: {(f / 'log').read_text()[-2000:]}")
        name = f"{short} {objective}, {processes} process{'es' * (processes > 1)}"
        told = [json.loads(line) for line in (f / "progress.jsonl").read_text().splitlines()]
        theirs = [r["loss"] for r in told if "loss" in r]
        figure(f"{name}: steps", len(theirs), "==", steps)
        figure(f"{name}: largest relative difference of a step's loss", furthest(loss, theirs), "<", 0.02, f"{loss[0]:.4f} to {loss[-1]:.4f}")
        x, y, z = tensors(start), tensors(ours), tensors(f / "adapter")
        apart = sum(float(((y[k] - z[k]) ** 2).sum()) for k in x) ** 0.5
        moved = sum(float(((y[k] - x[k]) ** 2).sum()) for k in x) ** 0.5
        figure(f"{name}: distance of the adapters over the way that ours went", apart / moved, "<", 0.05)


def stopped(a, run, path, processes):
    """TERM to ste when the first checkpoint is there; then the same command."""
    steps = 2 * STEPS
    words = ["run", path, "--run", run, "--set", command(processes), "--set", f"train.max_steps={steps}", "--set", "train.checkpoint_every=1"]
    p = subprocess.Popen([a.ste, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    f = run / "training" / "iter-1"
    progress = f / "progress.jsonl"
    while p.poll() is None and not (progress.exists() and "checkpoint" in progress.read_text()):
        time.sleep(0.1)
    began = time.time()
    p.send_signal(signal.SIGTERM)
    figure("TERM: exit code", p.wait(), "==", 75, f"after {time.time() - began:.0f} s")
    left = 0
    for d in os.listdir("/proc"):
        try:
            left += d.isdigit() and str(f) in pathlib.Path("/proc", d, "cmdline").read_text(errors="replace")
        except OSError:
            pass
    figure("TERM: processes that are left", left, "==", 0)
    done = max(json.loads(line)["step"] for line in progress.read_text().splitlines())
    figure("TERM: steps that were done", done, "<", steps)
    figure("TERM: lines of the log that tell of a kill", (f / "log").read_text().count("forcefully"), "==", 0)
    ste(a, *words)
    figure("the same command goes on from", json.loads((f / "job.json").read_text())["resume"], "==", f"trl/checkpoint-{done}")
    figure("steps in the store", len(rows(run, "select step from train_step")), "==", steps)


def check(a, short):
    os.environ["OMP_NUM_THREADS"] = "1"
    d = scratch("trainer-" + short)
    path = recipe(d, short)
    run = loop(a, short, d, path)
    for objective in "sft", "dpo":
        by_hand(a, short, objective, run, d)
    stopped(a, d / "stopped", path, 2)


if __name__ == "__main__":
    args = arguments(__doc__)
    for s in args.model[:1]:
        check(args, s)
    finish()
