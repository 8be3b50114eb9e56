"""Judges of LLM answers, on the CPU of the machine at hand: train one with no human labels, ask it, measure it.

    with ste.Judge("runs/mine") as judge:
        print(judge.compare("What is 2 + 2?", "4", "5")["verdict"])

Results are plain dicts, those that the program ``ste`` writes as JSON; errors are exceptions (``ste.SteError``); what the
library says goes to the logger "ste". The program itself comes with the package.
"""

from ._library import lib as _lib
from ._library import string as _string
from .errors import (
    BelowThreshold,
    Busy,
    Failed,
    InputError,
    Interrupted,
    NotFound,
    OutOfMemory,
    SteError,
    SystemRefused,
    TooLong,
    UsageError,
)
from .judge import Judge, Pair, Prompt, Score, Verdict
from .runs import evaluate, report, train

__version__: str = _string(_lib.ste_version())
__all__ = [
    "BelowThreshold", "Busy", "Failed", "InputError", "Interrupted", "Judge", "NotFound", "OutOfMemory", "Pair", "Prompt",
    "Score", "SteError", "SystemRefused", "TooLong", "UsageError", "Verdict", "evaluate", "report", "train",
]  # fmt: skip
