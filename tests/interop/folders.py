"""Folders of Hugging Face's and what ste convert makes of them, on the random models of architectures.py: each tensor has the
bytes, and each key that both write the value, that llama.cpp's converter gives it; the folder in BF16 and in three parts, and with
a config.json as transformers 4 wrote it, computes what its file does; --load-as computes what the file of that type does."""

import copy
import json
import pathlib
import re
import sys

import numpy as np

from common import HOME, arguments, figure, finish, scratch, ste

source = (pathlib.Path(__file__).parent / "architectures.py").read_text(encoding="utf-8")
exec(source[:source.index("def softmax")], globals())  # its families, and what makes and converts them


def contents(path):
    import gguf

    r = gguf.GGUFReader(str(path))
    keys = {f.name: f.contents() for f in r.fields.values() if not f.name.startswith("GGUF.")}
    return keys, {t.name: (t.tensor_type.name, t.data.tobytes()) for t in r.tensors}


def logits(a, model, ids, folder, *flags):
    (folder / "t.jsonl").write_text(json.dumps({"tokens": ids}) + "\n")
    ste(a, "logits", "--activations", "f32", "--model", model, "--in", folder / "t.jsonl", "--out", folder / "l.bin", *flags)
    return np.fromfile(folder / "l.bin", np.float32)


def as_version_4(config):
    """rope_parameters as rope_theta and rope_scaling; of kinds of layers, as Gemma 3 and OLMo 3 had it."""
    c = copy.deepcopy(config)
    rope = c.pop("rope_parameters", None)
    if not rope:
        return c
    if "full_attention" in rope:
        c["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    c["rope_theta"] = rope.pop("rope_theta")
    if "partial_rotary_factor" in rope:
        c["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
    kind = rope.pop("rope_type", "default")
    c["rope_scaling"] = None if kind == "default" else {"type": kind, **rope}
    return c


def in_parts(folder, tensors):
    from safetensors.torch import save_file

    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    where = {n: f"model-0000{i * 3 // len(names) + 1}-of-00003.safetensors" for i, n in enumerate(names)}
    for part in sorted(set(where.values())):
        save_file({n: tensors[n] for n in names if where[n] == part}, folder / part)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))


def check(a, name, folder):
    import torch
    from safetensors.torch import load_file

    make_folder(name, folder / "hf")
    convert(name, folder / "hf", folder / "theirs.gguf", pathlib.Path(a.llama_cpp))
    ste(a, "convert", folder / "hf", folder / "ours.gguf")
    (their_keys, theirs), (our_keys, ours) = contents(folder / "theirs.gguf"), contents(folder / "ours.gguf")
    if their_keys["general.architecture"] == our_keys["general.architecture"]:  # a dense Granite 4 is a hybrid there
        figure(f"{name}: tensors with other bytes than the converter's",
               sum(ours.get(n) != t for n, t in theirs.items()) + len(ours.keys() - theirs.keys()), "==", 0, f"of {len(theirs)}")
        other = [k for k in their_keys.keys() & our_keys.keys() if not k.startswith("general.") and their_keys[k] != our_keys[k]]
        figure(f"{name}: keys with other values", len(other), "==", 0, " ".join(other))
    rng = np.random.default_rng(3)
    ids = [int(x) for x in rng.integers(0, 264, 200)]
    plain = logits(a, folder / "hf", ids, folder)
    config = json.loads((folder / "hf" / "config.json").read_text())
    (folder / "hf" / "config.json").write_text(json.dumps(as_version_4(config)))
    figure(f"{name}: config.json of version 4, largest difference", float(np.abs(logits(a, folder / "hf", ids, folder) - plain).max()), "==", 0.0)
    (folder / "hf" / "config.json").write_text(json.dumps(config))
    for kind in "q8_0", "q4_k":
        ste(a, "convert", folder / "hf", folder / "small.gguf", "--type", kind)
        figure(f"{name}: {kind}, --load-as against the file", float(np.abs(
            logits(a, folder / "hf", ids, folder, "--load-as", kind) - logits(a, folder / "small.gguf", ids, folder)).max()), "<", 0.02)
    tensors = {n: t.to(torch.bfloat16) for n, t in load_file(folder / "hf" / "model.safetensors").items()}
    in_parts(folder / "hf", tensors)
    ste(a, "convert", folder / "hf", folder / "bf16.gguf")
    figure(f"{name}: BF16 in three parts against its file", float(np.abs(
        logits(a, folder / "hf", ids, folder) - logits(a, folder / "bf16.gguf", ids, folder)).max()), "<", 0.02)


def main():
    a = arguments(__doc__, family="", llama_cpp="")
    if not (pathlib.Path(a.llama_cpp) / "conversion").is_dir():
        sys.exit(f"no source of llama.cpp with its converter at '{a.llama_cpp}'; name it with --llama-cpp")
    for name in a.family.split(",") if a.family else FAMILIES:
        check(a, name, scratch("folder-" + re.sub(r"\W", "-", name)))
    finish()


main()
