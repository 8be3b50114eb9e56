"""Judges."""

from __future__ import annotations

import atexit
import json
import os
import tempfile
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, TypedDict, Union, cast

from ._gather import Gatherer
from ._library import Context, assignments, encode, ffi, lib, texts
from .errors import InputError, UsageError

Prompt = Union[str, Sequence[Mapping[str, str]]]
"""What was asked: a text, or a dialogue as messages of role and content."""
Pair = Union[tuple[Prompt, str, str], Mapping[str, Any]]
"""Prompt and two answers; or a row as ``ste judge --in`` takes it: prompt or messages, response_a, response_b, perhaps
id, reference and whatever else is to come back with it."""
Named = Literal["A", "B", "tie", "invalid"]
Path = Union[str, "os.PathLike[str]"]


class Verdict(TypedDict, total=False):
    """A row of ``ste judge --out``, with the fields of the row that was judged."""

    id: str
    verdict: Named  # of both orders: A or B where they agree, tie where they do not, invalid where one is missing
    reason: str  # why there is no verdict; "" where there is one
    verdict_ab: Named  # with response_a first
    verdict_ba: Named  # with response_b first; named as the row names them
    verdict_two_order: Named  # by the sign of the margin
    margin: float | None  # in favour of A, the mean of both orders' log-odds
    logprob_a: float | None
    logprob_b: float | None
    ab: dict[str, Any]  # each judgment as it was given
    ba: dict[str, Any]


class Score(TypedDict, total=False):
    """A row of ``ste score --out``."""

    id: str
    score: float | None  # 1 to 10: the expected value
    likeliest: int | None
    probabilities: list[float] | None
    mass: float | None
    reason: str
    reasoning: str


_open: weakref.WeakSet[Judge] = weakref.WeakSet()


def _asked(prompt: Prompt) -> dict[str, Any]:
    return {"prompt": prompt} if isinstance(prompt, str) else {"messages": [dict(m) for m in prompt]}


def _pair_row(pair: Pair) -> Mapping[str, Any]:
    if isinstance(pair, Mapping):
        return pair
    prompt, a, b = pair
    return {**_asked(prompt), "response_a": a, "response_b": b}


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    out = []
    for i, row in enumerate(rows):
        try:
            out.append(json.dumps(row, ensure_ascii=False, allow_nan=False).encode())
        except (TypeError, ValueError) as e:  # UnicodeEncodeError is one: a lone surrogate
            raise InputError(f"row {i + 1} cannot be written as JSON: {e}") from e
    return b"\n".join(out)


