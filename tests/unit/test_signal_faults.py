"""The watch over made signals, samples and all: each fault is found, by its name, and a quiet room is none."""

import pytest

from bench.signal_faults import CASES, false_alarms, judge


@pytest.mark.parametrize("name", CASES)
def test_broken_signal_is_found_within_ten_seconds_by_its_own_name(name: str) -> None:
    verdict = judge(CASES[name], seed=7, sample_type="s16", good_seconds=2, rate=8_000)
    assert verdict.found, verdict
    assert verdict.false_kinds == ()


def test_quiet_room_is_left_alone() -> None:
    assert false_alarms(hours=0.05, seed=11) == []
