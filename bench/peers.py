"""The programs that ste is timed against, each set to its best (README.md says how). A peer is made once and asked
again each round; what it returns is tokens per second."""

import atexit
import concurrent.futures
import ctypes
import http.client
import json
import multiprocessing
import pathlib
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "interop"))
from common import hf_folder, hf_model  # noqa: E402
from training import TARGETS, backward, peft_model  # noqa: E402


def openvino_process(path, threads, pipe):
    """Answers (ids, samples, new) with seconds, until the other end is closed."""
    import numpy as np
    import openvino as o
    import openvino_genai as ov

    scheduler = ov.SchedulerConfig()
    scheduler.enable_prefix_caching = True
    scheduler.cache_size = 2
    model = ov.LLMPipeline(str(path), "CPU", scheduler_config=scheduler, INFERENCE_NUM_THREADS=threads)
    pipe.send(None)
    while True:
        try:
            ids, samples, new = pipe.recv()
        except EOFError:
            return
        c = ov.GenerationConfig()
        c.max_new_tokens = c.min_new_tokens = new
        c.ignore_eos = True
        c.do_sample, c.temperature, c.top_p = True, 0.7, 0.9
        c.num_return_sequences = samples
        start = time.perf_counter()
        model.generate(o.Tensor(np.array([ids], dtype=np.int64)), c)
        pipe.send(time.perf_counter() - start)


class OpenVino:
    """OpenVINO GenAI reading the same GGUF, through its continuous batching pipeline with prefix caching. In a process of
    its own: beside llama.cpp, which leaves its own shapes in the AMX tiles, it ends with an illegal instruction."""

    name = "OpenVINO GenAI"

    def __init__(self, path, threads):
        context = multiprocessing.get_context("spawn")
        self.pipe, end = context.Pipe()
        self.process = context.Process(target=openvino_process, args=(path, threads, end), daemon=True)
        self.process.start()
        self.pipe.recv()

    def generate(self, ids, samples, new):
        self.pipe.send((ids, samples, new))
        return self.pipe.recv()

    def round(self, ids, samples, new):
        # The prompt is in its cache after the first call, so that the second is decoding alone.
        first = self.generate(ids, 1, 1)
        return len(ids) / first, samples * new / self.generate(ids, samples, new)

    def settings(self):
        return "continuous batching, prefix caching"


class LlamaServer:
    """llama-server over HTTP: 16 slots, prompt cache, continuous batching, prompts as token ids. Of its settings that
    change its speed the fastest at PROBES (prompts) is taken: flash attention, one KV buffer or one a slot, and how
    samples are asked for: each by a request of its own, 16 in flight, or all of a prompt by one request (n_cmpl), which
    reads the prompt once."""

    name = "llama-server"
    SLOTS = 16

    def __init__(self, program, path, threads, longest, probes, samples, new):
        self.program, self.path, self.threads = str(program), str(path), threads
        self.ctx = -(-(longest + new) // 256) * 256  # a slot's
        self.process = None
        best = None
        atexit.register(self.close)
        for flash in ("on", "off"):
            for unified in (True, False):
                self.start(flash, unified)
                # Requests of their own read every prompt SAMPLES times: they are only tried where n_cmpl was fastest.
                took = self.job(probes, samples, new, True)[0]
                if best is None or took < best[0]:
                    best = took, flash, unified
        _, flash, unified = best
        self.start(flash, unified)
        self.job(probes[:1], samples, 2, True)
        self.together = self.job(probes[1:], samples, new, True)[0] <= self.job(probes[1:], samples, new, False)[0]
        self.shown = (("flash attention" if flash == "on" else "no flash attention") + (", one KV buffer" if unified else ", KV by slot")
                      + (", n_cmpl" if self.together else ", 16 requests at once"))

    def start(self, flash, unified):
        self.close()
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.process = subprocess.Popen(
            [self.program, "-m", self.path, "--host", "127.0.0.1", "--port", str(self.port), "-np", str(self.SLOTS), "-c", str(self.SLOTS * self.ctx),
             "-t", str(self.threads), "-tb", str(self.threads), "-b", "2048", "-ub", "512", "-cb", "-fa", flash,
             "-kvu" if unified else "-no-kvu", "--no-ui", "--log-disable"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL))  # PR_SET_PDEATHSIG: it ends with us, however we end
        end = time.monotonic() + 120
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"llama-server does not start with {self.path}: exit code {self.process.poll()}")
            time.sleep(0.2)

    def ready(self):
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            c.request("GET", "/health")
            return c.getresponse().status == 200
        except OSError:
            return False

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def post(self, body):
        rows = self.ask(body)
        return [r["tokens_predicted"] for r in (rows if isinstance(rows, list) else [rows])]

    def ask(self, body):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=3600)
        c.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
        answer = c.getresponse()
        text = answer.read()
        if answer.status != 200:
            sys.exit(f"llama-server: {answer.status} {text[:300]!r}")
        c.close()
        return json.loads(text)

    def job(self, prompts, samples, new, together=None, stop=None):
        """(seconds, tokens written) for SAMPLES of each of PROMPTS, in order: exactly NEW tokens each, or with STOP at most
        NEW up to the end of the turn or that text."""
        together = self.together if together is None else together
        bodies = []
        for k, ids in enumerate(prompts):
            body = {"prompt": ids, "n_predict": new, "cache_prompt": True, "temperature": 0.7, "top_p": 0.9, "top_k": 40,
                    "samplers": ["top_k", "top_p", "temperature"], "ignore_eos": stop is None, "stop": [stop] if stop else []}
            seed = 1000 * k
            bodies += [dict(body, n_cmpl=samples, seed=seed)] if together else [dict(body, seed=seed + i) for i in range(samples)]
        start = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(2 if together else self.SLOTS) as pool:
            written = [n for counts in pool.map(self.post, bodies) for n in counts]
        took = time.perf_counter() - start
        if len(written) != len(prompts) * samples or (stop is None and set(written) != {new}):
            sys.exit(f"llama-server wrote {sorted(set(written))} tokens, {len(written)} samples: asked for {new} and {len(prompts) * samples}")
        return took, sum(written)

    def choose(self, prompts, labels):
        """(seconds, verdicts): of each prompt the likelier of two tokens, {id: name}, by the log-probabilities that the
        server sends of its one token's likeliest ones; "invalid" where neither is among them. 16 requests in flight."""
        bodies = [{"prompt": ids, "n_predict": 1, "n_probs": 20, "cache_prompt": True, "temperature": 0, "ignore_eos": True} for ids in prompts]
        start = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(self.SLOTS) as pool:
            answers = list(pool.map(self.ask, bodies))
        took = time.perf_counter() - start
        named = []
        for answer in answers:
            top = {t["id"]: t["logprob"] for t in answer["completion_probabilities"][0]["top_logprobs"] if t["id"] in labels}
            named.append(labels[max(top, key=top.get)] if top else "invalid")
        return took, named

    def settings(self):
        return self.shown


