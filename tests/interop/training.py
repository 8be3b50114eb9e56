"""What gradients.py and train_curve.py share: an adapter and a loss in PEFT and torch, and the same examples for both."""

import json
import os

from common import chat_ids, data_files, hf_model, published_tokenizer, rows

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def examples(a, short, count, most):
    """COUNT real prompts with their chosen answers: {"tokens", "n_prompt", "weight"}, at most MOST tokens each."""
    tk, end, out = published_tokenizer(short), None, []
    end = tk.token_to_id("<|im_end|>")
    for f in data_files(a):
        if os.sep + "preference" + os.sep not in f:
            continue
        taken = 0
        for r in rows(f):
            if not isinstance(r.get("prompt"), str) or not isinstance(r.get("chosen"), str) or taken >= 12:
                continue
            prompt = chat_ids(short, [{"role": "user", "content": r["prompt"]}])
            answer = tk.encode(r["chosen"], add_special_tokens=False).ids + [end]
            if len(prompt) + len(answer) <= most and len(answer) > 8:
                out.append({"tokens": prompt + answer, "n_prompt": len(prompt), "weight": 1.0})
                taken += 1
    if len(out) < count:
        raise SystemExit(f"only {len(out)} examples of at most {most} tokens in {a.data}")
    step = len(out) // count
    return out[::step][:count]


def write_examples(path, batch):
    with open(path, "w", encoding="utf-8") as f:
        for e in batch:
            f.write(json.dumps(e) + "\n")


def peft_model(short, r, alpha, b_scale):
    """The dequantized base in float32 with an adapter: A by PEFT's own start, B normal with B_SCALE (0: zero)."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(7)
    m = get_peft_model(hf_model(short), LoraConfig(r=r, lora_alpha=alpha, lora_dropout=0.0, target_modules=TARGETS,
                                                   task_type="CAUSAL_LM"))
    if b_scale:
        for name, p in m.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(p, std=b_scale)
    return m


def backward(m, batch):
    """Adds the gradients of sum w nll / sum w over the completion tokens; returns that loss."""
    import torch

    weight = sum(e["weight"] * (len(e["tokens"]) - e["n_prompt"]) for e in batch)
    total = 0.0
    for e in batch:
        ids, n = torch.tensor([e["tokens"]]), e["n_prompt"]
        h = m.base_model.model.model(input_ids=ids, use_cache=False)[0][:, n - 1:-1]
        logits = m.base_model.model.lm_head(h)[0]
        nll = torch.nn.functional.cross_entropy(logits, ids[0, n:], reduction="sum")
        (nll * (e["weight"] / weight)).backward()
        total += nll.item() * e["weight"] / weight
    return total
