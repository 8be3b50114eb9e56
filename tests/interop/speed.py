"""Speed beside llama.cpp on the same file, in one run with the rounds interleaved, and the peak memory of LoRA training.

Prefill: one prompt of 512 tokens. Decode: 16 samples that share it, one token each a step. Medians of the rounds.
How llama.cpp is asked, common.SharedPrompt says. With --file PATH another file than that of --model, whose vocabulary it has
(tests/scale/random_llama.py makes an 8B shape of random weights): no memory then."""

import json
import os
import sys

from common import THREADS, SharedPrompt, arguments, dialogue_ids, figure, finish, gguf_path, median, rounds, scratch

PROMPT, SAMPLES, NEW = 512, 16, 48


def speed(a, short, folder):
    ids, path = dialogue_ids(a, short, PROMPT), a.file or gguf_path(short)
    peer = SharedPrompt(path, PROMPT, SAMPLES, NEW)
    ours, theirs = rounds(a, peer, path, ids, SAMPLES, NEW, folder)
    short = a.file.split("/")[-1] or short
    for k, what in enumerate((f"prefill of {PROMPT}", f"decode, {SAMPLES} samples")):
        o, t = median([x[k] for x in ours]), median([x[k] for x in theirs])
        figure(f"{short}: {what}, tokens/s", o, note=f"{min(x[k] for x in ours):.0f}-{max(x[k] for x in ours):.0f}; llama.cpp {t:.1f}, "
               f"{min(x[k] for x in theirs):.0f}-{max(x[k] for x in theirs):.0f}" + f", {peer.settings()}")
        figure(f"{short}: {what}, times llama.cpp", o / t, ">=", 1.0)


def memory(a, folder):
    short = "qwen2.5"
    ids = dialogue_ids(a, short, PROMPT)
    with open(folder / "train.jsonl", "w") as f:
        for k in range(4):
            row = ids[8 * k:] + ids[:8 * k]
            f.write(json.dumps({"tokens": row, "n_prompt": 384}) + "\n")
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.execv(a.ste, [a.ste, "sft", "--model", str(gguf_path(short)), "--in", str(folder / "train.jsonl"), "--out", str(folder / "out"),
                         "--r", "16", "--steps", "2", "--batch", "2", "--threads", str(THREADS)])
    _, status, usage = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit("ste sft failed")
    figure("qwen2.5: peak memory of LoRA training (r 16, 2 examples of 512 tokens a step), GB", usage.ru_maxrss * 1024 / 1e9, "<", 3.0)


def main():
    a = arguments(__doc__, rounds=5, memory=1, file="")
    folder = scratch("speed")
    if a.memory and not a.file:
        memory(a, folder)
    for short in a.model:
        speed(a, short, folder)
    finish()


main()
