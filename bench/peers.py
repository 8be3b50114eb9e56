"""The programs that ste is timed against, each set to its best (README.md says how). A peer is made once and asked
again each round; what it returns is tokens per second."""

import pathlib
import resource
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "interop"))
from common import hf_folder, hf_model  # noqa: E402
from training import TARGETS, backward, peft_model  # noqa: E402


class OpenVino:
    """OpenVINO GenAI reading the same GGUF, through its continuous batching pipeline with prefix caching."""

    name = "OpenVINO GenAI"

    def __init__(self, path, threads):
        import openvino_genai as ov

        self.ov = ov
        scheduler = ov.SchedulerConfig()
        scheduler.enable_prefix_caching = True
        scheduler.cache_size = 2
        self.pipe = ov.LLMPipeline(str(path), "CPU", scheduler_config=scheduler, INFERENCE_NUM_THREADS=threads)

    def generate(self, ids, samples, new):
        import numpy as np
        import openvino as o

        c = self.ov.GenerationConfig()
        c.max_new_tokens = c.min_new_tokens = new
        c.ignore_eos = True
        c.do_sample, c.temperature, c.top_p = True, 0.7, 0.9
        c.num_return_sequences = samples
        start = time.perf_counter()
        self.pipe.generate(o.Tensor(np.array([ids], dtype=np.int64)), c)
        return time.perf_counter() - start

    def round(self, ids, samples, new):
        # The prompt is in its cache after the first call, so that the second is decoding alone.
        first = self.generate(ids, 1, 1)
        return len(ids) / first, samples * new / self.generate(ids, samples, new)

    def settings(self):
        return "continuous batching, prefix caching"


def batches(ids, prompt, completion, count):
    """COUNT examples of PROMPT and COMPLETION tokens from one long list of ids."""
    n = prompt + completion
    return [(ids * (n // len(ids) + 1))[8 * k:8 * k + n] for k in range(count)]


def torch_loop(short, ids, prompt, completion, steps):
    """A careful loop in torch and PEFT, float32: logits only where the loss is, AdamW on the adapter alone. Tokens a
    second after one step to warm up, and the peak of memory in MB."""
    import torch

    model = peft_model(short, 16, 32, 0)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    rates = []
    for step in range(steps + 1):
        start = time.perf_counter()
        backward(model, [{"tokens": e, "n_prompt": prompt, "weight": 1.0} for e in batches(ids, prompt, completion, 2)])
        optimizer.step()
        optimizer.zero_grad()
        rates.append(2 * (prompt + completion) / (time.perf_counter() - start))
    return rates[1:], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def trl(short, ids, prompt, completion, steps):
    """TRL's SFTTrainer with PEFT, float32, two examples a step, loss on the completion."""
    import tempfile

    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    stamps = []

    class Clock(TrainerCallback):
        def on_step_begin(self, args, state, control, **kw):
            stamps.append(time.perf_counter())

        def on_step_end(self, args, state, control, **kw):
            stamps.append(time.perf_counter())

    rows = [{"input_ids": e, "completion_mask": [0] * prompt + [1] * completion} for e in batches(ids, prompt, completion, 2 * (steps + 1))]
    with tempfile.TemporaryDirectory() as out:
        c = SFTConfig(output_dir=out, per_device_train_batch_size=2, max_steps=steps + 1, logging_strategy="no", save_strategy="no", report_to=[],
                      use_cpu=True, bf16=False, gradient_checkpointing=False, max_length=None, learning_rate=1e-4, completion_only_loss=True,
                      disable_tqdm=True)
        from transformers import AutoTokenizer

        trainer = SFTTrainer(model=hf_model(short), args=c, train_dataset=Dataset.from_list(rows), processing_class=AutoTokenizer.from_pretrained(hf_folder(short)),
                             peft_config=LoraConfig(r=16, lora_alpha=32, target_modules=TARGETS, task_type="CAUSAL_LM"), callbacks=[Clock()])
        trainer.train()
    rates = [2 * (prompt + completion) / (b - a) for a, b in zip(stamps[::2], stamps[1::2])]
    return rates[1:], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
