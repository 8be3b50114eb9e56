"""A step for distilabel: which of two generations is better::

    judge = SteJudge(judge="runs/mine")     # takes instruction and generations, as TextGeneration's groups have them
"""

# distilabel looks at the types as they are: annotations must not be postponed here.
from distilabel.steps import Step, StepInput
from distilabel.typing import StepColumns, StepOutput
from pydantic import Field, PrivateAttr

from ..judge import Judge
from . import text_of


class SteJudge(Step):  # type: ignore[misc]
    """Judges the first two of a row's generations in both orders, a batch of rows in one call.

    Outputs: verdict (A, B, tie, invalid), margin in favour of the first one, and chosen and rejected, which are None
    unless both orders name the same answer.
    """

    judge: str = Field(description="a catalogue name, a run, a .gguf file: what ste.Judge takes")
    _opened: Judge | None = PrivateAttr(default=None)

    @property
    def inputs(self) -> StepColumns:
        return ["instruction", "generations"]

    @property
    def outputs(self) -> StepColumns:
        return ["verdict", "margin", "chosen", "rejected"]

    def load(self) -> None:
        super().load()
        self._opened = Judge(self.judge)

    def unload(self) -> None:
        if self._opened:
            self._opened.close()
        super().unload()

    def process(self, inputs: StepInput) -> StepOutput:  # type: ignore[override]
        assert self._opened, "load() comes first"
        pairs = [(row["instruction"], *map(text_of, row["generations"][:2])) for row in inputs]
        for row, pair, v in zip(inputs, pairs, self._opened.compare_many(pairs)):
            row["verdict"], row["margin"] = v["verdict"], v["margin"]
            best = {"A": (pair[1], pair[2]), "B": (pair[2], pair[1])}.get(v["verdict"], (None, None))
            row["chosen"], row["rejected"] = best
        yield inputs
