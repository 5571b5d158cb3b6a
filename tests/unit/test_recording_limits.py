"""A recording ends by itself at its limits, and whatever end comes first stays."""

import random
from typing import Any

import pytest

from agent.owner.signal import Silence
from agent.recording.limits import End, Limits, Seen
from agent.states import JobState
from protocol.messages import EndReason
from protocol.messages import Limits as LimitSettings
from tests.agent_room import job_settings
from tests.unit.test_agent_spool import claimed

START = 1_000


def limits(full_ends_after_seconds: float | None = None, duration_ms: int | None = None, **of: Any) -> Limits:
    settings = job_settings(limits=LimitSettings(**of), duration_ms=duration_ms)
    job = claimed().model_copy(update={"settings": settings})
    state = JobState.of(job).model_copy(update={"start_frame": START})
    return Limits(state, full_ends_after_seconds)


def test_without_limits_nothing_ends() -> None:
    seen = Seen(next_frame=1 << 40, silence=Silence(1 << 40, (0, 0)), full_since_seconds=1e9)
    assert limits().reached(seen) is None


def test_length_ends_at_its_frame_however_late_that_is_seen() -> None:
    two_seconds = limits(length_ms=2000)
    assert two_seconds.reached(Seen(next_frame=START + 95_999)) is None
    for next_frame in (START + 96_000, START + 500_000):
        assert two_seconds.reached(Seen(next_frame=next_frame)) == End(START + 96_000, EndReason.LENGTH_LIMIT)


def test_size_ends_where_the_file_is_full() -> None:
    seen = Seen(next_frame=90_000, size_end_frame=50_000)
    assert limits(size_bytes=100_000).reached(seen) == End(50_000, EndReason.SIZE_LIMIT)


@pytest.mark.parametrize(
    ("judged", "since", "ends"),
    [(200_000, (0, 0), START + 48_000), (200_000, (0, 160_000), None), (200_000, (90_000, 100_000), 148_000)],
)
def test_silence_ends_once_no_used_channel_has_sounded_for_so_long(
    judged: int, since: tuple[int, int], ends: int | None
) -> None:
    found = limits(idle_ms=1000).reached(Seen(next_frame=judged, silence=Silence(judged, since)))
    assert found == (None if ends is None else End(ends, EndReason.IDLE_LIMIT))


def test_frames_that_nobody_judged_are_not_silent() -> None:
    seen = Seen(next_frame=900_000, silence=Silence(START + 47_999, (0, 0)))
    assert limits(idle_ms=1000).reached(seen) is None


def test_a_full_disk_ends_only_when_that_is_set_and_then_where_frames_end() -> None:
    seen = Seen(next_frame=500_000, durable_frame=70_000, full_since_seconds=31)
    assert limits().reached(seen) is None
    assert limits(30).reached(seen) == End(70_000, EndReason.DISK_FULL)
    assert limits(60).reached(seen) is None


def test_a_plan_at_the_same_frame_as_a_limit_stays_a_plan() -> None:
    both = limits(length_ms=1000)
    planned = End(START + 48_000, EndReason.PLANNED_END)
    assert both.first(planned, Seen()) == planned


def test_nominal_length_that_is_over_stays_the_end_however_late_a_limit_or_a_stop_is_seen_behind_it() -> None:
    both = limits(duration_ms=1000, length_ms=1003)
    planned = End(START + 48_000, EndReason.PLANNED_END)
    seen = Seen(next_frame=START + 90_000)
    assert both.reached(seen) == planned
    for late in (EndReason.STOPPED, EndReason.LENGTH_LIMIT):
        assert both.first(End(START + 48_144, late), seen) == planned
    early = End(START + 47_000, EndReason.STOPPED)
    assert both.first(early, seen) == early


def test_the_first_of_all_ends_stays_whoever_asks_last() -> None:
    draw = random.Random(4)
    for _ in range(1_000):
        length_ms, idle_ms = draw.choice([None, 500, 1000]), draw.choice([None, 500, 700])
        size_end = draw.choice([None, START + draw.randrange(100_000)])
        silent_from = draw.randrange(START + 100_000)
        seen = Seen(
            next_frame=START + 200_000,
            silence=Silence(START + 200_000, (silent_from, silent_from)),
            size_end_frame=size_end,
        )
        asked = End(START + draw.randrange(100_000), draw.choice([EndReason.STOPPED, EndReason.PLANNED_END]))
        frames = {
            EndReason.LENGTH_LIMIT: None if length_ms is None else START + length_ms * 48,
            EndReason.SIZE_LIMIT: size_end,
            EndReason.IDLE_LIMIT: None if idle_ms is None else max(START, silent_from) + idle_ms * 48,
            asked.reason: asked.frame,
        }
        known = {reason: frame for reason, frame in frames.items() if frame is not None}
        found = limits(length_ms=length_ms, idle_ms=idle_ms).first(asked, seen)
        assert found.frame == min(known.values())
        assert known[found.reason] == found.frame
