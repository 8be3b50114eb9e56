"""Logits of all positions of 200 judge prompts against transformers in float32 on the same dequantized weights, and
perplexity of one text against llama.cpp's. Exact activations first; then those in 8 bits beside llama.cpp's own.

The reference is kept as hidden states before the vocabulary layer (its logits would take tens of gigabytes) and
multiplied out again, position by position, when they are compared. Only the states are cached."""

import json
import sys

import numpy as np

from common import (CACHE, Llama, arguments, clock, data_files, figure, finish, gguf_path, hf_model,
                    judge_prompts, plain, published_tokenizer, rows, scratch, stamp, ste, strings)

GAP = 0.1
CHUNK = 512


def reference_states(short, prompts):
    import hashlib

    import torch

    key = hashlib.sha256(json.dumps(prompts).encode()).hexdigest()[:12]
    f = CACHE / f"states-{short}-{stamp(short)}-{key}.npy"
    model = hf_model(short)
    if not f.exists():
        started = clock()
        parts = []
        with torch.no_grad():
            for ids in prompts:
                parts.append(model.model(torch.tensor([ids])).last_hidden_state[0].numpy())
        tmp = f.with_suffix(".tmp.npy")
        np.save(tmp, np.concatenate(parts))
        tmp.rename(f)
        print(f"     reference of {short}: {sum(map(len, prompts))} positions in {clock() - started:.0f} s")
    head = model.lm_head.weight.detach().clone()
    del model
    return np.load(f, mmap_mode="r"), head


def ste_logits(a, short, prompts, folder, n_vocab, activations):
    """Yields the (n, n_vocab) logits of each prompt, a few prompts a call so that the file stays small."""
    for s in range(0, len(prompts), 8):
        group = prompts[s:s + 8]
        tokens, out = folder / "tokens.jsonl", folder / "logits.bin"
        tokens.write_text("".join(json.dumps({"tokens": ids}) + "\n" for ids in group))
        ste(a, "logits", "--model", str(gguf_path(short)), "--in", tokens, "--out", out, "--activations", activations)
        total = sum(map(len, group))
        if out.stat().st_size != total * n_vocab * 4:
            sys.exit(f"ste logits wrote {out.stat().st_size} bytes for {total} positions of {n_vocab} tokens")
        flat = np.memmap(out, np.float32, "r", shape=(total, n_vocab))
        at = 0
        for ids in group:
            yield flat[at:at + len(ids)]
            at += len(ids)
        del flat
        out.unlink()


class Compared:
    """Logits of PROMPTS against the reference, position by position."""

    def __init__(self, name, prompts, states, head, source):
        import torch

        at = self.sure = self.same = self.same_all = self.positions = 0
        kl_sum = self.kl_max = 0.0
        self.worst = []
        with torch.no_grad():
            for k, logits in enumerate(source):
                for s in range(0, len(logits), 64):
                    o = torch.from_numpy(np.array(logits[s:s + 64]))
                    h = torch.from_numpy(np.array(states[at + s:at + s + len(o)]))
                    r = h @ head.T
                    if not torch.isfinite(o).all():
                        sys.exit(f"prompt {k}: the logits of {name} are not finite")
                    two = r.topk(2).values
                    gap = two[:, 0] - two[:, 1]
                    agree = r.argmax(1) == o.argmax(1)
                    clear = gap > GAP
                    self.sure += int(clear.sum())
                    self.same += int((agree & clear).sum())
                    self.same_all += int(agree.sum())
                    self.positions += len(o)
                    lr, lo = r.double().log_softmax(1), o.double().log_softmax(1)
                    kl = (lr.exp() * (lr - lo)).sum(1)
                    kl_sum += float(kl.sum())
                    self.kl_max = max(self.kl_max, float(kl.max()))
                    for i in torch.nonzero(clear & ~agree).flatten().tolist():
                        self.worst.append((float(gap[i]), k, s + i))
                at += len(logits)
        self.kl = kl_sum / self.positions


