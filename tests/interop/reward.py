"""A reward model that ste trained, in PEFT and transformers: our folder loaded as a model for sequence classification
must give each pair the difference of scores that `ste eval` gives it, and an adapter that does nothing would not."""

import json
import math

from common import THREADS, arguments, chat_ids, figure, finish, gguf_path, hf_folder, judge_pairs, published_tokenizer, scratch, ste, text_ids


def difference(logprob):
    """Of the scores, from log sigmoid(difference)."""
    return -math.log(math.expm1(-logprob)) if logprob < -1e-12 else math.inf


def check(a, short):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    torch.set_num_threads(THREADS)
    folder = scratch("reward-" + short)
    pairs = judge_pairs(a, short, 24)
    data, held = folder / "pairs.jsonl", folder / "held.jsonl"
    write = lambda path, some: path.write_text("".join(json.dumps({"prompt": p, "chosen": c, "rejected": r}) + "\n" for _, p, c, r in some))  # noqa: E731
    write(data, pairs[:16])
    write(held, pairs[16:])
    ste(a, "train-rm", "--model", gguf_path(short), "--in", data, "--out", folder / "rm", "--steps", a.steps, "--batch", 4, "--lr", 1e-3, "--schedule", "constant", "--warmup", 0, "--activations", "f32")
    ste(a, "eval", "--judge", folder / "rm", "--data", held, "--activations", "f32", "--outcomes", folder / "outcomes.jsonl")
    ours = [difference(json.loads(line)["ab"]["logprob_a"]) for line in (folder / "outcomes.jsonl").read_text().splitlines()]

    base = AutoModelForSequenceClassification.from_pretrained(hf_folder(short), num_labels=1, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, folder / "rm")
    model.eval()
    end = published_tokenizer(short).token_to_id("<|im_end|>")
    model.config.pad_token_id = end + 1  # one text at a time: nothing is padded

    def score(prompt, answer):
        ids = chat_ids(short, [{"role": "user", "content": prompt}]) + text_ids(short, answer) + [end]
        with torch.no_grad():
            return model(torch.tensor([ids])).logits[0, 0].item()

    theirs = [score(p, c) - score(p, r) for _, p, c, r in pairs[16:]]
    size = max(abs(t) for t in theirs)
    figure(f"{short}: largest difference of scores", size, ">=", 0.01, f"{len(theirs)} pairs")
    figure(f"{short}: scores' differences, error relative to the largest", max(abs(o - t) for o, t in zip(ours, theirs)) / size, "<=", 2e-3)


def main():
    a = arguments(__doc__, steps=6)
    for short in a.model:
        check(a, short)
    finish()


main()
