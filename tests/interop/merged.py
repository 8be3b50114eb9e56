"""Merged models: base and adapter written as one, as a GGUF file and as a folder, on random models of each family and on
smollm2 and qwen2.5, whose folders are made out of their GGUF files. Their weights against W + (alpha / r) B A in float64,
their logits in ste against base and adapter, in llama.cpp (the file) and in transformers (the folder) against ste, and the
ids of a folder's tokenizer against ste's. Activations are exact."""

import json
import pathlib

import numpy as np

from architectures import FAMILIES, POSITIONS, convert, find_llama_cpp, hold, make_folder, ste_logits
from common import HOME, MODELS, SOURCE, Llama, arguments, figure, finish, gguf_path, hf_folder, rows, scratch, ste

MOST = 1e-3


def near(name, want, got):
    """The engine rounds keys and values to f16, which may fall to either side of what the other rounds: single logits differ
    by more than the rest, with merged weights that are right to 1e-7."""
    off = (want - got).astype(np.float64)
    figure(f"{name}: largest difference of a logit", float(np.abs(off).max()), note=f"their standard deviation is {want.std():.2f}")
    rms = float(np.sqrt((off**2).mean()) / want.std())
    figure(f"{name}: root mean square of the logits' differences, of their standard deviation", rms, "<", MOST)
    return f"{rms:.1e}" + ("" if rms < MOST else " FAIL")


def weights(name, base, adapter, merged):
    """The tensors of the folder MERGED."""
    from safetensors.torch import load_file

    lora = load_file(adapter / "adapter_model.safetensors")
    w, config, worst = load_file(merged / "model.safetensors"), json.loads((adapter / "adapter_config.json").read_text()), 0.0
    changed = {k.removeprefix("base_model.model.").replace(".lora_A", ""): k for k in lora if "lora_A" in k}
    if any(k.startswith("language_model.") for k in base):  # a folder as transformers 4 named its tensors
        changed = {k.replace("model.language_model.", "language_model.model."): v for k, v in changed.items()}
    for k, was in base.items():
        want = was.double()
        if k in changed:
            want = want + config["lora_alpha"] / config["r"] * lora[changed[k].replace("lora_A", "lora_B")].double() @ lora[changed[k]].double()
        worst = max(worst, ((w[k].double() - want).abs().max() / want.abs().max()).item())
    figure(f"{name}: adapted tensors", sum(k in base for k in changed), "==", len(changed))
    figure(f"{name}: largest error of a weight, of the tensor's largest", worst, "<", 1e-6)


def check_real(a, short, folder):
    """A real model, quantized: the folder is made out of the file."""
    import torch
    import transformers

    texts = [r["instruction"] for r in rows(SOURCE / "data" / "instructions.jsonl") if r.get("instruction")][:20]
    with open(folder / "train.jsonl", "w", encoding="utf-8") as f:
        f.writelines(json.dumps({"messages": [{"role": "user", "content": t}, {"role": "assistant", "content": "No."}]}) + "\n" for t in texts)
    gguf, adapter = gguf_path(short), folder / "adapter"
    ste(a, "sft", "--model", gguf, "--in", folder / "train.jsonl", "--out", adapter, "--steps", 4, "--lr", 1e-3, "--batch", 4, "--warmup", 1)
    ste(a, "export", adapter, "--what", "model", "--type", "F32", "--out", folder / "merged.gguf")
    ste(a, "export", adapter, "--what", "model", "--type", "F32", "--out", folder / "merged")
    t = transformers.AutoTokenizer.from_pretrained(folder / "merged")
    ids = t(" ".join(texts), add_special_tokens=False)["input_ids"][:200]
    both = ste_logits(a, gguf, ids, folder, adapter)
    row = [short, near(f"{short}, file", both, ste_logits(a, folder / "merged.gguf", ids, folder))]
    row.append(hold(short, "merged file in llama.cpp", Llama(folder / "merged.gguf", ctx=512, f32=True).logits(ids), both))
    row.append(near(f"{short}, folder", both, ste_logits(a, folder / "merged", ids, folder)))
    m = transformers.AutoModelForCausalLM.from_pretrained(folder / "merged", dtype=torch.float32).eval()
    with torch.no_grad():
        row.append(hold(short, "merged folder in transformers", m(torch.tensor([ids])).logits[0].numpy(), both))
    own = transformers.AutoTokenizer.from_pretrained(hf_folder(short))
    other = sum(t(x, add_special_tokens=False)["input_ids"] != own(x, add_special_tokens=False)["input_ids"] for x in texts)
    figure(f"{short}: texts with other ids than by the file's own tokenizer in transformers", other, "==", 0)
    talk = [{"role": "user", "content": texts[0]}]
    figure(f"{short}: another rendered chat", int(t.apply_chat_template(talk, tokenize=False) != own.apply_chat_template(talk, tokenize=False)), "==", 0)
    return row


