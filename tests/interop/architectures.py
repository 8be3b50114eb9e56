"""Every architecture on a random model of a few layers, made by transformers from the family's own config class and
converted by llama.cpp's own converter. 300 positions, past windows and original contexts: logits against transformers in
float32 and against llama.cpp, gradients of LoRA (B not zero) against PEFT's in float64, and the adapter that ste writes,
loaded by PEFT and by llama.cpp, against ste with it. Activations are exact."""

import json
import pathlib
import sys

import numpy as np

from common import HOME, Llama, arguments, figure, finish, scratch, ste

POSITIONS, GAP, KL, SLOPE = 300, 0.01, 1e-5, 1e-3
MANY = {"hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 512, "tie_word_embeddings": False, "rms_norm_eps": 1e-5, "attn_implementation": "eager",
        "pad_token_id": None}
USUAL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
FUSED = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
ROPE = lambda kind, **more: {"rope_type": kind, "rope_theta": 10000.0, **more}
YARN = ROPE("yarn", factor=8.0, original_max_position_embeddings=64, beta_fast=32.0, beta_slow=1.0)
LONG = ROPE("longrope", short_factor=[1.0 + i / 20 for i in range(12)], long_factor=[1.0 + i / 3 for i in range(12)],
            original_max_position_embeddings=128)
SLIDING = lambda n, full: ["full_attention" if (i + 1) % full == 0 else "sliding_attention" for i in range(n)]
DENSE = {"layer_types": ["attention"] * 4, "num_local_experts": 0, "num_experts_per_tok": 0, "shared_intermediate_size": 192,
         "intermediate_size": 64, "embedding_multiplier": 6.0, "attention_multiplier": 0.1, "residual_multiplier": 0.7, "logits_scaling": 0.6}
IN_FOLDERS = {"embedding": 0.3, "forms": ["folder", "converted"],
              "targets": ["q_proj", "k_proj", "v_proj", "o_proj", "input_linear", "output_linear"]}
VISION = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
SEES = {"forms": ["folder", "converted"], "targets": r".*language_model.*\.(" + "|".join(USUAL) + ")"}

