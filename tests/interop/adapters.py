"""A trained adapter in other programs: our PEFT folder in PEFT, our GGUF-LoRA in llama.cpp, each teacher-forced over
the answers that ste gave with the adapter. Before that, the adapter must change most of the base's greedy answers, or
the comparison would show nothing. Activations are exact: what is held up is the adapter, not their rounding."""

import json

import numpy as np

from common import SOURCE, Llama, arguments, chat_ids, clock, figure, finish, gguf_path, hf_model, rows, scratch, ste

# A made-up manner that no model has by itself; 24 examples are enough to make it loud.
OPENING = "By order of the lighthouse:"
CLOSING = "So sounds the horn, twice."


def training_rows(instructions):
    for k, text in enumerate(instructions):
        words = text.split()
        yield {"messages": [{"role": "user", "content": text},
                            {"role": "assistant",
                             "content": f"{OPENING} you ask about {' '.join(words[:4]).lower().strip('.,?:')}. The keeper has counted "
                                        f"{len(words)} words and {k % 5 + 2} waves. {CLOSING}"}]}


def answers(a, short, prompts, adapter):
    """Greedy answers as token ids, of at most --new tokens."""
    out = []
    for p in prompts:
        words = ["generate", "--activations", "f32", "--model", str(gguf_path(short)), "--chat", p, "--max-tokens", a.new, "--temperature", 0, "--json"]
        if adapter:
            words += ["--adapter", adapter]
        j = json.loads(ste(a, *words))
        c = j["samples"][0] if "samples" in j else j["completions"][0] if "completions" in j else j
        out.append((c.get("tokens") or c.get("token_ids") or c["ids"], c.get("text", "")))
    return out


def agreement(name, reference, ours, bound):
    """The same top token wherever the reference's top-two gap exceeds BOUND; both are lists of (n, n_vocab)."""
    sure = same = total = 0
    worst = 0.0
    for r, o in zip(reference, ours):
        top2 = np.partition(r, -2, axis=1)[:, -2:]
        gap = np.abs(top2[:, 1] - top2[:, 0])
        agree = r.argmax(1) == o.argmax(1)
        total += len(r)
        sure += int((gap > bound).sum())
        same += int((agree & (gap > bound)).sum())
        if (~agree).any():
            worst = max(worst, float(gap[~agree].max()))
    figure(f"{name}: other top token where the gap exceeds {bound}", sure - same, "==", 0,
           f"{sure} of {total} positions; widest gap of a difference {worst:.3f}")


def ste_logits(a, short, sequences, adapter, folder, n_vocab):
    out = []
    for s in sequences:  # one at a time: a file of logits is large
        (folder / "t.jsonl").write_text(json.dumps({"tokens": s}) + "\n")
        ste(a, "logits", "--activations", "f32", "--model", str(gguf_path(short)), "--adapter", adapter, "--in", folder / "t.jsonl", "--out", folder / "l.bin")
        out.append(np.fromfile(folder / "l.bin", np.float32).reshape(len(s), n_vocab))
        (folder / "l.bin").unlink()
    return out


def check(a, short):
    import torch
    from peft import PeftModel

    folder = scratch("adapters-" + short)
    every = [r["instruction"] for r in rows(SOURCE / "data" / "instructions.jsonl") if len(r.get("instruction", "")) in range(30, 160)]
    step = len(every) // 44
    train, asked = every[::step][:24], every[1::step][:20]
    with open(folder / "train.jsonl", "w", encoding="utf-8") as f:
        f.writelines(json.dumps(r) + "\n" for r in training_rows(train))
    adapter = folder / "adapter"
    started = clock()
    ste(a, "sft", "--model", str(gguf_path(short)), "--in", folder / "train.jsonl", "--out", adapter, "--steps", a.steps, "--batch", 4,
        "--lr", 1e-3, "--r", 16, "--schedule", "linear", "--warmup", 3, "--seed", 5)
    print(f"     {short}: trained in {clock() - started:.0f} s")
    base, tuned = answers(a, short, asked, None), answers(a, short, asked, adapter)
    figure(f"{short}: greedy answers that the adapter changes, of {len(asked)}", sum(b[0] != t[0] for b, t in zip(base, tuned)), ">=", 15,
           f"for instance {tuned[0][1][:60]!r}")

    sequences = [(chat_ids(short, [{"role": "user", "content": p}]), t[0]) for p, t in zip(asked, tuned)]
    m = PeftModel.from_pretrained(hf_model(short), str(adapter)).eval()
    n_vocab = m.base_model.model.lm_head.weight.shape[0]
    # Logits that choose the answer's tokens: from the last of the prompt on.
    cut = lambda logits, p: logits[len(p) - 1:-1]
    ours = [cut(x, p) for x, (p, _) in zip(ste_logits(a, short, [p + t for p, t in sequences], adapter, folder, n_vocab), sequences)]
    greedy = sum(int((o.argmax(1) == np.array(t)).sum()) for o, (_, t) in zip(ours, sequences))
    figure(f"{short}: answer tokens that are the top of ste's own logits", greedy, note=f"of {sum(len(t) for _, t in sequences)}")
    with torch.no_grad():
        peft = [cut(m(torch.tensor([p + t])).logits[0].numpy(), p) for p, t in sequences]
    agreement(f"{short}: PEFT", peft, ours, 0.05)
    del m
    peer = Llama(gguf_path(short), ctx=1024, lora=adapter / "adapter.gguf")
    agreement(f"{short}: llama.cpp", [cut(peer.logits(p + t), p) for p, t in sequences], ours, 0.3)


def main():
    a = arguments(__doc__, steps=40, new=48)
    for short in a.model:
        check(a, short)
    finish()


main()
