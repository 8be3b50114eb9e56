"""Reward functions for TRL's trainers (GRPO, RLOO and the like)::

    trainer = GRPOTrainer(model, reward_funcs=ste.integrations.trl.reward("runs/mine"), ...)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from ..judge import Judge, Prompt
from . import chance, opened, text_of

Reward = Callable[..., "list[float | None]"]


def reward(judge: str | Judge, reference: str | None = None) -> Reward:
    """Each completion against a better or worse one, both orders, all in one call of the judge; 0 to 1.

    REFERENCE: the column of the data set with an answer to beat. Without one the completions of a prompt meet each
    other, and the reward is the mean of a completion's chances: what GRPO's advantages compare is what the judge did.
    """
    j = opened(judge)

    def ste_reward(prompts: Sequence[Prompt], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        answers = [text_of(c) for c in completions]
        if reference:
            given = zip(prompts, answers, columns[reference])
            return [chance(v) for v in j.compare_many((p, a, text_of(r)) for p, a, r in given)]
        groups: dict[str, list[int]] = {}
        for i, prompt in enumerate(prompts):
            groups.setdefault(repr(prompt), []).append(i)
        meetings = [two for group in groups.values() for two in itertools.combinations(group, 2)]
        chances: list[list[float]] = [[] for _ in answers]
        for (a, b), verdict in zip(meetings, j.compare_many((prompts[a], answers[a], answers[b]) for a, b in meetings)):
            p = chance(verdict)
            if p is not None:
                chances[a].append(p)
                chances[b].append(1 - p)
        return [sum(c) / len(c) if c else None for c in chances]

    return ste_reward


def scores(judge: str | Judge) -> Reward:
    """Each completion by itself: the judge's score of 1 to 10, brought to 0 to 1."""
    j = opened(judge)

    def ste_score(prompts: Sequence[Prompt], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        given = [s["score"] for s in j.score_many((p, text_of(c)) for p, c in zip(prompts, completions))]
        return [None if s is None else (s - 1) / 9 for s in given]

    return ste_score
