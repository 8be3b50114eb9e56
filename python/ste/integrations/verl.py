"""verl's custom reward function. In its config::

    reward.custom_reward_function:
      path: pkg://ste.integrations.verl
      name: compute_score            # or compute_scores, for the batch reward manager
      reward_kwargs: {judge: runs/mine}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..judge import Pair, Verdict
from . import chance, opened, text_of


def _pair(solution: str, ground_truth: str, extra_info: dict[str, Any] | None) -> Pair:
    info = extra_info or {}
    for key in ("prompt", "question", "raw_prompt"):
        if info.get(key) is not None:
            return (info[key], text_of(solution), ground_truth)
    raise ValueError("extra_info has none of prompt, question and raw_prompt: the judge must see what was asked")


def _reward(verdict: Verdict) -> dict[str, Any]:
    p = chance(verdict)
    return {"score": 0.0 if p is None else p, "valid": p is not None, "right_in_both": verdict["verdict"] == "A"}


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: dict[str, Any] | None = None,
    *,
    judge: str,
    **kwargs: Any,
) -> dict[str, Any]:
    """The chance, 0 to 1, that the solution is better than the reference answer GROUND_TRUTH. What verl asks at one time
    is judged in one call."""
    row = _pair(solution_str, ground_truth, extra_info)
    return _reward(await opened(judge).acompare(*row))  # type: ignore[misc]


def compute_scores(
    data_sources: Sequence[str],
    solution_strs: Sequence[str],
    ground_truths: Sequence[str],
    extra_infos: Sequence[dict[str, Any]],
    *,
    judge: str,
    **kwargs: Any,
) -> list[dict[str, Any]]:
    """The same of a whole batch."""
    rows = [_pair(*row) for row in zip(solution_strs, ground_truths, extra_infos)]
    return [_reward(v) for v in opened(judge).compare_many(rows)]
