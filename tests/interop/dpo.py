#!/usr/bin/env python3
"""Loss and gradients of `ste dpo`, A and B random, against TRL's DPOTrainer in float64 on the same ids and dequantized
weights: loss_type sigmoid and sft with weights 1 and nll, reference = the model without its adapter. A batch of TRL's is
one pair, as in the published training, so that the sft term is each pair's own mean over tokens."""

import os

from common import MODELS, arguments, chat_ids, data_files, figure, finish, hf_folder, hf_model, published_tokenizer, rows, scratch, ste
from training import TARGETS, write_examples

LIMIT = 1e-3
BETA, NLL = 0.1, 1.5


def preferences(a, short, count, most):
    """COUNT real prompts with both answers, as ids, at most MOST tokens each."""
    tk, out = published_tokenizer(short), []
    end = tk.token_to_id("<|im_end|>")
    answer = lambda text: tk.encode(text, add_special_tokens=False).ids + [end]  # noqa: E731
    for f in data_files(a):
        if os.sep + "preference" + os.sep not in f:
            continue
        for r in list(rows(f))[:40]:
            if not all(isinstance(r.get(k), str) for k in ("prompt", "chosen", "rejected")):
                continue
            row = {"prompt_ids": chat_ids(short, [{"role": "user", "content": r["prompt"]}]),
                   "chosen_ids": answer(r["chosen"]), "rejected_ids": answer(r["rejected"])}
            longest = len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
            if longest <= most and min(len(row["chosen_ids"]), len(row["rejected_ids"])) > 8:
                out.append(row)
    if len(out) < count:
        raise SystemExit(f"only {len(out)} preferences of at most {most} tokens in {a.data}")
    return out[::len(out) // count][:count]


def their_trainer(short, batch, r, folder):
    """With a new adapter, so that the reference is the base; then its B is drawn."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    class OnIds(DPOTrainer):
        def _prepare_dataset(self, dataset, *rest):
            return dataset

    torch.manual_seed(7)
    tokenizer = AutoTokenizer.from_pretrained(hf_folder(short))
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    settings = DPOConfig(output_dir=str(folder), loss_type=["sigmoid", "sft"], loss_weights=[1.0, NLL], beta=BETA, max_length=None,
                         per_device_train_batch_size=1, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none")
    lora = LoraConfig(r=r, lora_alpha=2 * r, lora_dropout=0.0, target_modules=TARGETS, task_type="CAUSAL_LM")
    trainer = OnIds(model=hf_model(short), args=settings, train_dataset=Dataset.from_list(batch), processing_class=tokenizer, peft_config=lora)
    for name, p in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.02)
    return trainer


def check(a, short):
    import torch
    from safetensors.torch import load_file

    d = scratch("dpo-" + short)
    batch = preferences(a, short, a.pairs, 300)
    write_examples(d / "batch.jsonl", batch)
    trainer = their_trainer(short, batch, a.r, d / "trl")
    trainer.model.save_pretrained(d / "adapter")
    m = trainer.model.double().train()
    loss = 0.0
    for row in batch:
        one = trainer.compute_loss(m, trainer.data_collator([row])) / len(batch)
        one.backward()
        loss += one.item()
    want = {name.replace(".default", ""): p.grad for name, p in m.named_parameters() if p.grad is not None}
    out = ste(a, "dpo", "--model", MODELS[short], "--in", d / "batch.jsonl", "--adapter", d / "adapter", "--batch", len(batch),
              "--order", "file", "--beta", BETA, "--nll", NLL, "--activations", "f32", "--grads", d / "grads").decode()
    ours = float(out.split()[1].rstrip(";"))
    got = load_file(d / "grads" / "adapter_model.safetensors")
    errors = {name: (torch.linalg.norm(got[name].double() - p) / torch.linalg.norm(p)).item() for name, p in want.items()}
    worst = max(errors, key=errors.get)
    margins = trainer._metrics["train"]["rewards/margins"]
    figure(f"{short}: largest margin of a pair, nats times beta", max(map(abs, margins)), ">", 0.01, f"{len(batch)} pairs")
    figure(f"{short}: tensors compared", sum(name in want for name in got), "==", len(want))
    figure(f"{short}: loss, relative difference", abs(ours - loss) / loss, "<", 1e-4, f"{ours:.6f} against {loss:.6f}")
    figure(f"{short}: largest relative error of a tensor's gradient", errors[worst], "<", LIMIT, worst)


if __name__ == "__main__":
    args = arguments(__doc__, r=16, pairs=4)
    for s in args.model:
        check(args, s)
    finish()
