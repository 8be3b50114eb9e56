#!/usr/bin/env python3
"""Thirty steps of training from the same adapter on the same batches: our losses against PEFT's and torch.optim.AdamW's."""

import json

from common import MODELS, arguments, figure, finish, scratch, ste
from training import backward, examples, peft_model, write_examples

BATCH, WARMUP, RATE, DECAY = 2, 3, 1e-3, 0.01


def check(a, short):
    import torch
    from transformers import get_cosine_schedule_with_warmup

    d = scratch("curve-" + short)
    every = examples(a, short, 3 * BATCH, 200)
    write_examples(d / "all.jsonl", every)
    m = peft_model(short, a.r, 2 * a.r, 0)
    m.save_pretrained(d / "adapter")
    params = [p for p in m.parameters() if p.requires_grad]
    opt = torch.optim.AdamW(params, lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=DECAY)
    schedule = get_cosine_schedule_with_warmup(opt, WARMUP, a.steps)
    theirs = []
    for step in range(a.steps):
        at = step % 3 * BATCH
        theirs.append(backward(m, every[at:at + BATCH]))
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        schedule.step()
        opt.zero_grad()
    ste(a, "sft", "--model", MODELS[short], "--in", d / "all.jsonl", "--adapter", d / "adapter", "--batch", BATCH, "--order",
        "file", "--steps", a.steps, "--schedule", "cosine", "--warmup", WARMUP, "--lr", RATE, "--weight-decay", DECAY, "--out",
        d / "out", "--log", d / "log.jsonl")
    ours = [json.loads(line)["loss"] for line in open(d / "log.jsonl", encoding="utf-8")]
    figure(f"{short} steps", len(ours), "==", a.steps)
    figure(f"{short} largest relative difference of a step's loss", max(abs(x - y) / y for x, y in zip(ours, theirs)), "<", 0.01)
    first, last = sum(ours[:3]) / 3, sum(ours[-3:]) / 3
    figure(f"{short} loss of the last three steps over the first three", last / first, "<=", 0.8, f"{first:.4f} to {last:.4f}")


if __name__ == "__main__":
    args = arguments(__doc__, r=16, steps=30)
    for s in args.model:
        check(args, s)
    finish()
