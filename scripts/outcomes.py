#!/usr/bin/env python3
"""outcomes.py [--group NAME=FILE,FILE...] BASE.jsonl JUDGE.jsonl...: judges on the same labelled pairs (files of `ste eval
--outcomes`): BASE, such as the seed, against each JUDGE and, where there are several (runs that differ in their seed), against
their mean. In all, by group of files and by file: two-order accuracy and right in both orders, with 95 % intervals by
resampling prompts. Asks no model."""
import argparse
import json
import os
import random
import sys

DRAWS = 4000
FIGURES = (("two-order accuracy", lambda p: p[1]), ("right in both orders", lambda p: p[2]))


def read(path):
    """{(file, pair): (prompt, two-order right, right in both)}"""
    out = {}
    with open(path) as f:
        for line in f:
            o = json.loads(line)
            if o["state"] != "judged":
                continue
            # Log-odds of the chosen answer: it is A in the order ab, B in the order ba.
            margin = both = None
            sides = [o[k] for k in ("ab", "ba")]
            if all(isinstance(s["logprob_a"], (int, float)) for s in sides):
                margin = (sides[0]["logprob_a"] - sides[0]["logprob_b"] + sides[1]["logprob_b"] - sides[1]["logprob_a"])
            both = sides[0]["verdict"] == "A" and sides[1]["verdict"] == "B"
            out[o["suite"], o["id"]] = (o["prompt_key"], float(margin is not None and margin > 0), float(both))
    return out


def interval(rows):
    """Mean of VALUE over rows (prompt, value), with its interval; prompts are drawn."""
    by_prompt = {}
    for prompt, value in rows:
        s = by_prompt.setdefault(prompt, [0.0, 0])
        s[0] += value
        s[1] += 1
    groups = list(by_prompt.values())
    rng = random.Random(0)
    means = []
    for _ in range(DRAWS):
        drawn = rng.choices(groups, k=len(groups))
        means.append(sum(g[0] for g in drawn) / sum(g[1] for g in drawn))
    means.sort()
    return sum(v for _, v in rows) / len(rows), means[int(0.025 * DRAWS)], means[int(0.975 * DRAWS)]


def line(name, base, judges, keys):
    text = f"{name:<22} {len(keys):>5}"
    for _, figure in FIGURES:
        rows = [(base[k][0], figure(base[k]), sum(figure(j[k]) for j in judges) / len(judges)) for k in keys]
        was, now = (sum(r[i] for r in rows) / len(rows) for i in (1, 2))
        gain, lo, hi = interval([(r[0], r[2] - r[1]) for r in rows])
        text += f"  {was:.3f} {now:.3f} {gain:+.3f} [{lo:+.3f} {hi:+.3f}]"
    print(text)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--group", action="append", default=[], metavar="NAME=FILE,FILE", help="files to take as one, by their names")
    p.add_argument("base")
    p.add_argument("judges", nargs="+")
    a = p.parse_args()
    base, judges = read(a.base), [read(path) for path in a.judges]
    keys = [k for k in base if all(k in j for j in judges)]
    if len(keys) < len(base):
        print(f"{len(base) - len(keys)} pairs are not in every file: left out", file=sys.stderr)
    print(f"{'':<22} pairs  two-order: {os.path.basename(a.base)[:12]:<12}, judge, gain  right in both")
    for path, j in zip(a.judges, judges):
        line(os.path.basename(path)[:22], base, [j], keys)
    if len(judges) > 1:
        line(f"mean of {len(judges)}", base, judges, keys)
    for group in a.group:
        name, _, files = group.partition("=")
        chosen = [k for k in keys if k[0] in files.split(",")]
        if not chosen:
            sys.exit(f"--group {group}: no pair is of these files")
        line(name[:22], base, judges, chosen)
    print("by file" + (", mean of all" if len(judges) > 1 else ""))
    for file in sorted({k[0] for k in keys}):
        line(file, base, judges, [k for k in keys if k[0] == file])


main()
