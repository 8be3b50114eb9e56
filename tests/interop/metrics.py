#!/usr/bin/env python3
"""Computes the figures of `ste eval` again, from its outcomes, with code of its own.

    ste eval --judge J --data F... --seed 0 --json eval.json --outcomes outcomes.jsonl
    python3 tests/interop/metrics.py eval.json outcomes.jsonl 0

Needs numpy. With scipy, the exact McNemar test is checked as well (second form):

    python3 tests/interop/metrics.py --compare compare.json first.jsonl second.jsonl 0

Exit code 1 and a line for each figure that differs by more than 1e-9.
"""
import json
import sys

import numpy as np

DRAWS = 2000


def philox(seed, stream, blocks):
    """Philox4x32-10 (Salmon et al. 2011) with counter (block, block >> 32, stream, 0)."""
    m0, m1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
    low = np.uint64(0xFFFFFFFF)
    c = [blocks & low, blocks >> np.uint64(32), np.full_like(blocks, stream), np.zeros_like(blocks)]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = m0 * c[0], m1 * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & low,
             (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, axis=1).reshape(-1)


def indices(seed, stream, n, count):
    """COUNT numbers below N, without the bias of a plain remainder."""
    limit = (2**32 - n) % n
    out = np.empty(0, np.uint64)
    start = 0
    while len(out) < count:
        more = count // 4 + 64
        u = philox(seed, stream, np.arange(start, start + more, dtype=np.uint64))
        start += more
        out = np.concatenate([out, u[u >= limit]])
    return (out[:count] % np.uint64(n)).astype(np.int64)


def by_prompt(keys, values):
    """Pairs and sums a prompt, in the order in which prompts first appear."""
    order = {}
    for k in keys:
        order.setdefault(k, len(order))
    place = np.array([order[k] for k in keys])
    pairs = np.bincount(place, minlength=len(order)).astype(float)
    sums = np.stack([np.bincount(place, weights=v, minlength=len(order)) for v in values.T], axis=1)
    return pairs, sums


def bounds(suites, seed):
    """95 % percentile intervals of the mean over suites."""
    return np.percentile(drawn(suites, seed), [2.5, 97.5], axis=0)


def drawn(suites, seed):
    """The mean over suites of each draw, (draws, figures); SUITES: (keys, values (n, figures))."""
    means = []
    for s, (keys, values) in enumerate(suites):
        if not keys:
            continue
        pairs, sums = by_prompt(keys, values)
        pick = indices(seed, s, len(pairs), DRAWS * len(pairs)).reshape(DRAWS, len(pairs))
        means.append(sums[pick].sum(1) / pairs[pick].sum(1)[:, None])
    return np.mean(means, axis=0)


def right(row, order):
    return row["state"] == "judged" and row[order]["verdict"] == {"ab": "A", "ba": "B"}[order]


def lead(judgment):
    """Votes for the answer shown first less those for the other, of the valid ones."""
    a, b, _ = judgment.get("votes", [judgment["verdict"] == "A", judgment["verdict"] == "B", 0])
    return (int(a) - int(b)) / (int(a) + int(b))


def margin(row):
    """In favour of the chosen answer, the mean of both orders; nan where a verdict is invalid."""
    ab, ba = row.get("ab"), row.get("ba")
    if row["state"] != "judged" or "invalid" in (ab["verdict"], ba["verdict"]):
        return np.nan
    if None in (ab["logprob_a"], ab["logprob_b"], ba["logprob_a"], ba["logprob_b"]):
        return (lead(ab) - lead(ba)) / 2
    return (ab["logprob_a"] - ab["logprob_b"] + ba["logprob_b"] - ba["logprob_a"]) / 2


