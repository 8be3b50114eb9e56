"""Every weight type on one model: files that llama.cpp's quantize makes of it, read by both, and files that `ste convert` writes.

Read: logits of a text with exact activations against llama.cpp's on the same file; prefill and 16-sample decode beside its, rounds
interleaved. Written: each tensor has llama.cpp's type, and no more error against the weights it was made of.
"""

import ctypes
import json

import numpy as np

from common import Llama, SharedPrompt, arguments, dialogue_ids, figure, finish, gguf_path, median, rounds, scratch, ste

PROMPT, SAMPLES, NEW = 512, 16, 24
# Names of mixes and their numbers in llama.cpp; ALL: every matrix gets the type.
MIXES = {"Q8_0": 7, "Q4_0": 2, "Q5_0": 8, "Q2_K": 10, "Q3_K_M": 12, "Q4_K_M": 15, "Q5_K_M": 17, "Q6_K": 18, "IQ4_NL": 25, "IQ4_XS": 30,
         "MXFP4": 38, "F16": 1, "BF16": 32}
ALL = {"MXFP4"}
WRITTEN = ["F16", "BF16", "Q8_0", "Q4_0", "Q5_0", "Q4_K_M", "Q5_K_M", "Q6_K"]


def quantize(source, target, mix):
    import llama_cpp as L

    Llama(source, vocab_only=True)  # it is quiet from here on
    p = L.llama_model_quantize_default_params()
    p.ftype, p.allow_requantize, p.pure = MIXES[mix], True, mix in ALL
    if L.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(p)) != 0:
        raise SystemExit(f"llama.cpp cannot quantize {source} to {mix}")


def tensors(path):
    import gguf

    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def error(t, of):
    import gguf

    x, y = (gguf.dequantize(u.data, u.tensor_type).astype(np.float64) for u in (of, t))
    return float(((x - y) ** 2).sum())


def written(a, short, mix, theirs, folder):
    """Tensors as large as a block at least, by what is left of the squares."""
    source, ours = gguf_path(short), folder / "ours.gguf"
    ste(a, "convert", source, ours, "--type", mix)
    of, o, t = tensors(source), tensors(ours), tensors(theirs)
    other = [n for n in of if o[n].tensor_type != t[n].tensor_type]
    figure(f"{short}, {mix}: tensors of another type than llama.cpp's", len(other), "==", 0, note=" ".join(other[:3]))
    changed = [n for n in of if o[n].tensor_type not in (0, 1, 30, of[n].tensor_type)]
    mine, his = (sum(error(f[n], of[n]) for n in changed) for f in (o, t))
    figure(f"{short}, {mix}: root mean square error over llama.cpp's", (mine / his) ** 0.5 if his else 1.0, "<=", 1.02,
           note=f"{len(changed)} tensors")
    ours.unlink()


def read(a, short, mix, path, folder):
    ids = dialogue_ids(a, short, 300)
    peer = Llama(path, ctx=512)
    his = peer.logits(ids)
    del peer
    tokens, out = folder / "tokens.jsonl", folder / "logits.bin"
    tokens.write_text(json.dumps({"tokens": ids}) + "\n")
    ste(a, "logits", "--model", path, "--in", tokens, "--out", out, "--activations", "f32")
    mine = np.fromfile(out, np.float32).reshape(his.shape)
    p, q = (x.astype(np.float64) - x.max(1, keepdims=True) for x in (his, mine))
    p, q = (x - np.log(np.exp(x).sum(1, keepdims=True)) for x in (p, q))
    kl = float((np.exp(q) * (q - p)).sum(1).mean())
    figure(f"{short}, {mix}: mean KL to llama.cpp, which rounds activations", kl, "<=", 0.02,
           note=f"same top token {100 * (his.argmax(1) == mine.argmax(1)).mean():.1f} %")


def speed(a, short, mix, path, folder):
    ids = dialogue_ids(a, short, PROMPT)
    peer = SharedPrompt(path, PROMPT, SAMPLES, NEW)
    ours, theirs = rounds(a, peer, path, ids, SAMPLES, NEW, folder)
    for k, what in enumerate((f"prefill of {PROMPT}", f"decode, {SAMPLES} samples")):
        o, t = median([x[k] for x in ours]), median([x[k] for x in theirs])
        figure(f"{short}, {mix}: {what}, times llama.cpp", o / t, ">=", 1.0, note=f"{o:.0f} and {t:.0f} tokens/s")


def main():
    a = arguments(__doc__, rounds=3, types=",".join(MIXES))
    folder = scratch("types")
    for short in a.model:
        for mix in a.types.split(","):
            path = folder / f"{mix}.gguf"
            quantize(gguf_path(short), path, mix)
            read(a, short, mix, path, folder)
            if mix in WRITTEN:
                written(a, short, mix, path, folder)
            if a.rounds:
                speed(a, short, mix, path, folder)
            path.unlink()
    finish()


main()
