"""A random model of a few kilobytes, for tests without a model to download: FOLDER/tiny.gguf (llama, two layers, width 32,
the 256 bytes as its vocabulary), FOLDER/adapter (a LoRA of rank 2 whose B is zero), FOLDER/reward (with a head) and
FOLDER/judge.gguf (a model that nearly always says A or B, by what stands before). With NAME...: FOLDER/NAME.gguf
alone, such a judge of another architecture (ARCHITECTURES); of qwen2 and llama3 also FOLDER/NAME, the same weights as a
folder of Hugging Face's, in two parts."""
import json, os, random, struct, sys

folder = sys.argv[1]
D, HEADS, FF, LAYERS, CTX, R = 32, 2, 64, 2, 4096, 2
random.seed(1)
SHAPES = {"q": (D, D), "k": (D, D), "v": (D, D), "o": (D, D), "gate": (FF, D), "up": (FF, D), "down": (D, FF)}  # out, in
GGUF = {"q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}
PEFT = {n: ("self_attn." if n in "qkvo" else "mlp.") + n + "_proj" for n in SHAPES}


def alphabet():  # gpt2's characters of the bytes
    own = set(range(0x21, 0x7F)) | set(range(0xA1, 0xAD)) | set(range(0xAE, 0x100))
    other = iter(range(0x100, 0x200))
    return [chr(b) if b in own else chr(next(other)) for b in range(256)]


def text(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def key(name, value):
    if isinstance(value, str):
        return text(name) + struct.pack("<I", 8) + text(value)
    if isinstance(value, bool):
        return text(name) + struct.pack("<I?", 7, value)
    if isinstance(value, float):
        return text(name) + struct.pack("<If", 6, value)
    if isinstance(value, list):
        kind = {str: 8, bool: 7, int: 5}[type(value[0])]
        items = b"".join(text(v) if kind == 8 else struct.pack("<?" if kind == 7 else "<i", v) for v in value)
        return text(name) + struct.pack("<IIQ", 9, kind, len(value)) + items
    return text(name) + struct.pack("<II", 4, value)


def gguf(path, keys, tensors):  # tensors: name -> (shape with the columns first, floats)
    head, data = b"", b""
    for name, (shape, values) in tensors.items():
        head += text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in shape)
        head += struct.pack("<IQ", 0, len(data))
        data += struct.pack(f"<{len(values)}f", *values)
        data += b"\0" * (-len(data) % 32)
    start = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(key(k, v) for k, v in keys.items()) + head
    with open(path, "wb") as f:
        f.write(start + b"\0" * (-len(start) % 32) + data)


def drawn(n, sd=0.3, mean=0.0):
    return [random.gauss(mean, sd) for _ in range(n)]


def keys(arch="llama", layers=LAYERS, **more):
    tokens = alphabet() + ["he", "<|im_start|>", "<|im_end|>"]
    return {"general.architecture": arch, f"{arch}.block_count": layers, f"{arch}.context_length": CTX,
            f"{arch}.embedding_length": D, f"{arch}.feed_forward_length": FF, f"{arch}.attention.head_count": HEADS,
            f"{arch}.attention.layer_norm_rms_epsilon": 1e-5, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm",
            "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": [1] * 257 + [3, 3],
            "tokenizer.ggml.merges": ["h e"], "tokenizer.ggml.eos_token_id": 258,
            "tokenizer.chat_template": "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are a helpful AI assistant named "
                                       "SmolLM, trained by Hugging Face<|im_end|>\n{% endif %}{% for m in messages %}<|im_start|>"
                                       "{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{{ '<|im_start|>assistant\n' }}", **more}


def model():
    t = {"token_embd.weight": ((D, 259), drawn(D * 259, 1)), "output_norm.weight": ((D,), drawn(D, 0.1, 1))}
    for i in range(LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            t[f"blk.{i}.{norm}.weight"] = ((D,), drawn(D, 0.1, 1))
        for n, (out, into) in SHAPES.items():
            t[f"blk.{i}.{GGUF[n]}.weight"] = ((into, out), drawn(out * into))
    return t


# ---- other architectures

YARN = {"rope.scaling.type": "yarn", "rope.scaling.factor": 8.0, "rope.scaling.original_context_length": 64}
WINDOW = {"attention.sliding_window": 24, "attention.sliding_window_pattern": [True, False]}
QK, PRE, POST = ("attn_q_norm", "attn_k_norm"), ("attn_norm", "ffn_norm"), ("post_attention_norm", "post_ffw_norm")
# name: what it has beside llama: its architecture (its name, if not said), keys, norms, the width of those of q and k,
# tensors of one dimension that are not a layer's
ARCHITECTURES = {
    "llama3": {"arch": "llama", "vectors": {"rope_freqs": [1.0, 1.0, 1.5, 4.0, 8.0, 8.0, 8.0, 8.0]}},
    "mistral": {"arch": "llama", "keys": {"attention.sliding_window": 24}},
    "mistral3": {"keys": {**YARN, "rope.scaling.yarn_log_multiplier": 1.0, "attention.temperature_scale": 0.1}},
    "smollm3": {"layers": 4},
    "gemma3": {"norms": PRE + QK + POST, "keys": {**WINDOW, "rope.scaling.factor": 8.0}},
    "gemma3-sees": {"arch": "gemma3", "norms": PRE + QK + POST, "keys": {"ste.layers": "model.language_model.layers"}},
    "qwen2": {"biases": "qkv"},
    "qwen3": {"norms": PRE + QK},
    "llama-biases": {"arch": "llama", "biases": SHAPES},
    "granite": {"keys": {"attention.scale": 0.2, "embedding_scale": 3.0, "residual_scale": 0.5, "logit_scale": 0.8}},
    "granite-nope": {"arch": "granite", "keys": {"logit_scale": 0.8, "rope.scaling.finetuned": False}},
    "granite4": {"arch": "granite", "keys": {"logit_scale": 0.8, "ste.model_type": "granitemoehybrid"}},
    "olmo2": {"norms": QK + POST, "width": D},
    "olmo3": {"arch": "olmo2", "norms": QK + POST, "width": D, "keys": {**WINDOW, **YARN, "rope.scaling.attn_factor": 1.2}},
    "phi3": {"fused": True, "keys": {"rope.dimension_count": 12, "rope.scaling.original_context_length": 64, "rope.scaling.attn_factor": 1.4},
             "vectors": {"rope_factors_short": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5], "rope_factors_long": [1.0, 1.5, 2.0, 3.0, 4.0, 6.0]}},
    "phi3-separate": {"arch": "phi3"},
}


def architecture(name):
    random.seed(name)
    a = ARCHITECTURES[name]
    arch, layers, t = a.get("arch", name), a.get("layers", LAYERS), {}
    for i in range(layers):
        for norm in a.get("norms", PRE):
            n = a.get("width", D // HEADS) if norm in QK else D
            t[f"blk.{i}.{norm}.weight"] = ((n,), drawn(n, 0.1, 1))
        for parts, fused in (("qkv", "attn_qkv"), ("o", ""), (("gate", "up"), "ffn_up"), (("down",), "")):
            for group in [parts] if fused and a.get("fused") else parts:
                group = [group] if group in SHAPES else group
                out, into = sum(SHAPES[n][0] for n in group), SHAPES[group[0]][1]
                t[f"blk.{i}.{GGUF[group[0]] if len(group) == 1 else fused}.weight"] = ((into, out), drawn(out * into))
        for n in a.get("biases", ""):
            t[f"blk.{i}.{GGUF[n]}.bias"] = ((SHAPES[n][0],), drawn(SHAPES[n][0]))
    for n, values in a.get("vectors", {}).items():
        t[n + ".weight"] = ((len(values),), values)
    more = {k if k.startswith("ste.") else f"{arch}.{k}": v for k, v in a.get("keys", {}).items()}
    t = {**t, "output_norm.weight": ((D,), drawn(D, 0.1, 1)), "token_embd.weight": ((D, 259), judging())}
    gguf(f"{folder}/{name}.gguf", keys(arch, layers, **more), t)
    if name in ("qwen2", "llama3"):
        hugging_face(f"{folder}/{name}", arch, t)


def judging():
    """Small embeddings, so that what was read decides, but for A and B, which are far above or below the other tokens."""
    embedding = drawn(D * 259, 0.02)
    for i, v in enumerate(drawn(D, 2)):
        for c, sign in ("A", 1), ("B", -1):
            embedding[alphabet().index(c) * D + i] = sign * v
    return embedding


def safetensors(path, tensors):  # name -> (shape, floats)
    head, data = {}, b""
    for name, (shape, values) in tensors.items():
        b = struct.pack(f"<{len(values)}f", *values)
        head[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(b)]}
        data += b
    h = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(h)) + h + data)