class Judge:
    """An open judge: a catalogue's model, a .gguf file, a run (``RUN`` or ``RUN:ITERATION``), the folder of an adapter or
    of a reward model, a server's model as URL#MODEL; "likelihood:" before any of these.

    The options are those of ``ste judge`` (``ste help judge``): pack, rubric, base, votes, seed, threads, batch, ctx,
    activations and others by their names with underscores (``top_p=0.8``, ``reference=True``). CACHE: answers come from,
    and go to, the cache under STE_HOME, as the program's do. SETTINGS stand in for os.environ.

    Any thread may call; calls wait for each other. The first verdict costs opening the model, so keep the judge, and
    close it (``with`` does). It does not survive a fork.
    """

    def __init__(
        self, judge: Path, *, cache: bool = True, settings: Mapping[str, str] | None = None, **options: object
    ) -> None:
        self.name = os.fspath(judge)
        self._context = Context(settings)
        self._lock = threading.Lock()
        self._gatherer = Gatherer({"compare": self.compare_many, "score": self.score_many}, self._context)
        self._handle: Any = ffi.NULL
        array, kept = texts(assignments(options))
        config = ffi.new("struct ste_judge_config *", {"cache": cache, "options": array, "n_options": len(kept)})
        handle = ffi.new("struct ste_judge **")
        try:
            self._context.call(lib.ste_judge_open, handle, encode(self.name), config, self._context.c)
        except BaseException:
            lib.ste_judge_close(handle[0])
            raise
        self._handle = handle[0]
        _open.add(self)

    def close(self) -> None:
        """Ends what waits or is being judged (Interrupted), and gives everything back. May be called twice."""
        self._context.closing = True
        self._gatherer.close()
        with self._lock:
            handle, self._handle = self._handle, ffi.NULL
            self._context.closing = False
            lib.ste_judge_close(handle)
        _open.discard(self)

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.close()

    def __repr__(self) -> str:
        return f"ste.Judge({self.name!r})"

    def _text(self, function: Any, *arguments: Any) -> str:
        with self._lock:
            if not self._handle:
                raise UsageError(f"the judge {self.name} is closed")
            return self._context.text(function, self._handle, *arguments)

    def _rows(self, function: Any, rows: Iterable[Mapping[str, Any]]) -> list[Any]:
        return [json.loads(line) for line in self._text(function, _lines(rows)).split("\n") if line]

    def compare(self, prompt: Prompt, a: str, b: str, **fields: Any) -> Verdict:
        """Judges two answers in both orders. FIELDS: more of the row, such as id or reference."""
        return self.compare_many([{**_pair_row((prompt, a, b)), **fields}])[0]

    def compare_many(self, pairs: Iterable[Pair]) -> list[Verdict]:
        """Judges all PAIRS, as many at once as the batch holds. A pair's verdict does not depend on the others."""
        return cast("list[Verdict]", self._rows(lib.ste_judge_compare_rows, map(_pair_row, pairs)))

    def score(self, prompt: Prompt, answer: str, **fields: Any) -> Score:
        """Scores an answer from 1 to 10. A reward model and a judge by likelihood compare only: UsageError."""
        return self.score_many([{**_asked(prompt), "response": answer, **fields}])[0]

    def score_many(self, answers: Iterable[tuple[Prompt, str] | Mapping[str, Any]]) -> list[Score]:
        rows = (a if isinstance(a, Mapping) else {**_asked(a[0]), "response": a[1]} for a in answers)
        return cast("list[Score]", self._rows(lib.ste_judge_score_rows, rows))

    async def acompare(self, prompt: Prompt, a: str, b: str, **fields: Any) -> Verdict:
        """``compare`` for asyncio, in a thread of the judge's own: what is awaited at one time is judged in one call."""
        return cast(Verdict, await self._gatherer.ask("compare", {**_pair_row((prompt, a, b)), **fields}))

    async def ascore(self, prompt: Prompt, answer: str, **fields: Any) -> Score:
        """``score`` in the same way."""
        return cast(Score, await self._gatherer.ask("score", {**_asked(prompt), "response": answer, **fields}))

    def _figures(self, function: Any, paths: Sequence[Path], options: Mapping[str, object]) -> dict[str, Any]:
        array, kept = texts([os.fspath(p) for p in paths])
        settings, kept_too = texts(assignments(options))
        return cast("dict[str, Any]", json.loads(self._text(function, array, len(kept), settings, len(kept_too))))

    def evaluate(self, data: Path | Iterable[Path] | Iterable[Mapping[str, Any]] = (), **options: object) -> dict[str, Any]:
        """How good the judge is on labelled pairs: what ``ste eval --json`` writes.

        DATA: files or folders of a suite, or rows of prompt or messages, chosen, rejected. Options: suite, partial,
        limit, sample, min_margin, calibrate, compat, author, attacks, full, and logits=True for ``--score logits``.
        """
        given: list[Any] = [data] if isinstance(data, (str, os.PathLike)) else list(data)
        if not any(isinstance(item, Mapping) for item in given):
            return self._figures(lib.ste_judge_evaluate, given, options)
        with tempfile.TemporaryDirectory(prefix="ste-") as folder:
            path = os.path.join(folder, "rows.jsonl")
            with open(path, "wb") as f:
                f.write(_lines(given) + b"\n")
            return self._figures(lib.ste_judge_evaluate, [path], options)

    def rank(self, answers: Path | Iterable[Path], **options: object) -> dict[str, Any]:
        """Models by this judge's verdicts on their answers: what ``ste rank --json`` writes. Options: questions, pairs,
        verdict."""
        given = [answers] if isinstance(answers, (str, os.PathLike)) else list(answers)
        return self._figures(lib.ste_judge_rank, given, options)


@atexit.register
def _close_all() -> None:
    """A thread that judges must not outlive the interpreter."""
    for judge in list(_open):
        judge.close()
