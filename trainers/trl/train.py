#!/usr/bin/env python3
"""Trains what `ste` hands over (../README.md) with TRL and PEFT: language modelling or DPO on exact token ids.

    train.py FOLDER                                                  one process
    torchrun --standalone --nproc-per-node 2 train.py FOLDER         data parallel
    accelerate launch --config_file fsdp2.yaml train.py FOLDER       FSDP2, DeepSpeed ZeRO 1 or 2: by accelerate's file

The loss is ste's own: of a step, the mean over its tokens (of DPO: over its pairs), each times its row's weight, however the
rows are spread over processes. Exit codes: 0 done, 75 stopped with a checkpoint, 1 failed, 2 usage."""
import signal

stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))  # before the imports, which take seconds

import argparse
import json
import math
import os
import sys


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--per-device", type=int, default=1, help="rows of a forward pass; more than 1 for sft without weights only")
    p.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"], help="of the base; auto: bfloat16 on a GPU")
    p.add_argument("--gradient-checkpointing", action="store_true", help="less memory, a third more time")
    p.add_argument("folder", help="with job.json")
    return p.parse_args()


class Job:
    """The folder that was handed over."""

    def __init__(self, folder):
        self.folder = folder
        with open(self.path("job.json"), encoding="utf-8") as f:
            self.__dict__.update(json.load(f))
        if self.version != 1:
            raise ValueError(f"job.json is of version {self.version}, and this trainer knows 1")
        if not self.base:
            raise ValueError("train.base is empty: name a Hugging Face folder of the model there")
        if not os.path.isdir(self.base):
            raise ValueError(f"train.base: there is no folder {self.base}")
        self.dpo = self.objective == "dpo"

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def lines(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def tell(self, **row):
        with open(self.path("progress.jsonl"), "a", encoding="utf-8") as f:
            f.write(json.dumps(row) + "\n")

    def complete(self, steps):
        """The marker, which says that the adapter is whole, comes when all else is on disk."""
        os.sync()
        with open(self.path("complete.json.tmp"), "w", encoding="utf-8") as f:
            json.dump({"steps": steps}, f)
            f.flush()
            os.fsync(f.fileno())
        os.rename(self.path("complete.json.tmp"), self.path("complete.json"))


def tape(job, at_once, per_device):
    """The rows one behind the other as they are trained on, AT_ONCE at a time: a step is as many of these as its batch needs,
    filled up with rows that count nothing. "weight" is a factor on the loss that TRL takes of a row by itself, so that the
    step's loss is the mean by weights. Returns the rows and the forward passes of a step."""
    rows, order = job.lines("examples.jsonl"), [b["rows"] for b in job.lines("batches.jsonl")]
    size = -(-max(map(len, order)) // at_once) * at_once
    if job.dpo:
        empty = dict(min(rows, key=lambda r: len(r["prompt_ids"]) + len(r["chosen_ids"]) + len(r["rejected_ids"])), weight=0.0)
    else:
        empty = {"input_ids": rows[0]["input_ids"][:1] * 2, "labels": [-100, -100], "weight": 1.0}
    out = []
    for batch in order:
        count = [1 if job.dpo else sum(label != -100 for label in rows[i]["labels"][1:]) for i in batch]
        total = size if job.dpo else sum(count)
        mean = sum(n * rows[i]["weight"] for n, i in zip(count, batch)) / total
        out += [{**rows[i], "weight": rows[i]["weight"] / mean} for i in batch] + [empty] * (size - len(batch))
    if per_device > 1 and (job.dpo or any(abs(r["weight"] - 1) > 1e-6 for r in out)):
        raise ValueError("--per-device above 1 is for rows of one weight, and not for DPO: leave it out")
    return out, size // at_once


def model_and_lora(job, dtype):
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(job.base, dtype=getattr(torch, dtype))
    return model, LoraConfig(r=job.r, lora_alpha=job.alpha, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM",
                             target_modules=job.targets)


def load_start(job, model):
    """The adapter's first values are those that ste gives, so that it begins where ste's own trainer would; the reference
    of DPO stays the base."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    result = set_peft_model_state_dict(model, load_file(job.path(job.start, "adapter_model.safetensors")))
    missing = [k for k in result.missing_keys if "lora_" in k]
    if result.unexpected_keys or missing:
        raise ValueError(f"the adapter to begin with does not fit the base: {(result.unexpected_keys or missing)[0]}")


def settings(job, a, accumulation, device):
    """What SFTConfig and DPOConfig share."""
    gpu, dtype = device
    return dict(
        output_dir=job.path("trl"), max_steps=job.steps, per_device_train_batch_size=a.per_device,
        gradient_accumulation_steps=accumulation, learning_rate=job.lr, warmup_steps=job.warmup,
        lr_scheduler_type="constant_with_warmup" if job.schedule == "constant" else job.schedule, optim="adamw_torch",
        adam_beta1=job.beta1, adam_beta2=job.beta2, adam_epsilon=job.adam_eps, weight_decay=job.weight_decay,
        max_grad_norm=job.max_grad_norm, seed=job.seed, data_seed=job.seed, train_sampling_strategy="sequential",
        remove_unused_columns=False, max_length=None, logging_steps=1, logging_nan_inf_filter=False, save_strategy="steps",
        save_steps=job.checkpoint_every, save_total_limit=2, bf16=gpu and dtype == "bfloat16", use_cpu=not gpu,
        gradient_checkpointing=a.gradient_checkpointing, ddp_find_unused_parameters=False, dataloader_pin_memory=gpu,
        dataloader_num_workers=0, report_to="none", disable_tqdm=True)


def callback(job):
    import torch
    import torch.distributed as dist
    from transformers import TrainerCallback

    class Report(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            if state.is_world_process_zero and logs and "loss" in logs:
                if not math.isfinite(logs["loss"]):
                    raise ValueError(f"the loss of step {state.global_step} is {logs['loss']}: a lower train.lr may help")
                job.tell(step=state.global_step, loss=logs["loss"], lr=logs.get("learning_rate"), grad_norm=logs.get("grad_norm"))

        def on_step_end(self, args, state, control, **_):
            """All processes stop at the same step, whichever of them was told to."""
            flag = torch.tensor([float(bool(stopped))], device=args.device)
            if dist.is_initialized():
                dist.all_reduce(flag, op=dist.ReduceOp.MAX)
            if flag.item() and state.global_step < state.max_steps:
                control.should_save = control.should_training_stop = True

        def on_save(self, args, state, control, **_):
            """A checkpoint is told of when all processes have written their part."""
            if dist.is_initialized():
                dist.barrier()
            if state.is_world_process_zero:
                os.sync()
                job.tell(step=state.global_step, checkpoint=f"trl/checkpoint-{state.global_step}")

    return Report()


def trainer(job, a, device, world):
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    rows, accumulation = tape(job, world * a.per_device, a.per_device)

    class Weighted:
        def compute_loss(self, model, inputs, *args, **kwargs):
            weight = inputs.pop("weight")
            return super().compute_loss(model, inputs, *args, **kwargs) * weight[0]

    class Sft(Weighted, SFTTrainer):
        pass

    class Dpo(Weighted, DPOTrainer):
        def _prepare_dataset(self, dataset, *_, **__):
            return dataset  # it has ids already

    model, lora = model_and_lora(job, device[1])
    common = settings(job, a, accumulation, device)
    if job.dpo:
        kind, config = Dpo, DPOConfig(beta=job.beta, loss_type=["sigmoid", "sft"], loss_weights=[1.0, job.nll], **common)
    else:
        kind, config = Sft, SFTConfig(packing=False, **common)
    t = kind(model=model, args=config, train_dataset=Dataset.from_list(rows), processing_class=AutoTokenizer.from_pretrained(job.base),
             peft_config=lora, callbacks=[callback(job)])
    if t.args.world_size != world:
        raise ValueError(f"{world} processes were started, and the trainer sees {t.args.world_size}")
    collate = t.data_collator
    t.data_collator = lambda batch: {**collate(batch), "weight": torch.tensor([r["weight"] for r in batch])}
    load_start(job, t.model)
    return t


def train(job, a):
    import torch
    import torch.distributed as dist

    gpu = torch.cuda.is_available()
    dtype = a.dtype if a.dtype != "auto" else "bfloat16" if gpu else "float32"
    t = trainer(job, a, (gpu, dtype), int(os.environ.get("WORLD_SIZE", "1")))
    if t.is_world_process_zero():
        print(f"{job.objective}, {t.args.world_size} x {t.accelerator.distributed_type}, {dtype}, {job.steps} steps, "
              f"from {job.resume or 'the start'}", flush=True)
    t.train(resume_from_checkpoint=job.path(job.resume) if job.resume else None)
    done = t.state.global_step >= job.steps
    if done:
        t.save_model(job.path("adapter"))  # in all processes: FSDP gathers the parts
        if t.is_world_process_zero():
            job.complete(t.state.global_step)
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
    return 0 if done else 75


def main():
    a = arguments()
    try:
        return train(Job(a.folder), a)
    except Exception as e:
        if os.path.isdir(a.folder):
            with open(os.path.join(a.folder, "progress.jsonl"), "a", encoding="utf-8") as f:
                f.write(json.dumps({"error": f"{type(e).__name__}: {e}"}) + "\n")
        raise


if __name__ == "__main__":
    sys.exit(main())