def hugging_face(path, arch, t):
    os.makedirs(path, exist_ok=True)
    names = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "attn_norm": "input_layernorm",
             "ffn_norm": "post_attention_layernorm", **{GGUF[n]: PEFT[n] for n in SHAPES}}
    parts, where = ({}, {}), {}
    for name, (shape, values) in t.items():
        *block, part, end = name.split(".")
        if part not in names:
            continue  # divisors of frequencies, which config.json makes
        if arch == "llama" and part in ("attn_q", "attn_k"):  # of a head of n rows, row 2j + s was row s n/2 + j
            row, head, n = shape[0], D // HEADS, len(values) // shape[0]
            order = [r // head * head + r % (head // 2) * 2 + r % head // (head // 2) for r in range(n)]
            values = [v for r in order for v in values[r * row:(r + 1) * row]]
        full = ("model.layers." + block[1] + "." if block else "") + names[part] + "." + end
        which = len(where) % 2
        parts[which][full] = (shape[::-1], values)
        where[full] = f"model-0000{which + 1}-of-00002.safetensors"
    for i, part in enumerate(parts):
        safetensors(f"{path}/model-0000{i + 1}-of-00002.safetensors", part)
    k, level = keys(), {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokens = k["tokenizer.ggml.tokens"]
    config = {"architectures": ["X" + "ForCausalLM"], "model_type": arch, "num_hidden_layers": LAYERS, "hidden_size": D,
              "intermediate_size": FF, "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "max_position_embeddings": CTX,
              "rms_norm_eps": 1e-5, "vocab_size": len(tokens), "tie_word_embeddings": True, "rope_theta": 10000.0}
    if arch == "llama":
        config["rope_scaling"] = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                  "original_max_position_embeddings": 64}
    files = {"config.json": config, "generation_config.json": {"eos_token_id": [258]},
             "model.safetensors.index.json": {"metadata": {}, "weight_map": where},
             "tokenizer_config.json": {"eos_token": "<|im_end|>", "chat_template": k["tokenizer.chat_template"]},
             "tokenizer.json": {"added_tokens": [{"id": i, "content": tokens[i], "special": True} for i in (257, 258)],
                                "normalizer": None, "post_processor": None, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                                    {"type": "Digits", "individual_digits": True}, level]},
                                "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens[:257])}, "merges": ["h e"]}}}
    for name, value in files.items():
        with open(f"{path}/{name}", "w") as f:
            json.dump(value, f)


def adapter(name, head=None, **config):
    os.makedirs(f"{folder}/{name}", exist_ok=True)
    t = {}
    for i in range(LAYERS):
        for n, (out, into) in SHAPES.items():
            path = f"base_model.model.model.layers.{i}.{PEFT[n]}"
            t[path + ".lora_A.weight"] = ((R, into), drawn(R * into))
            t[path + ".lora_B.weight"] = ((out, R), [0.0] * (out * R))
    c = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": f"{folder}/tiny.gguf", "r": R, "lora_alpha": 4,
         "bias": "none", "init_lora_weights": True, "target_modules": sorted(PEFT), **config}
    if head:
        t["base_model.model.score.weight"] = ((1, D), head)
        c.update(task_type="SEQ_CLS", modules_to_save=["score"])
    safetensors(f"{folder}/{name}/adapter_model.safetensors", t)
    with open(f"{folder}/{name}/adapter_config.json", "w") as f:
        json.dump(c, f)


