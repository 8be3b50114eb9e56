"""The clients that RL trainers ask a remote reward with, as their own source has them, before a running `ste serve`:
OpenRLHF's SingleTurnAgentExecutor (/get_reward), slime's async_rm (/remote_rm), verl's RewardLoopWorker (/classify).
Of their imports only packages are stubbed that these paths do not use (ray, deepspeed and the like).

serve_trainers.py URL MODEL.gguf OPENRLHF SLIME VERL   the last three: folders of source, or bare Git directories
MODEL is any with a chat template: its tokenizer is the policy's. The venv has torch, transformers, gguf, aiohttp, httpx,
pylatexenc.
"""

import asyncio
import importlib
import importlib.abc
import importlib.machinery
import json
import pathlib
import subprocess
import sys
import tempfile
import types
import urllib.error
import urllib.request
from unittest import mock

import torch
from transformers import AutoTokenizer

url, model = sys.argv[1:3]
sources = dict(zip(("openrlhf", "slime", "verl"), sys.argv[3:6]))
failed = False
QUESTION = "How do I keep bread fresh?"
GOOD = "Keep it in a closed box at room temperature, and freeze what you will not eat in two days."
BAD = "purple purple purple"


def check(good, what):
    global failed
    failed = failed or not good
    print("ok  " if good else "FAIL", what, flush=True)


