"""What happened in a recording stands at its place in the sound."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from protocol.messages import CaptureFormat, EndReason, GapReport, RecordingFacts, WavEncoding
from web.domain.health import HealthEvent
from web.domain.moments import moments_in
from web.domain.states import Severity

BEGAN = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def facts(*gaps: GapReport) -> RecordingFacts:
    return RecordingFacts(
        take_id=uuid4(),
        start_frame=0,
        end_frame=4_800_000,
        capture=CaptureFormat(channels=1, sample_rate_hz=48_000, sample_type="s16"),
        channel_map=[[1.0]],
        encoding=WavEncoding(),
        encoder_version="1",
        channels=1,
        sample_rate_hz=48_000,
        frames=4_800_000,
        gaps=list(gaps),
        clock_pairs=[],
        segments=[],
        levels=[],
        end_reason=EndReason.STOPPED,
    )


def event(
    after_seconds: float,
    severity: Severity = Severity.WARNING,
    kind: str = "device_lost",
    lasted_seconds: float | None = None,
    lasts: bool = False,
) -> HealthEvent:
    return HealthEvent(
        id=uuid4(),
        node_id=uuid4(),
        recording_id=None,
        job_id=None,
        interface=None,
        kind=kind,
        severity=severity,
        message="Something happened.",
        state="open",
        happened_at=BEGAN + timedelta(seconds=after_seconds),
        ended_at=None if lasted_seconds is None else BEGAN + timedelta(seconds=after_seconds + lasted_seconds),
        is_condition=lasts or lasted_seconds is not None,
        lasts=lasts,
    )


def test_gap_stands_where_its_frames_are_missing() -> None:
    gap = GapReport(start_frame=480_000, frames=24_000, cause="owner_died")
    (moment,) = moments_in(facts(gap), [], started_at=BEGAN, length_seconds=100)
    assert (moment.kind, moment.at_seconds, moment.length_seconds) == ("gap", 10.0, 0.5)
    assert moment.title == "Gap: owner died"
    assert "0.500 s" in moment.message
    assert "24000 frames" in moment.message


def test_hearing_begins_three_seconds_before_and_never_before_the_start() -> None:
    late, early = event(10), event(1)
    found = moments_in(None, [late, early], started_at=BEGAN, length_seconds=100)
    assert [moment.hear_from_seconds for moment in found] == [0.0, 7.0]


def test_what_was_found_after_the_end_or_before_the_start_has_no_place_and_comes_last() -> None:
    found = moments_in(None, [event(100), event(-1), event(50)], started_at=BEGAN, length_seconds=100)
    assert [moment.at_seconds for moment in found] == [50.0, None, None]
    assert found[1].hear_from_seconds is None


def test_nothing_has_a_place_before_the_recording_began() -> None:
    (moment,) = moments_in(None, [event(5, Severity.CRITICAL)], started_at=None, length_seconds=0)
    assert (moment.kind, moment.at_seconds) == ("critical", None)


def test_a_condition_has_the_part_of_its_span_in_which_there_is_sound() -> None:
    found = moments_in(
        None,
        [event(-5, lasted_seconds=8), event(20, lasted_seconds=10), event(90, lasts=True), event(-9, lasted_seconds=2)],
        started_at=BEGAN,
        length_seconds=100,
    )
    assert [(moment.at_seconds, moment.length_seconds) for moment in found] == [(0, 3), (20, 10), (90, 10), (None, 0)]
    assert [moment.lasts for moment in found] == [False, False, True, False]