def peak_mb():
    """Not getrusage's: that starts at the size of the process that started this one."""
    line = next(line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


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
    return rates[1:], peak_mb()


def trl_steps(short, rows, steps, trainer, config, **settings):
    """Seconds of STEPS steps of a TRL trainer with PEFT, two rows each, after one to warm up."""
    import tempfile

    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer, TrainerCallback

    stamps = []

    class Clock(TrainerCallback):
        def on_step_begin(self, args, state, control, **kw):
            stamps.append(time.perf_counter())

        def on_step_end(self, args, state, control, **kw):
            stamps.append(time.perf_counter())

    tokenizer = AutoTokenizer.from_pretrained(hf_folder(short))
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    with tempfile.TemporaryDirectory() as out:
        c = config(output_dir=out, per_device_train_batch_size=2, max_steps=steps + 1, logging_strategy="no", save_strategy="no", report_to=[],
                   use_cpu=True, gradient_checkpointing=False, max_length=None, learning_rate=1e-4, disable_tqdm=True, **settings)
        trainer(model=hf_model(short), args=c, train_dataset=Dataset.from_list(rows), processing_class=tokenizer, callbacks=[Clock()],
                peft_config=LoraConfig(r=16, lora_alpha=32, target_modules=TARGETS, task_type="CAUSAL_LM")).train()
    return [b - a for a, b in zip(stamps[::2], stamps[1::2])][1:]


def trl(short, ids, prompt, completion, steps, bf16=False):
    """TRL's SFTTrainer, float32 (or bfloat16), two examples a step, loss on the completion."""
    from trl import SFTConfig, SFTTrainer

    rows = [{"input_ids": e, "completion_mask": [0] * prompt + [1] * completion} for e in batches(ids, prompt, completion, 2 * (steps + 1))]
    took = trl_steps(short, rows, steps, SFTTrainer, SFTConfig, bf16=bf16, completion_only_loss=True)
    return [2 * (prompt + completion) / s for s in took], peak_mb()


def preferences(ids, prompt, completion, count):
    """COUNT preferences, each of one prompt and two completions, as `ste export` writes them."""
    return [{"prompt_ids": e[:prompt], "chosen_ids": e[prompt:prompt + completion], "rejected_ids": e[prompt + completion:]}
            for e in batches(ids, prompt, 2 * completion, count)]


def trl_dpo(short, ids, prompt, completion, steps):
    """TRL's DPOTrainer, float32, two preferences a step, the reference the model without its adapter."""
    from trl import DPOConfig, DPOTrainer

    class OnIds(DPOTrainer):
        def _prepare_dataset(self, dataset, *rest):
            return dataset

    took = trl_steps(short, preferences(ids, prompt, completion, 2 * (steps + 1)), steps, OnIds, DPOConfig, bf16=False,
                     loss_type=["sigmoid", "sft"], loss_weights=[1.0, 1.5], beta=0.1)
    return [2 * 2 * (prompt + completion) / s for s in took], peak_mb()
