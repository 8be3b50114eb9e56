#!/usr/bin/env python3
"""Bradley-Terry ratings of `ste rank` on drawn results against those of the `choix` package. A tie is half a win for each:
choix is given every win twice and every tie once each way, which has the same maximum."""

import json
import math
import random

from common import arguments, figure, finish, scratch, ste


def results(rng, n_models, n):
    strength = [rng.gauss(0, 1) for _ in range(n_models)]
    for k in range(n):
        i, j = rng.sample(range(n_models), 2)
        p = 1 / (1 + math.exp(strength[j] - strength[i]))
        yield i, j, "tie" if rng.random() < 0.2 else "model_a" if rng.random() < p else "model_b", k


def main():
    import choix
    import numpy as np

    a = arguments(__doc__, sets=20)
    d = scratch("rating")
    worst = 0.0
    for s in range(a.sets):
        rng = random.Random(s)
        n_models = rng.choice([2, 3, 5, 8, 20])
        rows = list(results(rng, n_models, 60 * n_models))
        (d / "results.jsonl").write_text("".join(json.dumps({"model_a": f"m{i}", "model_b": f"m{j}", "winner": w, "question_id": k}) + "\n"
                                                 for i, j, w, k in rows))
        data = []
        for i, j, w, _ in rows:
            data += [(i, j), (j, i)] if w == "tie" else [(i, j)] * 2 if w == "model_a" else [(j, i)] * 2
        theirs = choix.ilsr_pairwise(n_models, data, max_iter=1000, tol=1e-12)
        theirs = theirs - np.mean(theirs)
        ours = {m["model"]: (m["rating"] - 1000) * math.log(10) / 400 for m in json.loads(ste(a, "rank", "--from", d / "results.jsonl", "--json", "-"))["models"]}
        worst = max([worst] + [abs(ours[f"m{i}"] - theirs[i]) for i in range(n_models)])
    figure("Bradley-Terry ratings, largest difference from choix", worst, "<", 1e-6, f"{a.sets} sets of results")


if __name__ == "__main__":
    main()
    finish()