def train(a, model, folder, rng, n_vocab):
    draw = lambda n: [int(x) for x in rng.integers(0, n_vocab - 3, n)]
    with open(folder / "batch.jsonl", "w", encoding="utf-8") as f:
        f.writelines(json.dumps({"tokens": draw(n), "n_prompt": p}) + "\n" for n, p in ((200, 90), (80, 30)))
    out = folder / f"adapter-{'folder' if pathlib.Path(model).is_dir() else 'gguf'}"
    ste(a, "sft", "--model", model, "--in", folder / "batch.jsonl", "--out", out, "--steps", 6, "--lr", 1e-3, "--batch", 2, "--warmup", 1,
        "--activations", "f32", "--r", 4, "--alpha", 8)
    return out


def check(a, name, folder):
    import torch
    import transformers
    from safetensors.torch import load_file

    base, gguf = make_folder(name, folder / "hf"), folder / f"{name}.gguf"
    rng, n_vocab = np.random.default_rng(3), base.config.get_text_config().vocab_size
    ids = [int(x) for x in rng.integers(0, n_vocab - 3, POSITIONS)]
    row, forms = [name], FAMILIES[name][2].get("forms", ["gguf", "folder"])
    if "gguf" in forms:
        convert(name, folder / "hf", gguf, pathlib.Path(a.llama_cpp))
    else:
        ste(a, "convert", folder / "hf", gguf, "--type", "f32")
    adapter, merged = train(a, gguf, folder, rng, n_vocab), folder / "merged.gguf"
    both = ste_logits(a, gguf, ids, folder, adapter)
    figure(f"{name}: what the adapter changes", float(np.abs(both - ste_logits(a, gguf, ids, folder)).max()), ">", 0.1)
    ste(a, "export", adapter, "--what", "model", "--type", "F32", "--out", merged)
    alone = ste_logits(a, merged, ids, folder)
    row.append(near(f"{name}, file", both, alone))
    row.append(hold(name, "merged file in llama.cpp", Llama(merged, ctx=512, f32=True).logits(ids), alone) if FAMILIES[name][2].get("llama", True) else "-")
    if "folder" not in forms:
        return [*row, "-", "-"]
    adapter, merged = train(a, folder / "hf", folder, rng, n_vocab), folder / "merged"
    both = ste_logits(a, folder / "hf", ids, folder, adapter)
    ste(a, "export", adapter, "--what", "model", "--out", merged)
    alone = ste_logits(a, merged, ids, folder)
    row.append(near(f"{name}, folder", both, alone))
    weights(name, load_file(folder / "hf" / "model.safetensors"), adapter, merged)
    m = transformers.AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32, attn_implementation="eager").eval()
    transformers.AutoTokenizer.from_pretrained(merged)
    with torch.no_grad():
        row.append(hold(name, "merged folder in transformers", m(torch.tensor([ids])).logits[0].numpy(), alone))
    return row


def main():
    a = arguments(__doc__, family="", llama_cpp=str(HOME / "bench"))
    find_llama_cpp(a, MODELS)
    table = [("", "file", "in llama.cpp", "folder", "in transformers")]
    for name in a.family.split(",") if a.family else [*FAMILIES, *MODELS]:  # transformers takes another gguf package than the converter
        try:
            table.append((check_real if name in MODELS else check)(a, name, scratch("merged-" + name)))
        except SystemExit as e:
            figure(f"{name}: it runs", 0, "==", 1, str(e).strip().splitlines()[-1])
            table.append((name, "FAIL"))
    print()
    for row in table:
        print("  ".join(f"{c:24}" if i == 0 else f"{c:16}" for i, c in enumerate(row)).rstrip())
    finish()


main()
