"""python_trl.py STE: ste.integrations.trl as the reward function of TRL's GRPOTrainer, two steps of a tiny random model;
rewards are what the judge says when it is asked apart."""
import tempfile
from lib_ste import JUDGE, QUESTIONS, ok
import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer
import ste
from ste.integrations import chance, text_of
from ste.integrations.trl import reward, scores

alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
vocab = {t: i for i, t in enumerate(["<pad>", "<eos>", *alphabet])}
raw = Tokenizer(models.BPE(vocab, []))
raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>")
tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant: "
torch.manual_seed(1)
model = LlamaForCausalLM(LlamaConfig(vocab_size=len(vocab), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                                     num_attention_heads=2, num_key_value_heads=2, pad_token_id=0, eos_token_id=1))  # fmt: skip
judge = ste.Judge(JUDGE, cache=False)
seen = []


def noted(function):
    def ste_noted(prompts, completions, **columns):
        got = function(prompts, completions, **columns)
        seen.append((function, list(prompts), list(completions), columns, got))
        return got

    return ste_noted


functions = [noted(reward(judge)), noted(reward(judge, reference="gold")), noted(scores(judge))]
for messages in (False, True):
    data = Dataset.from_list([{"prompt": [{"role": "user", "content": q}] if messages else q, "gold": a} for q, a, _ in QUESTIONS])
    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(folder, max_steps=2, per_device_train_batch_size=4, num_generations=4, max_completion_length=12,
                            use_cpu=True, bf16=False, report_to=[], logging_steps=1, save_strategy="no", beta=0.0, seed=3)  # fmt: skip
        trainer = GRPOTrainer(model, functions, config, data, processing_class=tokenizer)
        trainer.train()
        logged = [r for r in trainer.state.log_history if "reward" in r]
    ok("two steps were made", trainer.state.global_step == 2 and len(logged) == 2, f"messages: {messages}")
    ok("rewards were logged", all(0 <= r["reward"] <= 3 for r in logged), [round(r["reward"], 4) for r in logged])
ok("each function was asked at each step", len(seen) == 12)
for function, prompts, completions, columns, got in seen:
    ok("a reward each, from 0 to 1", len(got) == len(completions) and all(r is None or 0 <= r <= 1 for r in got))
    text = list(map(text_of, completions))
    if function.__name__ == "ste_score":
        want = [None if s is None else (s - 1) / 9 for s in (judge.score(p, t)["score"] for p, t in zip(prompts, text))]
    elif function is seen[1][0]:
        want = [chance(judge.compare(p, t, g)) for p, t, g in zip(prompts, text, columns["gold"])]
    else:
        continue
    ok("rewards are the judge's", got == want, [r and round(r, 4) for r in got])
best = reward(judge)(["What is 2 + 2?"] * 3, ["4", "2 + 2 is 4.", "Bananas bananas bananas"])
ok("of a group they sum to half of its size", abs(sum(best) - 1.5) < 1e-9, [round(r, 4) for r in best])
