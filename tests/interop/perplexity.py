"""Perplexity of real dialogue by any GGUF file, against llama.cpp's on the same file: exact activations, and those in 8 bits, as
llama.cpp has them; the other ways of rounding against the exact ones.

perplexity.py --file MODEL.gguf [--length 1024] [--pieces 4]: pieces of the text, each behind BOS where the tokenizer has one."""

import json
import subprocess
import sys

import numpy as np

from common import Llama, arguments, data_files, figure, finish, rows, scratch, ste, strings


def text_of(a):
    text = ""
    for r in rows([f for f in data_files(a) if f.endswith("oasst_validation.jsonl")][0]):
        text += "".join(t + "\n\n" for t in strings(r) if len(t) > 80)
        if len(text) > 6 * a.length * a.pieces:
            return text
    sys.exit("the text is too short for that")


def logprob(logits, ids):
    logits = np.asarray(logits[:-1], np.float64)
    top = logits.max(1, keepdims=True)
    all_of = np.log(np.exp(logits - top).sum(1)) + top[:, 0]
    return float((logits[np.arange(len(ids) - 1), ids[1:]] - all_of).sum())


def main():
    a = arguments(__doc__, file="", length=1024, pieces=4)
    folder, peer = scratch("perplexity"), Llama(a.file, ctx=a.length)
    p = subprocess.run([a.ste, "tokenize", "--model", a.file, "--raw"], input=text_of(a), capture_output=True, text=True, check=True)
    ids = [int(x) for x in p.stdout.split()]
    bos = peer.L.llama_vocab_bos(peer.vocab) if peer.L.llama_vocab_get_add_bos(peer.vocab) else -1
    start = [bos] if bos >= 0 else []
    step = a.length - len(start)
    pieces = [start + ids[i * step:(i + 1) * step] for i in range(a.pieces)]
    n = sum(len(x) - 1 for x in pieces)
    theirs = sum(logprob(peer.logits(x), x) for x in pieces)
    (folder / "tokens.jsonl").write_text("".join(json.dumps({"tokens": x}) + "\n" for x in pieces))
    peers = {"llama.cpp": float(np.exp(-theirs / n))}
    for activations in "f32", "int8", "int8-g128", "bf16":
        ste(a, "logits", "--model", a.file, "--in", folder / "tokens.jsonl", "--out", folder / "logits.bin", "--activations", activations)
        flat = np.memmap(folder / "logits.bin", np.float32, "r", shape=(sum(map(len, pieces)), peer.n_vocab))
        ours, at = 0.0, 0
        for x in pieces:
            ours += logprob(flat[at:at + len(x)], x)
            at += len(x)
        p = float(np.exp(-ours / n))
        figure(f"perplexity of {n} tokens, {activations}", p, note=f"llama.cpp {peers['llama.cpp']:.4f}")
        for name in ("llama.cpp",) if activations in ("f32", "int8") else ("f32",):
            figure(f"{activations} off {name}, %", abs(p / peers[name] - 1) * 100, "<=", 0.5)
        peers[activations] = p
    finish()


main()
