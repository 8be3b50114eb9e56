#!/usr/bin/env python3
"""seeds.py RUN...: runs of one recipe with different seeds beside each other: seed and last iteration on the held-out
synthetic pairs, of all kinds together and of each kind, with each run's interval, then the median run and the range."""
import json
import os
import statistics
import sys

FIGURES = (("two_order", "two-order accuracy"), ("consistent", "right in both"))


def load(run):
    with open(f"{run}/report.json") as f:
        return json.load(f)


def row_of(rows, kind, iteration):
    for r in rows:
        if r["suite"] == "test" and r["kind"] == kind and r["iteration"] == iteration:
            return r
    return None


def last_iteration(report):
    return max(r["iteration"] for r in report["evaluation"] if r["suite"] == "test")


def short(x, sign=False):
    text = f"{x:+.3f}" if sign else f"{x:.3f}"
    return text.replace("0.", ".", 1)


def table(runs, reports, kind):
    lines, gains = [], {name: [] for name, _ in FIGURES}
    for run, report in zip(runs, reports):
        last = last_iteration(report)
        seed, now = (row_of(report["evaluation"], kind, i) for i in (0, last))
        change = row_of(report["comparison"], kind, last)
        if not seed or not now or not change:
            continue
        text = f"  {os.path.basename(run)[-10:]:<10} {now['pairs']:>4}"
        for name, _ in FIGURES:
            d = change[f"{name}_difference"], change[f"{name}_difference_lo"], change[f"{name}_difference_hi"]
            gains[name].append((d[0], d[1] > 0, seed[name], now[name]))
            text += f"  {short(seed[name])} {short(now[name])} {short(d[0], True)} [{d[1]:+.2f} {d[2]:+.2f}]"
        lines.append(text)
    if not lines:
        return
    print(f"{kind or 'all kinds'}\n  {'run':<10} pairs  two-order accuracy: seed, last,   right in both: seed, last,\n"
          f"  {'':<10}        gain                             gain")
    print("\n".join(lines))
    if len(lines) > 1:
        for name, words in FIGURES:
            g = sorted(gains[name])
            print(f"  {words}: gains {short(g[0][0], True)} to {short(g[-1][0], True)}, median "
                  f"{short(statistics.median(x[0] for x in g), True)} ({short(statistics.median(x[2] for x in g))} to "
                  f"{short(statistics.median(x[3] for x in g))}); clear of 0 in {sum(x[1] for x in g)} of {len(g)}")
    print()


def main():
    runs = [r.rstrip("/") for r in sys.argv[1:]]
    if not runs:
        sys.exit(__doc__)
    try:
        reports = [load(r) for r in runs]
    except OSError as e:
        sys.exit(f"seeds.py: {e}: `ste report RUN` writes it")
    kinds = sorted({r["kind"] for report in reports for r in report["evaluation"] if r["kind"]})
    for kind in [None, *kinds]:
        table(runs, reports, kind)
    seconds = [sum(w["seconds"] for w in r["work"]) for r in reports]
    print(f"time: {min(seconds):.0f} to {max(seconds):.0f} s a run")


main()
