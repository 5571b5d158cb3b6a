"""What is said of the first try."""

import pytest

from protocol.messages import ChannelLevel
from web.domain.setup import checks


def level(peak_dbfs: float | None, clipped_frames: int = 0) -> ChannelLevel:
    return ChannelLevel(peak_dbfs=peak_dbfs, rms_dbfs=peak_dbfs, clipped_frames=clipped_frames)


@pytest.mark.parametrize(
    ("levels", "sha256", "is_cached", "good"),
    [
        ([level(-12.0), level(None)], "a" * 64, True, [True, True, True]),
        ([level(None), level(None)], "a" * 64, True, [False, True, True]),
        ([level(-70.0)], "a" * 64, True, [False, True, True]),
        ([level(0.0, 40)], "a" * 64, True, [True, False, True]),
        ([level(-12.0)], None, False, [True, True, False]),
        ([], None, False, [False, True, False]),
    ],
)
def test_each_fault_of_a_try_is_told_with_what_may_help(
    levels: list[ChannelLevel], sha256: str | None, is_cached: bool, good: list[bool]
) -> None:
    found = checks(levels, sha256, is_cached=is_cached)
    assert [one.is_good for one in found] == good
    assert all(one.is_good or one.remedy for one in found)


def test_a_try_that_missed_sound_says_how_much() -> None:
    told = checks([level(-12.0)], "a" * 64, is_cached=True, gaps_ms=[120.0, 380.0])[-1]
    assert not told.is_good
    assert "held up in 2 places: 0.50 s" in told.says
    assert told.remedy
