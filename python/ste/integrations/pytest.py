"""A pytest plugin: tests that one answer is better than another::

    def test_tone(ste_judge):
        assert_better(ste_judge, "Decline politely.", better=reply(), worse="No.")

The judge is the ini value or the option ``ste_judge`` (``--ste-judge runs/mine``).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..judge import Judge, Prompt, Verdict


def assert_better(judge: Judge, prompt: Prompt, better: str, worse: str, min_margin: float = 0.0) -> Verdict:
    """Fails unless the judge names BETTER in both orders, with a margin of MIN_MARGIN or more; gives the verdict."""
    __tracebackhide__ = True
    v = judge.compare(prompt, better, worse)
    margin = v["margin"]
    if v["verdict"] == "A" and (margin is None or margin >= min_margin):
        return v
    said = {"A": "the better one", "B": "the worse one", "tie": "neither", "invalid": "no verdict"}
    raise AssertionError(
        f"{judge.name} does not prefer the answer that should be better: {said[v['verdict_ab']]} where it stands first, "
        f"{said[v['verdict_ba']]} where it stands second; margin {margin}, asked for {min_margin}"
        f"{'; ' + v['reason'] if v['reason'] else ''}\n  prompt: {prompt!r}\n  better: {better!r}\n  worse: {worse!r}"
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("ste").addoption("--ste-judge", metavar="JUDGE", help="the judge of the fixture ste_judge")
    parser.addini("ste_judge", "the judge of the fixture ste_judge")


@pytest.fixture(scope="session")
def ste_judge(request: pytest.FixtureRequest) -> Iterator[Judge]:
    """The judge that --ste-judge or the ini value ste_judge names, open for the session."""
    name = request.config.getoption("--ste-judge") or request.config.getini("ste_judge")
    if not name:
        raise pytest.UsageError("ste_judge: --ste-judge JUDGE, or ste_judge in the ini file, names the judge")
    with Judge(str(name)) as judge:
        yield judge
