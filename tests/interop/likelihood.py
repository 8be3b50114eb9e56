"""Likelihoods of given answers: `ste eval --score likelihood` must give each pair the difference of scores that
transformers gives it in float32 on the same dequantized weights, behind the prompt alone and against an empty one."""

import json

from common import arguments, chat_ids, figure, finish, gguf_path, hf_model, judge_pairs, published_tokenizer, scratch, ste, text_ids


def check(a, short):
    import torch

    folder = scratch("likelihood-" + short)
    pairs = judge_pairs(a, short, a.pairs)
    data, outcomes = folder / "pairs.jsonl", folder / "outcomes.jsonl"
    data.write_text("".join(json.dumps({"prompt": p, "chosen": c, "rejected": r}) + "\n" for _, p, c, r in pairs))
    model = hf_model(short)
    end = published_tokenizer(short).token_to_id("<|im_end|>")

    def logprobs(prompt, answer):
        """Of the answer's tokens and of the end of the turn."""
        before, given = chat_ids(short, [{"role": "user", "content": prompt}]), text_ids(short, answer) + [end]
        with torch.no_grad():
            logits = model(torch.tensor([before + given])).logits[0, len(before) - 1:-1].double()
        return logits.log_softmax(1).gather(1, torch.tensor(given)[:, None])[:, 0].tolist()

    def score(rule, prompt, answer):
        lp = logprobs(prompt, answer)
        if rule != "plain-sum":
            lp = [x - y for x, y in zip(lp, logprobs("", answer))]
        tokens = len(lp) - 1
        return sum(lp) if rule == "plain-sum" else sum(lp[:-1]) / (tokens if rule == "token" else tokens**0.25)

    for rule, flags in ("even", []), ("token", []), ("plain-sum", ["--end-of-turn"]):
        ste(a, "eval", "--judge", gguf_path(short), "--score", "likelihood", "--normalise", rule, *flags, "--no-cache", "--data", data,
            "--activations", "f32", "--outcomes", outcomes)
        ab = [json.loads(line)["ab"] for line in outcomes.read_text().splitlines()]
        ours = [o["logprob_a"] - o["logprob_b"] for o in ab]
        theirs = [score(rule, p, c) - score(rule, p, r) for _, p, c, r in pairs]
        size = max(abs(t) for t in theirs)
        figure(f"{short}: {rule}, largest difference of scores", size, ">=", 0.01, f"{len(theirs)} pairs")
        figure(f"{short}: {rule}, error relative to the largest", max(abs(o - t) for o, t in zip(ours, theirs)) / size, "<=", 2e-3)


def main():
    a = arguments(__doc__, pairs=12)
    for short in a.model:
        check(a, short)
    finish()


main()
