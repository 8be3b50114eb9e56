"""The judge inside other packages; each module needs the package that it is named after, and no other."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from ..judge import Judge, Prompt, Verdict


@functools.lru_cache(maxsize=None)
def opened(judge: str | Judge) -> Judge:
    """A judge by its name, opened once a process."""
    return Judge(judge) if isinstance(judge, str) else judge


def chance(verdict: Verdict) -> float | None:
    """How likely the judge thinks it that A is better, by the margin of both orders; None without a verdict."""
    margin = verdict["margin"]
    return None if margin is None else 0.5 * (1 + math.tanh(margin / 2))


def points(verdict: Verdict) -> float:
    """1 where both orders name A, 0.5 for a tie, 0 else: an invalid verdict is no half point."""
    return {"A": 1.0, "tie": 0.5}.get(verdict["verdict"], 0.0)


def text_of(answer: str | Sequence[dict[str, Any]]) -> str:
    """An answer as a text, or as messages that end with it. A NUL, which a model may write and a judge cannot be shown,
    is replaced."""
    return (answer if isinstance(answer, str) else str(answer[-1]["content"])).replace("\0", "\ufffd")


__all__ = ["Prompt", "chance", "opened", "points", "text_of"]
