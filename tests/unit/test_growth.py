"""The growth guard, told the time."""

from core_rs import GrowthGuard


def test_standing_still_becomes_quiet_and_then_stalled() -> None:
    guard = GrowthGuard(quiet_after_seconds=1.0, stalled_after_seconds=3.0)
    seen = [guard.observe(now, 500) for now in (100.0, 100.9, 101.0, 102.9, 103.0, 900.0)]
    assert seen == ["growing", "growing", "quiet", "quiet", "stalled", "stalled"]


def test_growth_ends_a_stall_at_once() -> None:
    guard = GrowthGuard()
    guard.observe(0.0, 1)
    assert guard.observe(10.0, 1) == "stalled"
    assert guard.observe(10.1, 2) == "growing"
    assert guard.observe(11.0, 2) == "growing"
    assert guard.observe(11.1, 2) == "quiet"


def test_a_new_smaller_file_grows_from_its_first_byte() -> None:
    """A guard that kept the largest size seen would call the second segment stalled until it overtook the first."""
    guard = GrowthGuard()
    guard.observe(0.0, 10_000_000)
    assert {guard.observe(float(second), second * 1000) for second in range(1, 60)} == {"growing"}


def test_the_first_look_counts_as_growth() -> None:
    assert GrowthGuard().observe(1e9, 0) == "growing"