def compare(a, short, folder):
    prompts = judge_prompts(a, short, a.prompts)
    states, head = reference_states(short, prompts)
    if a.prepare:
        return
    n_vocab = head.shape[0]
    c = Compared("ste", prompts, states, head, ste_logits(a, short, prompts, folder, n_vocab, "f32"))
    figure(f"{short}: judge prompts", len(prompts), "==", a.prompts)
    figure(f"{short}: positions", c.positions, note=f"of which {c.sure} with a top-two gap above {GAP}")
    figure(f"{short}: same top token there, %", 100.0 * c.same / c.sure, ">=", 99.5)
    figure(f"{short}: same top token anywhere, %", 100.0 * c.same_all / c.positions)
    figure(f"{short}: mean KL", c.kl, "<", 1e-3, f"largest {c.kl_max:.2g}")
    for gap, k, i in sorted(c.worst, reverse=True)[:3]:
        print(f"     other top token: prompt {k}, position {i}, the reference's gap {gap:.3f}")

    # Rounded activations, as by default: no further from the reference than llama.cpp, which rounds them too.
    few = prompts[:a.int8_prompts]
    peer = Llama(gguf_path(short), ctx=512)
    theirs = Compared("llama.cpp", few, states, head, (peer.logits(p) for p in few))
    for activations in "int8", "int8-g128", "bf16":
        ours = Compared("ste", few, states, head, ste_logits(a, short, few, folder, n_vocab, activations))
        figure(f"{short}: {activations}, same top token where the gap exceeds {GAP}, %", 100.0 * ours.same / ours.sure,
               note=f"llama.cpp {100.0 * theirs.same / theirs.sure:.2f}; {len(few)} prompts, {ours.positions} positions")
        figure(f"{short}: {activations}, mean KL", ours.kl, note=f"largest {ours.kl_max:.2g}; llama.cpp {theirs.kl:.3g}, largest {theirs.kl_max:.2g}")
        figure(f"{short}: {activations}, mean KL over llama.cpp's", ours.kl / theirs.kl, "<=", 1.0)


def perplexity(a, short, folder):
    import torch

    # Dialogue of real people: text that the models know by heart, such as a license, says nothing.
    text = ""
    source = [f for f in data_files(a) if f.endswith("oasst_validation.jsonl")] or data_files(a)
    for r in rows(source[0]):
        for t in strings(r):
            if len(t) > 80:
                text += t + "\n\n"
        if len(text) > 24000:
            break
    ids = plain(published_tokenizer(short), text)[:a.tokens]
    chunks = [ids[i:i + CHUNK] for i in range(0, len(ids) - CHUNK + 1, CHUNK)]

    def nll(logits, chunk):
        lp = torch.from_numpy(np.array(logits[:-1])).double().log_softmax(1)
        return -float(lp.gather(1, torch.tensor(chunk[1:])[:, None]).sum())

    peer = Llama(gguf_path(short), ctx=CHUNK)
    theirs = sum(nll(peer.logits(c), c) for c in chunks)
    n = sum(len(c) - 1 for c in chunks)
    q = float(np.exp(theirs / n))
    for activations in "f32", "int8", "int8-g128", "bf16":
        ours = sum(nll(o, c) for o, c in zip(ste_logits(a, short, chunks, folder, peer.n_vocab, activations), chunks))
        p = float(np.exp(ours / n))
        figure(f"{short}: perplexity of {n} tokens, ste, {activations}", p, note=f"llama.cpp {q:.4f}")
        figure(f"{short}: perplexity off llama.cpp's, %, {activations}", abs(p / q - 1) * 100, "<=", 0.5)


def main():
    a = arguments(__doc__, prompts=200, int8_prompts=24, tokens=4096, prepare=0)
    folder = scratch("logits")
    for short in a.model:
        compare(a, short, folder)
        if not a.prepare:
            perplexity(a, short, folder)
    finish() if not a.prepare else sys.exit(0)


main()
