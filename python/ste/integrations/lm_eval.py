"""A metric for lm-eval's tasks: how often the model's answer is better than the reference. A file beside the task's::

    from ste.integrations.lm_eval import against_reference
    process_results, ste_win, ste_chance = against_reference("runs/mine", prompt="question", reference="answer")

and in the task's YAML::

    process_results: !function judging.process_results
    metric_list:
      - {metric: ste_win, aggregation: !function judging.ste_win, higher_is_better: true}
      - {metric: ste_chance, aggregation: !function judging.ste_chance, higher_is_better: true}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..judge import Verdict
from . import chance, opened, points, text_of

_Item = tuple[Any, str, str]


def against_reference(
    judge: str, prompt: str = "question", reference: str = "answer"
) -> tuple[Callable[..., dict[str, _Item]], Callable[..., float], Callable[..., float]]:
    """PROMPT and REFERENCE name fields of a document. All answers are judged in one call when they are aggregated, once
    for both metrics: the points of both orders (a tie is half, invalid nothing), and the mean chance of the answer."""
    judged: dict[tuple[_Item, ...], list[Verdict]] = {}

    def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, _Item]:
        item = (doc[prompt], text_of(results[0]), str(doc[reference]))
        return {"ste_win": item, "ste_chance": item}

    def verdicts(items: Sequence[_Item]) -> list[Verdict]:
        key = tuple(map(tuple, items))
        if key not in judged:
            judged[key] = opened(judge).compare_many(items)
        return judged[key]

    def ste_win(items: Sequence[_Item]) -> float:
        return sum(map(points, verdicts(items))) / len(items)

    def ste_chance(items: Sequence[_Item]) -> float:
        return sum(chance(v) or 0.0 for v in verdicts(items)) / len(items)

    return process_results, ste_win, ste_chance
