"""Every write, sync, rename and open of the stores fails, once and for good: no acknowledged byte is lost."""

import pytest

from tests.faults.store_room import run_nth_call

SCENARIOS = ["take", "spool", "cache"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_call_that_fails_loses_nothing_and_is_told(scenario: str) -> None:
    """A sample; which calls it takes is the same every time."""
    counted = run_nth_call(scenario, "--most", "4")
    assert counted["points"] == 4


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_call_that_fails_loses_nothing_and_is_told(scenario: str) -> None:
    counted = run_nth_call(scenario)
    assert counted["points"] > 100
    assert counted["survived"] > 20
    assert counted["told"] > 20