class Stub(types.ModuleType):
    """A module of which all can be imported and decorated with."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return mock.MagicMock(name=name)


class Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, *names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if any(name == n or name.startswith(n + ".") for n in self.names):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return Stub(spec.name)

    def exec_module(self, module):
        if module.__name__ == "ray":
            module.remote = lambda cls: cls


def take(name, folder, *paths):
    """PATHS of a source below FOLDER, whose packages are bare: no __init__ of theirs runs but those that were taken."""
    source = sources[name]
    for path in paths:
        to = folder / path
        to.parent.mkdir(parents=True, exist_ok=True)
        if (pathlib.Path(source) / path).exists():
            to.write_bytes((pathlib.Path(source) / path).read_bytes())
        else:
            to.write_bytes(subprocess.run(["git", "--git-dir", source, "show", "HEAD:" + path], check=True,
                                          capture_output=True).stdout)
    sys.path.insert(0, str(folder))


def post(route, body):
    request = urllib.request.Request(url + route, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


path = pathlib.Path(model)
tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
messages = [{"role": "user", "content": QUESTION}]
rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
# What a policy's template adds (a system message) is part of what it was asked.
system = rendered.split("system\n", 1)[1].split("<|im_end|>")[0] if "<|im_start|>system\n" in rendered else None
asked = ([{"role": "system", "content": system}] if system else []) + messages
direct = {a: post("/v1/score", {"messages": asked, "response": a})["score"] for a in (GOOD, BAD)}
if None in direct.values():
    sys.exit("the judge gives no score here: take a larger one, such as qwen2.5-coder-0.5b-instruct")
pair = post("/v1/judge", {"messages": asked, "response_a": GOOD, "response_b": BAD})
win = {"A": 1.0, "B": 0.0, "tie": 0.5}[pair["verdict_two_order"]]


async def openrlhf(folder):
    take("openrlhf", folder, "openrlhf/utils/agent.py", "openrlhf/utils/logging_utils.py")
    for name in ("openrlhf", "openrlhf.utils"):
        bare = types.ModuleType(name)
        bare.__path__ = [str(folder / name.replace(".", "/"))]
        sys.modules[name] = bare
    agent = importlib.import_module("openrlhf.utils.agent")

    class Engine:
        """Says what it is told to."""

        def __init__(self, text):
            self.ids = tokenizer(text + tokenizer.eos_token, add_special_tokens=False)["input_ids"]

        async def generate(self, prompt, params, multi_modal_data=None):
            return types.SimpleNamespace(outputs=[types.SimpleNamespace(token_ids=self.ids, finish_reason="stop", logprobs=None)])

    async def reward(answer, query="", label="", max_length=2048):
        executor = agent.SingleTurnAgentExecutor(url + "/get_reward" + query)
        params = types.SimpleNamespace(max_tokens=512, logprobs=None)
        return await executor.execute(rendered, label, params, max_length, tokenizer, Engine(answer))

    got = await asyncio.gather(*(reward(a) for a in (GOOD, BAD)))
    check([g["reward"] for g in got] == [[direct[GOOD]], [direct[BAD]]], f"OpenRLHF: rewards {[g['reward'] for g in got]} are /v1/score's")
    check(got[0]["scores"] == got[0]["reward"] and got[0]["extra_logs"] == {"invalid": [0]}, "OpenRLHF: scores and extra_logs are numbers")
    experience = torch.tensor([got[0]["reward"]])
    check(experience.numel() == 1 and torch.tensor([got[0]["extra_logs"]["invalid"]]).numel() == 1, "OpenRLHF: they make tensors")
    anchored = await reward(GOOD, "?label=anchor&by=share", BAD)
    check(anchored["reward"] == [win], f"OpenRLHF: against its label, in both orders: {anchored['reward']}")
    prompt_ids = len(tokenizer(rendered, add_special_tokens=False)["input_ids"])
    cut = await reward(GOOD, max_length=512 + prompt_ids - 6)
    check(isinstance((cut["reward"] or [None])[0], float), "OpenRLHF: a prompt whose beginning it cut off has a reward")


async def slime(folder):
    sys.meta_path.append(Stubs("ray"))
    take("slime", folder, "slime/rollout/rm_hub/__init__.py", *("slime/rollout/rm_hub/" + f for f in (
        "deepscaler.py", "f1.py", "gpqa.py", "math_dapo_utils.py", "math_utils.py")),
        "slime/utils/types.py", "slime/utils/misc.py", "slime/utils/http_utils.py")
    hub = importlib.import_module("slime.rollout.rm_hub")
    Sample = importlib.import_module("slime.utils.types").Sample
    args = types.SimpleNamespace(custom_rm_path=None, rm_type="remote_rm", rm_url=url + "/remote_rm", reward_key=None)
    samples = [Sample(prompt=p, response=a + "<|im_end|>", label=BAD) for p in (rendered, asked) for a in (GOOD, BAD)] * 8
    got = await hub.batched_async_rm(args, samples)
    check(got == [direct[GOOD], direct[BAD]] * 16, f"slime: 32 samples at once, rendered prompts and messages: {got[:2]} are /v1/score's")
    args.rm_url += "?label=anchor"
    check(await hub.async_rm(args, samples[0]) == win, "slime: against its label, in both orders")
    samples[0].reward = got[0]
    check(samples[0].get_reward_value(args) == got[0], "slime: a sample's reward is a number")
    await hub._get_shared_session().close()


async def verl(folder):
    sys.meta_path.append(Stubs("omegaconf", "tensordict", "verl.protocol", "verl.single_controller", "verl.trainer",
                               "verl.utils", "verl.experimental.reward_loop.reward_manager",
                               "verl.experimental.reward_loop.reward_model"))
    take("verl", folder, "verl/experimental/reward_loop/reward_loop.py")
    loop = importlib.import_module("verl.experimental.reward_loop.reward_loop")
    worker = loop.RewardLoopWorker.__new__(loop.RewardLoopWorker)
    worker.reward_router_address = url.removeprefix("http://")
    worker.input_tokenizer = worker.reward_model_tokenizer = tokenizer
    worker.config = types.SimpleNamespace(
        custom_reward_function=types.SimpleNamespace(path=None),
        reward_model=types.SimpleNamespace(enable=True, rollout=types.SimpleNamespace(name="vllm"),
                                           model=types.SimpleNamespace(path="judge")))

    def item(answer):
        ids = torch.tensor(tokenizer(answer + tokenizer.eos_token, add_special_tokens=False)["input_ids"])
        return [types.SimpleNamespace(non_tensor_batch={"raw_prompt": asked},
                                      batch={"responses": ids, "attention_mask": torch.ones_like(ids)})]

    got = [await worker.compute_score(item(a)) for a in (GOOD, BAD)]
    check([g["reward_score"] for g in got] == [direct[GOOD], direct[BAD]], f"verl: {got} are /v1/score's")


with tempfile.TemporaryDirectory() as folder:
    for name, client in (("openrlhf", openrlhf), ("slime", slime), ("verl", verl)):
        if name in sources:
            asyncio.run(client(pathlib.Path(folder) / name))
sys.exit(failed)
