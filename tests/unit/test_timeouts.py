"""Each outer limit exceeds what it contains (reliability: chained timeouts)."""

from dataclasses import asdict, fields
from pathlib import Path

import pytest

from protocol.timeouts import RELATIONS, Timeouts, as_markdown

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("expression", [expression for expression, _ in RELATIONS])
def test_outer_limits_exceed_what_they_contain(expression: str) -> None:
    assert eval(expression, {"__builtins__": {}}, asdict(Timeouts()))


def test_every_limit_is_used() -> None:
    sources = [path.read_text() for name in ("agent", "web", "reelkeeper") for path in (ROOT / name).rglob("*.py")]
    unused = [one.name for one in fields(Timeouts) if not any(f".{one.name}" in source for source in sources)]
    assert unused == []


def test_printed_table_is_this_table() -> None:
    printed = (ROOT / "docs" / "timeouts.md").read_text()
    assert printed == as_markdown(), "run `python -m protocol.timeouts > docs/timeouts.md`"


def test_scaling_keeps_every_relation_between_limits() -> None:
    scaled = Timeouts().scaled(0.1)
    assert scaled.lease == Timeouts().lease * 0.1
    assert scaled.lease >= 3 * scaled.heartbeat
