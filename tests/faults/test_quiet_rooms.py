"""Quiet rooms for days: none of them is a fault."""

import pytest

from bench.signal_faults import false_alarms


@pytest.mark.long
@pytest.mark.timeout(7_200)
def test_hundred_hours_of_quiet_rooms_are_left_alone() -> None:
    assert false_alarms(hours=100, seed=12) == []
