"""Speed beside llama.cpp on the same file, in one run with the rounds interleaved, and the peak memory of LoRA training.

Prefill: one prompt of 512 tokens. Decode: 16 samples that share it, one token each a step. Medians of the rounds.
llama.cpp is asked the cheapest way its interface offers: prompt once, its cache shared by seq_cp in a unified cache, one
llama_decode a step over the 16 sequences, flash attention or not, whichever is faster here."""

import json
import os
import sys

from common import (THREADS, Llama, arguments, clock, data_files, figure, finish, gguf_path, median, plain,
                    published_tokenizer, rows, scratch, ste, strings)

PROMPT, SAMPLES, NEW = 512, 16, 48


def prompt_ids(a, short):
    text = ""
    for r in rows([f for f in data_files(a) if f.endswith("oasst_validation.jsonl")][0]):
        text += "\n\n".join(s for s in strings(r) if len(s) > 80)
        if len(text) > 6000:
            break
    return plain(published_tokenizer(short), text)[:PROMPT]


def peer_round(peer, ids):
    peer.clear()
    t = clock()
    peer.decode(ids, range(len(ids)), [0] * len(ids), [i == len(ids) - 1 for i in range(len(ids))])
    peer.L.llama_get_logits_ith(peer.ctx, len(ids) - 1)
    prefill = len(ids) / (clock() - t)
    for s in range(1, SAMPLES):
        peer.share(0, s)
    t = clock()
    for k in range(NEW):
        # Which tokens does not matter for the time; different ones, so that the caches differ.
        peer.decode([ids[(7 * s + 3 * k) % len(ids)] for s in range(SAMPLES)], [len(ids) + k] * SAMPLES, list(range(SAMPLES)), [1] * SAMPLES)
        peer.L.llama_get_logits_ith(peer.ctx, SAMPLES - 1)
    return prefill, SAMPLES * NEW / (clock() - t)


def ste_round(a, short, folder):
    out = folder / "bench.json"
    ste(a, "bench", "--model", str(gguf_path(short)), "--prompt-tokens", PROMPT, "--samples", SAMPLES, "--new-tokens", NEW, "--threads",
        THREADS, "--json", out)
    j = json.loads(out.read_text())
    return j["prefill_tokens_per_second"], j["decode_tokens_per_second"]


def speed(a, short, folder):
    ids = prompt_ids(a, short)
    best = None
    for flash in (True, False):
        peer = Llama(gguf_path(short), ctx=PROMPT + SAMPLES * NEW + 64, seqs=SAMPLES, flash=flash)
        peer_round(peer, ids[:64])
        p, d = peer_round(peer, ids)
        if best is None or d > best[0]:
            best = (d, peer, flash)
        else:
            del peer
    peer = best[1]
    ours, theirs = [], []
    for _ in range(a.rounds):
        theirs.append(peer_round(peer, ids))
        ours.append(ste_round(a, short, folder))
    for k, what in enumerate((f"prefill of {PROMPT}", f"decode, {SAMPLES} samples")):
        o, t = median([x[k] for x in ours]), median([x[k] for x in theirs])
        figure(f"{short}: {what}, tokens/s", o, note=f"{min(x[k] for x in ours):.0f}-{max(x[k] for x in ours):.0f}; llama.cpp {t:.1f}, "
               f"{min(x[k] for x in theirs):.0f}-{max(x[k] for x in theirs):.0f}" + (", flash attention" if best[2] else ", no flash attention"))
        figure(f"{short}: {what}, times llama.cpp", o / t, ">=", 1.0)


def memory(a, folder):
    short = "qwen2.5"
    ids = prompt_ids(a, short)
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
    a = arguments(__doc__, rounds=5, memory=1)
    folder = scratch("speed")
    if a.memory:
        memory(a, folder)
    for short in a.model:
        speed(a, short, folder)
    finish()


main()