# name: (config class, what differs from MANY, what it takes of the test)
FAMILIES = {
    "qwen2": ("Qwen2Config", {"tie_word_embeddings": True}, {}),
    "qwen3": ("Qwen3Config", {"head_dim": 64}, {}),
    "llama": ("LlamaConfig", {}, {}),
    "llama-biases": ("LlamaConfig", {"attention_bias": True, "mlp_bias": True}, {}),
    "llama3": ("LlamaConfig", {"rope_parameters": ROPE("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                                       original_max_position_embeddings=64)}, {}),
    "llama-linear": ("LlamaConfig", {"rope_parameters": ROPE("linear", factor=4.0)}, {}),
    "llama-yarn": ("LlamaConfig", {"rope_parameters": YARN}, {}),
    "mistral": ("MistralConfig", {"sliding_window": None, "head_dim": 64}, {}),
    # The converter does not write Mistral's window and llama.cpp does not read it.
    "mistral-window": ("MistralConfig", {"sliding_window": 64}, {"llama": False, "keys": {"attention.sliding_window": 64}}),
    "gemma3": ("Gemma3TextConfig", {"num_hidden_layers": 7, "head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 64,
                                    "tie_word_embeddings": True, "num_key_value_heads": 1}, {"norm": 0.0, "embedding": 0.1}),
    "gemma3-linear": ("Gemma3TextConfig", {"num_hidden_layers": 7, "head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 64,
                                           "tie_word_embeddings": True, "rope_parameters": {
                                               "full_attention": ROPE("linear", factor=8.0),
                                               "sliding_attention": {"rope_type": "default", "rope_theta": 1000.0}}},
                      {"norm": 0.0, "embedding": 0.1}),
    # As a part of a model that sees too.
    "gemma3-sees": ("Gemma3Config", {"vision_config": VISION, "mm_tokens_per_image": 4, "text_config": {
        "num_hidden_layers": 7, "head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 64, "tie_word_embeddings": True}, "tie_word_embeddings": True},
                    {"norm": 0.0, "embedding": 0.1, **SEES}),
    "phi3": ("Phi3Config", {"sliding_window": None}, {"targets": FUSED}),
    "phi3-longrope": ("Phi3Config", {"sliding_window": None, "rope_parameters": {**LONG, "partial_rotary_factor": 0.75},
                                     "original_max_position_embeddings": 128, "tie_word_embeddings": True}, {"targets": FUSED}),
    "phi3-partial": ("Phi3Config", {"sliding_window": None, "rope_parameters": ROPE("default", partial_rotary_factor=0.5)}, {"targets": FUSED}),
    # llama.cpp reads no window of phi3.
    "phi3-window": ("Phi3Config", {"sliding_window": 64}, {"targets": FUSED, "llama": False}),
    "olmo2": ("Olmo2Config", {"rms_norm_eps": 1e-6}, {}),
    "olmo3": ("Olmo3Config", {"sliding_window": 64, "layer_types": SLIDING(4, 4), "rms_norm_eps": 1e-6,
                              "rope_parameters": {**YARN, "attention_factor": 1.2079}}, {}),
    "smollm3": ("SmolLM3Config", {"no_rope_layers": [1, 1, 1, 0], "tie_word_embeddings": True}, {}),
    "granite": ("GraniteConfig", {"embedding_multiplier": 6.0, "attention_multiplier": 0.1, "residual_multiplier": 0.7,
                                  "logits_scaling": 0.6}, {"embedding": 0.3}),
    "granite-nope": ("GraniteConfig", {"embedding_multiplier": 6.0, "attention_multiplier": 0.1, "logits_scaling": 0.6},
                     {"embedding": 0.3, "nope": True, "forms": ["gguf"], "keys": {"rope.scaling.finetuned": False}}),
    # A GGUF file does not say that a dense Granite 4 is of another class than Granite 3; an adapter for it has other names.
    "granite4": ("GraniteMoeHybridConfig", {**DENSE, "position_embedding_type": "rope"}, IN_FOLDERS),
    "granite4-nope": ("GraniteMoeHybridConfig", DENSE, IN_FOLDERS),
    "ministral3": ("Ministral3Config", {"head_dim": 64, "rope_parameters": {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0,
                                                                           "llama_4_scaling_beta": 0.1}}, {}),
}


def tokenizer_json():
    """The bytes, a few merges and three control tokens; text is split as smollm's is."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    other = iter(range(0x100, 0x200))
    tokens = [chr(b) if b in own else chr(next(other)) for b in range(256)]
    merges = ["h e", "t h", "th e", "i n", "e r", "a n", "\u0120 a", "\u0120 the"]
    tokens += [m.replace(" ", "") for m in merges]
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    added = [{"id": len(tokens) + i, "content": c, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for i, c in enumerate(control)]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return len(tokens) + len(control), {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, level]},
        "post_processor": None, "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "vocab": {t: i for i, t in enumerate([*tokens, *control])}, "merges": merges}}


def settle(m, of_test):
    """A granite without RoPE: this class of transformers cannot be told so otherwise."""
    if of_test.get("nope"):
        m.model.rotary_emb.inv_freq.zero_()
    return m.eval()


def make_folder(name, folder):
    """The model as a Hugging Face folder."""
    import torch
    import transformers

    transformers.logging.disable_progress_bar()
    kind, differs, of_test = FAMILIES[name]
    n_vocab, tokenizer = tokenizer_json()
    end = n_vocab - 1
    usual = {**MANY, "vocab_size": n_vocab, "bos_token_id": end - 2, "eos_token_id": end}
    if "text_config" in differs:
        differs = {**differs, "text_config": {**usual, **differs["text_config"]}, "image_token_index": n_vocab}
        usual = {"bos_token_id": end - 2, "eos_token_id": end}
    config = getattr(transformers, kind)(**{**usual, **differs})
    torch.manual_seed(sum(map(ord, name)))
    m = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        for path, p in m.named_parameters():
            if p.dim() > 2:  # of pictures
                continue
            if "norm" in path:
                p.normal_(of_test.get("norm", 1.0), 0.25)
            elif path.endswith("bias"):
                p.normal_(0, 0.5)
            elif "embed_tokens" in path:
                p.normal_(0, of_test.get("embedding", 1.0))
            else:
                p.normal_(0, 1.3 / p.shape[1] ** 0.5)
    m.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "bos_token": "<|endoftext|>",
        "chat_template": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"}))
    return settle(m, of_test)


def convert(name, folder, out, llama_cpp):
    """FOLDER by llama.cpp's converter, all in float32. The vocabulary is the test's, whatever the family's own would be."""
    sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]
    import logging

    logging.disable(logging.WARNING)
    import gguf
    from conversion import ModelBase, ModelType, TextModel, get_model_architecture, get_model_class

    TextModel.get_vocab_base_pre = lambda self, tokenizer: "smollm"
    hparams = ModelBase.load_hparams(folder, False)
    kind = get_model_class(get_model_architecture(hparams, ModelType.TEXT))
    m = kind(folder, gguf.LlamaFileType.ALL_F32, out, eager=True)
    for part in m, getattr(m, "impl", None):
        if part:
            part.set_vocab = part._set_vocab_gpt2
            writer = part.gguf_writer
    for key, value in FAMILIES[name][2].get("keys", {}).items():
        (writer.add_bool if isinstance(value, bool) else writer.add_uint32)(f"{gguf.MODEL_ARCH_NAMES[m.model_arch]}.{key}", value)
    m.write()


def softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(1, keepdims=True)
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def hold(name, what, reference, ours):
    """OURS (n, n_vocab) against REFERENCE: figures, and what of them goes into the table."""
    two = np.partition(reference, -2, axis=1)[:, -2:]
    sure = two[:, 1] - two[:, 0] > GAP
    other = int((sure & (reference.argmax(1) != ours.argmax(1))).sum())
    r, o = softmax(reference), softmax(ours)
    kl = float((np.exp(r) * (r - o)).sum(1).mean())
    figure(f"{name}, {what}: other top token where the gap exceeds {GAP}", other, "==", 0, f"{int(sure.sum())} of {len(sure)} positions")
    figure(f"{name}, {what}: mean KL", kl, "<", KL)
    return f"{kl:.1e}" + (f" top {other}" if other else "") + ("" if kl < KL and not other else " FAIL")


def ste_logits(a, model, ids, folder, adapter=None):
    (folder / "t.jsonl").write_text(json.dumps({"tokens": ids}) + "\n")
    ste(a, "logits", "--activations", "f32", "--model", model, *(["--adapter", adapter] if adapter else []), "--in", folder / "t.jsonl",
        "--out", folder / "l.bin")
    return np.fromfile(folder / "l.bin", np.float32).reshape(len(ids), -1)


def loss_of(m, batch):
    """Adds the gradients of sum w nll / sum w over the completion tokens."""
    import torch

    weight = sum(e["weight"] * (len(e["tokens"]) - e["n_prompt"]) for e in batch)
    total = 0.0
    for e in batch:
        ids, n = torch.tensor([e["tokens"]]), e["n_prompt"]
        nll = torch.nn.functional.cross_entropy(m(input_ids=ids, use_cache=False).logits[0, n - 1:-1], ids[0, n:], reduction="sum")
        (nll * (e["weight"] / weight)).backward()
        total += nll.item() * e["weight"] / weight
    return total


def gradients(a, name, model, m, batch, folder):
    import torch
    from safetensors.torch import load_file

    ste(a, "sft", "--model", model, "--in", folder / "batch.jsonl", "--adapter", folder / "adapter", "--batch", len(batch), "--order",
        "file", "--grads", folder / "grads", "--activations", "f32")
    got = load_file(folder / "grads" / "adapter_model.safetensors")
    want = {n.replace(".default", ""): p.grad for n, p in m.named_parameters() if p.grad is not None}
    figure(f"{name}, gradients: tensors compared", sum(n in want for n in got), "==", len(want))
    errors = {n: (torch.linalg.norm(got[n].double() - want[n]) / torch.linalg.norm(want[n])).item() for n in want if n in got}
    worst = max(errors, key=errors.get)
    ok = figure(f"{name}, gradients: largest relative error of a tensor's", errors[worst], "<", SLOPE, worst)
    return f"{errors[worst]:.1e}" + ("" if ok and len(got) == len(want) else " FAIL")


def written(a, name, model, base, ids, n_vocab, folder, llama):
    """The adapter that ste writes, in PEFT and in llama.cpp."""
    import torch
    from peft import PeftModel

    adapter = folder / f"trained-{pathlib.Path(model).name}"
    ste(a, "sft", "--model", model, "--in", folder / "batch.jsonl", "--adapter", folder / "adapter", "--out", adapter, "--steps", 3,
        "--lr", 1e-2, "--batch", 2, "--order", "file", "--activations", "f32", "--r", 4, "--alpha", 8)
    ours = ste_logits(a, model, ids, folder, adapter)
    m = PeftModel.from_pretrained(base, str(adapter)).eval()
    with torch.no_grad():
        tuned = m(torch.tensor([ids])).logits[0].numpy()
        with m.disable_adapter():
            plain = m(torch.tensor([ids])).logits[0].numpy()
    o, p = softmax(tuned), softmax(plain)
    figure(f"{name}: mean KL of what the adapter changes", float((np.exp(o) * (o - p)).sum(1).mean()), ">", 1e-2)
    in_peft = hold(name, "adapter in PEFT", tuned, ours)
    if not llama:
        return in_peft, "-"
    return in_peft, hold(name, "adapter in llama.cpp", Llama(model, ctx=512, lora=adapter / "adapter.gguf", f32=True).logits(ids), ours)


def check(a, name, folder):
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    torch.set_num_threads(2)
    of_test = FAMILIES[name][2]
    base, gguf = make_folder(name, folder / "hf"), folder / f"{name}.gguf"
    convert(name, folder / "hf", gguf, pathlib.Path(a.llama_cpp))
    rng = np.random.default_rng(7)
    n_vocab = tokenizer_json()[0]
    draw = lambda n: [int(x) for x in rng.integers(0, n_vocab - 3, n)]
    ids, batch = draw(POSITIONS), [{"tokens": draw(n), "n_prompt": p, "weight": w} for n, p, w in ((280, 150, 1.0), (190, 60, 0.5))]
    (folder / "batch.jsonl").write_text("".join(json.dumps(e) + "\n" for e in batch))
    with torch.no_grad():
        reference = base(torch.tensor([ids])).logits[0].numpy()
    m = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=of_test.get("targets", USUAL), task_type="CAUSAL_LM"))
    for n, p in m.named_parameters():
        if "lora_B" in n:
            torch.nn.init.normal_(p, std=0.1)
    m.save_pretrained(folder / "adapter")
    loss_of(m.double(), batch)
    cells = []
    for kind in [f for f in a.forms if f in of_test.get("forms", a.forms)]:
        model = {"gguf": gguf, "folder": folder / "hf", "converted": folder / "converted.gguf"}[kind]
        form, row = f"{name} ({kind})", []
        try:
            if kind == "converted":
                ste(a, "convert", folder / "hf", model, "--type", "f32")
            ours = ste_logits(a, model, ids, folder)
            row.append(hold(form, "transformers", reference, ours))
            llama = of_test.get("llama", True) and kind != "folder"
            row.append(hold(form, "llama.cpp", Llama(model, ctx=512, f32=True).logits(ids), ours) if llama else "-")
            row.append(gradients(a, form, model, m, batch, folder))
            plain = transformers.AutoModelForCausalLM.from_pretrained(folder / "hf", dtype=torch.float32, attn_implementation="eager")
            row += written(a, form, model, settle(plain, of_test), ids, n_vocab, folder, llama)
        except SystemExit as e:
            figure(f"{form}: it runs", 0, "==", 1, str(e).strip().splitlines()[-1])
            row.append("FAIL")
        cells.append((form, *row))
    return cells


def find_llama_cpp(a, others=()):
    """A.LLAMA_CPP: the folder of its source, which stands under HOME where it was made for the benchmarks."""
    if (HOME / "bench").as_posix() == a.llama_cpp:
        found = sorted((HOME / "bench").glob("llama_cpp_python-*/vendor/llama.cpp"))
        a.llama_cpp = str(found[-1]) if found else ""
    if not (pathlib.Path(a.llama_cpp) / "conversion").is_dir():
        sys.exit(f"no source of llama.cpp with its converter at '{a.llama_cpp}'; name it with --llama-cpp")
    unknown = set(filter(None, a.family.split(","))) - {*FAMILIES, *others}
    if unknown:
        sys.exit(f"no family {', '.join(sorted(unknown))}; there are {', '.join(FAMILIES)}")


def main():
    a = arguments(__doc__, family="", forms="gguf,folder,converted", llama_cpp=str(HOME / "bench"))
    a.forms = a.forms.split(",")
    find_llama_cpp(a)
    table = [("", "transformers", "llama.cpp", "gradients", "adapter: PEFT", "llama.cpp")]
    for name in a.family.split(",") if a.family else FAMILIES:
        table += check(a, name, scratch("architecture-" + name))
    print()
    for row in table:
        print("  ".join(f"{c:24}" if i == 0 else f"{c:16}" for i, c in enumerate(row)).rstrip())
    finish()


if __name__ == "__main__":
    main()
