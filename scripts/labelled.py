#!/usr/bin/env python3
"""labelled.py PANDALM AUTOJ [EVALUATION...]: pairs that people have labelled, as `pair.labelled` reads them, from
data/testset-v1.json of WeOpenML/PandaLM (Apache-2.0; those on which its three annotators agree) and
data/test/testdata_pairwise.jsonl of GAIR-NLP/auto-j (no ties, at most 3,600 characters). Prompts that stand in the
EVALUATION files are left out. Writes pandalm.jsonl and auto-j.jsonl here."""

import json
import re
import sys

LONGEST = 3600


def lines(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def folded(text):
    return re.sub(r"\W+", " ", text.lower()).strip()


def asked(row):
    """The texts of an evaluation row's prompt."""
    return [row["prompt"]] if "prompt" in row else [m["content"] for m in row["messages"] if m["role"] == "user"]


def pandalm(path):
    with open(path, encoding="utf-8") as f:
        rows = json.load(f)
    for r in rows:
        votes = {r["annotator1"], r["annotator2"], r["annotator3"]}
        texts = [r[k] for k in ("instruction", "input", "response1", "response2")]
        if votes in ({1}, {2}) and all(isinstance(t, str) for t in texts):
            answers = texts[2:] if votes == {1} else texts[:1:-1]
            yield [texts[0]], texts[0] + ("\n\n" + texts[1] if texts[1] else ""), *answers


def auto_j(path):
    for r in lines(path):
        answers = [r["response 1"].strip(), r["response 2"].strip()]
        if r["label"] in (0, 1) and sum(map(len, answers)) + len(r["prompt"]) < LONGEST:
            yield [], r["prompt"].strip(), *(answers if r["label"] == 0 else answers[::-1])


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    known = {folded(text) for path in sys.argv[3:] for row in lines(path) for text in asked(row)}
    for name, rows in (("pandalm", pandalm(sys.argv[1])), ("auto-j", auto_j(sys.argv[2]))):
        written = left_out = 0
        with open(name + ".jsonl", "w", encoding="utf-8") as out:
            for parts, prompt, chosen, rejected in rows:
                if not chosen.strip() or not rejected.strip():
                    continue
                if any(folded(text) in known for text in [*parts, prompt]):
                    left_out += 1
                    continue
                out.write(json.dumps({"prompt": prompt, "chosen": chosen, "rejected": rejected, "source": name}) + "\n")
                written += 1
        print(f"{name}.jsonl: {written} pairs, {left_out} left out as prompts of the evaluation files")


if __name__ == "__main__":
    main()
