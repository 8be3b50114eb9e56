"""python_verl.py STE: ste.integrations.verl found by verl's own config and called by its reward managers."""
import asyncio
from lib_ste import JUDGE, QUESTIONS, ok
import torch
from omegaconf import OmegaConf
from verl import DataProto
from verl.trainer.ppo.reward import get_custom_reward_fn
import ste
from ste.integrations import chance


class Letters:  # a tokenizer of characters
    pad_token_id = 0

    def decode(self, ids, skip_special_tokens=True):
        return "".join(chr(int(i)) for i in ids if i)


def batch():
    items, width = [], 40
    for prompt, good, bad in QUESTIONS:
        for answer in (good, bad):
            items.append((prompt, answer, good if answer == bad else bad))
    ids = torch.tensor([[ord(c) for c in a.ljust(width, "\0")] for _, a, _ in items])
    prompts = torch.tensor([[ord(c) for c in p.ljust(width, "\0")] for p, _, _ in items])
    mask = torch.cat([(prompts > 0).long(), (ids > 0).long()], 1)
    import numpy as np

    of = lambda values: np.array(values, dtype=object)
    return items, DataProto.from_dict(
        tensors={"prompts": prompts, "responses": ids, "attention_mask": mask},
        non_tensors={"data_source": of(["mine"] * len(items)), "extra_info": of([{"question": p} for p, _, _ in items]),
                     "reward_model": of([{"ground_truth": g} for _, _, g in items])})  # fmt: skip


def config(name):
    return OmegaConf.create({"reward": {"custom_reward_function": {
        "path": "pkg://ste.integrations.verl", "name": name, "reward_kwargs": {"judge": JUDGE}}}})  # fmt: skip


items, data = batch()
with ste.Judge(JUDGE) as judge:
    want = [chance(v) for v in judge.compare_many(items)]

from verl.workers.reward_manager.batch import BatchRewardManager

manager = BatchRewardManager(Letters(), 0, get_custom_reward_fn(config("compute_scores")))
given = manager(data, return_dict=True)
got = given["reward_tensor"].sum(1).tolist()
ok("batch reward manager", max(abs(a - b) for a, b in zip(got, want)) < 1e-6, [round(g, 4) for g in got])
ok("its extra information", len(given["reward_extra_info"]["right_in_both"]) == len(items))

from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager

async def loop():
    manager = NaiveRewardManager(OmegaConf.create({"reward": {}}), Letters(), get_custom_reward_fn(config("compute_score")))
    return await asyncio.gather(*(manager.run_single(data[i : i + 1]) for i in range(len(items))))

results = asyncio.run(loop())
ok("reward loop of newest verl, all at once", [r["reward_score"] for r in results] == want, [round(w, 4) for w in want])
