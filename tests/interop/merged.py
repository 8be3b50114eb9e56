"""Merged models: base and adapter written as one, as a GGUF file and as a folder, on random models of each family. Their
logits in ste against base and adapter, in llama.cpp (the file) and in transformers (the folder) against ste. Activations
are exact."""

import json
import pathlib
import sys

import numpy as np

from architectures import FAMILIES, POSITIONS, convert, find_llama_cpp, hold, make_folder, ste_logits
from common import HOME, Llama, arguments, figure, finish, scratch, ste

MOST = 1e-3


def near(name, want, got):
    most = float(np.abs(want - got).max())
    figure(f"{name}: largest difference of a logit", most, "<", MOST)
    return f"{most:.1e}" + ("" if most < MOST else " FAIL")


def train(a, model, folder, rng, n_vocab):
    draw = lambda n: [int(x) for x in rng.integers(0, n_vocab - 3, n)]
    with open(folder / "batch.jsonl", "w", encoding="utf-8") as f:
        f.writelines(json.dumps({"tokens": draw(n), "n_prompt": p}) + "\n" for n, p in ((200, 90), (80, 30)))
    out = folder / f"adapter-{'folder' if pathlib.Path(model).is_dir() else 'gguf'}"
    ste(a, "sft", "--model", model, "--in", folder / "batch.jsonl", "--out", out, "--steps", 6, "--lr", 1e-2, "--batch", 2, "--warmup", 1,
        "--activations", "f32", "--r", 4, "--alpha", 8)
    return out


def check(a, name, folder):
    import torch
    import transformers

    base, gguf = make_folder(name, folder / "hf"), folder / f"{name}.gguf"
    rng, n_vocab = np.random.default_rng(3), base.config.vocab_size
    ids = [int(x) for x in rng.integers(0, n_vocab - 3, POSITIONS)]
    row = [name]
    convert(name, folder / "hf", gguf, pathlib.Path(a.llama_cpp))
    adapter, merged = train(a, gguf, folder, rng, n_vocab), folder / "merged.gguf"
    both = ste_logits(a, gguf, ids, folder, adapter)
    figure(f"{name}: what the adapter changes", float(np.abs(both - ste_logits(a, gguf, ids, folder)).max()), ">", 0.1)
    ste(a, "export", adapter, "--what", "model", "--type", "F32", "--out", merged)
    alone = ste_logits(a, merged, ids, folder)
    row.append(near(f"{name}, file", both, alone))
    row.append(hold(name, "merged file in llama.cpp", Llama(merged, ctx=512, f32=True).logits(ids), alone) if FAMILIES[name][2].get("llama", True) else "-")
    adapter, merged = train(a, folder / "hf", folder, rng, n_vocab), folder / "merged"
    both = ste_logits(a, folder / "hf", ids, folder, adapter)
    ste(a, "export", adapter, "--what", "model", "--out", merged)
    alone = ste_logits(a, merged, ids, folder)
    row.append(near(f"{name}, folder", both, alone))
    m = transformers.AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32, attn_implementation="eager").eval()
    transformers.AutoTokenizer.from_pretrained(merged)
    with torch.no_grad():
        row.append(hold(name, "merged folder in transformers", m(torch.tensor([ids])).logits[0].numpy(), alone))
    return row


def main():
    a = arguments(__doc__, family="", llama_cpp=str(HOME / "bench"))
    find_llama_cpp(a)
    table = [("", "file", "in llama.cpp", "folder", "in transformers")]
    for name in a.family.split(",") if a.family else FAMILIES:
        try:
            table.append(check(a, name, scratch("merged-" + name)))
        except SystemExit as e:
            figure(f"{name}: it runs", 0, "==", 1, str(e).strip().splitlines()[-1])
            table.append((name, "FAIL"))
    print()
    for row in table:
        print("  ".join(f"{c:24}" if i == 0 else f"{c:16}" for i, c in enumerate(row)).rstrip())
    finish()


main()
