"""Runs: the loop that trains a judge, and what came of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, cast

from ._library import Context, assignments, encode, lib, texts
from .judge import Judge, Path


def train(
    recipe: Path,
    dir: Path,
    sets: Mapping[str, object] | None = None,
    *,
    settings: Mapping[str, str] | None = None,
    **more: object,
) -> dict[str, Any]:
    """Runs RECIPE (a built-in name or a path) in the folder DIR, or goes on with the run that is there; gives its report.

    SETS are options of the recipe by their keys ({"judge.samples": 15}); as keywords, two underscores stand for the dot
    (judge__samples=15). Ctrl-C raises KeyboardInterrupt once what came is saved; the same call goes on. SETTINGS stand in
    for os.environ.
    """
    context = Context(settings)
    array, kept = texts(assignments({**(sets or {}), **{key.replace("__", "."): v for key, v in more.items()}}))
    context.call(lib.ste_run, encode(recipe), encode(dir), array, len(kept), context.c)
    return report(dir, settings=settings)


def report(dir: Path, *, settings: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What the run in DIR did and how good its judges are: what ``ste report --json`` writes."""
    context = Context(settings)
    return cast("dict[str, Any]", json.loads(_report(context, encode(dir))))


def _report(context: Context, dir: bytes) -> str:
    return context.text(lambda path, out, err: lib.ste_run_report(path, out, context.c, err), dir)


def evaluate(
    judge: Judge | Path, data: Path | Iterable[Path] | Iterable[Mapping[str, Any]] = (), **options: object
) -> dict[str, Any]:
    """How good JUDGE, an open one or a name, is on labelled pairs (``Judge.evaluate``)."""
    if isinstance(judge, Judge):
        return judge.evaluate(data, **options)
    with Judge(os.fspath(judge)) as opened:
        return opened.evaluate(data, **options)