def curve(margins):
    """(pairs, accuracy) of the quarters of largest margin, from all four to one."""
    margins = np.array(margins)
    order = np.argsort(np.where(np.isnan(margins), 1, -np.abs(margins)), kind="stable")
    counts = [-(-len(margins) * q // 4) for q in (4, 3, 2, 1)]
    return [(n, (margins[order[:n]] > 0).mean()) for n in counts]


def read(path):
    suites = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            row = json.loads(line)
            suites.setdefault(row["suite"], []).append(row)
    return suites


def figures(rows):
    rows = [r for r in rows if r["state"] != "tied"]
    ab, ba = (np.array([right(r, o) for r in rows], float) for o in ("ab", "ba"))
    verdicts = ["invalid" if r["state"] == "skipped" else r[o]["verdict"] for r in rows for o in ("ab", "ba")]
    valid = [v for v in verdicts if v != "invalid"]
    margins = np.array([margin(r) for r in rows])
    two = (margins > 0).astype(float)
    out = {"pairs": len(rows), "two_order": two.mean(), "undecided": int((margins == 0).sum()), "invalid": len(verdicts) - len(valid), "accuracy": (ab.mean() + ba.mean()) / 2,
           "accuracy_ab": ab.mean(), "accuracy_ba": ba.mean(), "consistent": (ab * ba).mean(),
           "first_position": np.mean([v == "A" for v in valid]) if valid else None}
    return out, ([r["prompt_key"] for r in rows], np.stack([(ab + ba) / 2, ab * ba, two], axis=1)), margins


def add_bounds(out, suites, seed):
    lo, hi = bounds(suites, seed)
    for i, name in enumerate(("accuracy", "consistent", "two_order")):
        out[name + "_lo"], out[name + "_hi"] = lo[i], hi[i]


def differences(name, want, got):
    bad = 0
    for key, value in want.items():
        there = got[key]
        if (value is None) != (there is None) or (value is not None and abs(value - there) > 1e-9):
            print(f"{name}.{key}: ste says {there}, computed again {value}")
            bad += 1
    return bad


def curve_differences(name, margins, got):
    bad = 0
    for (pairs, accuracy), there in zip(curve(margins), got["coverage_curve"], strict=True):
        bad += differences(f"{name}.curve", {"pairs": pairs, "accuracy": accuracy}, there)
    return bad


def gains(t1, t2, r1, r2):
    """What of the difference in right-in-both comes from telling better answers, and what from losing position bias."""
    k1, k2 = (np.divide(r, t, out=np.zeros_like(r), where=t > 0) for r, t in ((r1, t1), (r2, t2)))
    return (t2 - t1) * (k1 + k2) / 2, (k2 - k1) * (t1 + t2) / 2


def check_eval(eval_path, outcomes_path, seed):
    with open(eval_path, encoding="utf-8") as f:
        report = json.load(f)
    suites = read(outcomes_path)
    bad, all_figures, all_values, all_margins = 0, [], [], []
    for got in report["subsets"]:
        want, values, margins = figures(suites[got["name"]])
        all_margins.extend(margins)
        bad += curve_differences(got["name"], margins, got)
        all_figures.append(dict(want))
        all_values.append(values)
        add_bounds(want, [values], seed)
        bad += differences(got["name"], want, got)
    overall = {k: sum(f[k] for f in all_figures) for k in ("pairs", "invalid", "undecided")}
    for key in ("accuracy", "accuracy_ab", "accuracy_ba", "consistent", "two_order", "first_position"):
        there = [f[key] for f in all_figures if f[key] is not None]
        overall[key] = float(np.mean(there)) if there else None
    add_bounds(overall, all_values, seed)
    bad += differences("overall", overall, report["overall"])
    bad += curve_differences("overall", all_margins, report["overall"])
    print(f"{len(all_figures)} suites and overall computed again: {bad} differences")
    return bad


def check_compare(compare_path, first_path, second_path, seed):
    from scipy.stats import binomtest
    with open(compare_path, encoding="utf-8") as f:
        report = json.load(f)
    first, second = read(first_path), read(second_path)
    bad = 0
    sets = [(s["name"], first[s["name"]], second[s["name"]], s) for s in report["subsets"]]
    sets.append(("all pairs", sum((s[1] for s in sets), []), sum((s[2] for s in sets), []), report["all"]))
    for name, one, two, got in sets:
        rows = [(a, b) for a, b in zip(one, two) if a["state"] != "tied"]
        r = np.array([[[right(x, o) for o in ("ab", "ba")] for x in pair] for pair in rows], float)
        both = r.prod(2)
        two = np.array([[margin(x) > 0 for x in pair] for pair in rows], float)
        values = np.concatenate([r.mean(2), both, two], axis=1)
        draws = drawn([([a["prompt_key"] for a, _ in rows], values)], seed)
        want = {"pairs": len(rows)}
        for kind, first_is, second_is, p in (("", both[:, 0], both[:, 1], "mcnemar_p"),
                                             ("_two_order", two[:, 0], two[:, 1], "two_order_p")):
            b, c = int((first_is > second_is).sum()), int((first_is < second_is).sum())
            want |= {"only_first" + kind: b, "only_second" + kind: c,
                     p: binomtest(b, b + c, 0.5).pvalue if b + c else 1.0}
        for key, at in (("accuracy_difference", 0), ("consistent_difference", 2), ("two_order_difference", 4)):
            want[key] = values[:, at + 1].mean() - values[:, at].mean()
            want[key + "_lo"], want[key + "_hi"] = np.percentile(draws[:, at + 1] - draws[:, at], [2.5, 97.5])
        mean = values.mean(0, keepdims=True)
        for i, key in enumerate(("gain_telling", "gain_position")):
            want[key] = gains(mean[:, 4], mean[:, 5], mean[:, 2], mean[:, 3])[i][0]
            spread = gains(draws[:, 4], draws[:, 5], draws[:, 2], draws[:, 3])[i]
            want[key + "_lo"], want[key + "_hi"] = np.percentile(spread, [2.5, 97.5])
        bad += differences(name, want, got)
    print(f"{len(sets)} comparisons computed again: {bad} differences")
    return bad


if __name__ == "__main__":
    args = sys.argv[1:]
    if args and args[0] == "--compare" and len(args) == 5:
        sys.exit(check_compare(args[1], args[2], args[3], int(args[4])) > 0)
    if len(args) != 3:
        sys.exit(__doc__)
    sys.exit(check_eval(args[0], args[1], int(args[2])) > 0)
