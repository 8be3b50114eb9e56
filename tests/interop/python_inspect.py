"""python_inspect.py STE: ste.integrations.inspect_ai in a real evaluation of inspect_ai, by its model mockllm."""
import tempfile
from lib_ste import JUDGE, QUESTIONS, ok
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser, ModelOutput, ModelUsage, get_model
from inspect_ai.solver import generate
import ste
from ste.integrations import points
from ste.integrations.inspect_ai import better

samples = [Sample(input=q if i % 2 else [ChatMessageUser(content=q)], target=bad, id=i) for i, (q, _, bad) in enumerate(QUESTIONS)]
answers = [ModelOutput.from_content("mockllm/model", good) for _, good, _ in QUESTIONS]
for answer in answers:
    answer.usage = ModelUsage(input_tokens=1, output_tokens=1)  # or it fetches a tokenizer to count them
model = get_model("mockllm/model", custom_outputs=answers)
with tempfile.TemporaryDirectory() as logs:
    log = eval(Task(dataset=samples, solver=generate(), scorer=better(JUDGE)), model=model, log_dir=logs, display="none",
               max_samples=1)[0]  # fmt: skip
    samples = log.samples or []  # read while the log is there
ok("the evaluation ended", log.status == "success", str(log.error)[:500])
with ste.Judge(JUDGE) as judge:
    want = [judge.compare(*row) for row in QUESTIONS]
by_id = {s.id: s.scores["ste"] for s in samples}
for i, verdict in enumerate(want):
    s = by_id[i]
    ok("score and both orders are the judge's",
       s.value == points(verdict) and s.metadata["margin"] == verdict["margin"]
       and (s.metadata["verdict_ab"], s.metadata["verdict_ba"]) == (verdict["verdict_ab"], verdict["verdict_ba"]),
       f"{s.metadata['verdict']}, margin {s.metadata['margin']:+.3f}")  # fmt: skip
metrics = {k: m.value for k, m in log.results.scores[0].metrics.items()}
ok("their mean", abs(metrics["mean"] - sum(map(points, want)) / len(want)) < 1e-9, metrics)