if sys.argv[2:]:
    for name in sys.argv[2:]:
        architecture(name)
    sys.exit()

whole = model()
gguf(f"{folder}/tiny.gguf", keys(), whole)
gguf(f"{folder}/part.gguf", {"split.no": 1, "split.count": 3, "split.tensors.count": 20}, {"blk.1.ffn_norm.weight": ((D,), drawn(D))})
gguf(f"{folder}/first.gguf", keys(**{"split.no": 0, "split.count": 3, "split.tensors.count": 20}), {"output_norm.weight": ((D,), drawn(D))})
gguf(f"{folder}/lora.gguf", {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora", "adapter.lora.alpha": 4.0},
     {"blk.0.attn_q.weight.lora_a": ((D, R), drawn(D * R))})
adapter("adapter")
adapter("hub", base_model_name_or_path="some/model-7B")
adapter("elsewhere", base_model_name_or_path="/home/somebody/models/x.gguf")
adapter("reward", head=drawn(D))
adapter("equal", head=[0.0] * (D - 1) + [1e-30])
adapter("nan", head=drawn(D - 1) + [float("nan")])
adapter("inf", head=[float("inf")] + drawn(D - 1))
adapter("large", head=[3e38] * D)
gguf(f"{folder}/judge.gguf", keys(), {**whole, "token_embd.weight": ((D, 259), judging())})
