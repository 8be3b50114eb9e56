"""python_distilabel.py STE: ste.integrations.distilabel as a step of a real pipeline, which runs in processes of its own."""
import tempfile
from lib_ste import JUDGE, QUESTIONS, ok
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
import ste
from ste.integrations.distilabel import SteJudge

if __name__ == "__main__":
    rows = [{"instruction": q, "generations": [good, bad]} for q, good, bad in QUESTIONS]
    with tempfile.TemporaryDirectory() as cache:
        with Pipeline(name="judged", cache_dir=cache) as pipeline:
            LoadDataFromDicts(data=rows, batch_size=2) >> SteJudge(judge=JUDGE, input_batch_size=2)
        got = list(pipeline.run(use_cache=False)["default"]["train"])
    ok("all rows came", len(got) == len(rows))
    with ste.Judge(JUDGE) as judge:
        for row in got:
            a, b = row["generations"]
            v = judge.compare(row["instruction"], a, b)
            best = {"A": (a, b), "B": (b, a)}.get(v["verdict"], (None, None))
            ok("verdict, margin, chosen and rejected", (row["verdict"], row["margin"], row["chosen"], row["rejected"])
               == (v["verdict"], v["margin"], *best), f"{row['verdict']}, {row['margin']:+.3f}")  # fmt: skip
