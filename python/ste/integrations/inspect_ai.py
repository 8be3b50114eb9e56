"""A scorer for inspect_ai: the answer against the sample's target, in both orders::

    Task(dataset=..., solver=generate(), scorer=ste.integrations.inspect_ai.better("runs/mine"))
"""

from __future__ import annotations

from typing import Any

from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import TaskState

from ..judge import Judge
from . import chance, opened, points, text_of

_ROLES = ("system", "user", "assistant")


def _asked(state: TaskState) -> Any:
    if isinstance(state.input, str):
        return state.input
    return [{"role": m.role, "content": m.text} for m in state.input if m.role in _ROLES]


@scorer(metrics=[mean(), stderr()], name="ste")
def better(judge: str | Judge) -> Scorer:
    """1 where the answer is better than the target in both orders, 0.5 for a tie (the orders disagree), 0 else. The
    verdict of each order, the margin and the chance that the answer is better are the score's metadata."""
    j = opened(judge)

    async def score(state: TaskState, target: Target) -> Score:
        answer = state.output.completion
        verdict = await j.acompare(_asked(state), text_of(answer), target.text)
        kept = ("verdict", "reason", "verdict_ab", "verdict_ba", "verdict_two_order", "margin")
        return Score(
            value=points(verdict),
            answer=answer,
            explanation=verdict["reason"] or verdict["ab"].get("reasoning") or None,
            metadata={**{key: verdict.get(key) for key in kept}, "chance": chance(verdict)},
        )

    return score
