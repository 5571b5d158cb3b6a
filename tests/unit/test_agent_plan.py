"""When a recording begins and ends."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from agent.owner import clock
from agent.recording.plan import SLACK_NS, Plan
from agent.states import Instant, JobState
from protocol.ids import new_id
from protocol.messages import ClaimedJob, EndReason, Wish
from tests.agent_room import job_settings

SECOND_NS = 1_000_000_000
READINGS_APART_NS = SECOND_NS // 10
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def state(settings: dict[str, Any] | None = None, **changes: Any) -> JobState:
    timing = {key: changes.pop(key) for key in ("starts_in_ms", "ends_in_ms") if key in changes}
    claimed = ClaimedJob(
        job_id=new_id(),
        recording_id=new_id(),
        attempt=changes.pop("attempt", 1),
        epoch=1,
        settings=job_settings(**(settings or {})),
        wish=Wish.RUN,
        wish_age_ms=0,
        requested_age_ms=1500,
        **timing,
    )
    return JobState.of(claimed).model_copy(update=changes)


def lies_ahead(boottime_ns: int | None, seconds: float, *, since_ns: int) -> bool:
    """Whether it was so far ahead at some instant since this one; two clocks may have been read one after the other."""
    assert boottime_ns is not None
    was_ahead_at_ns = boottime_ns - round(seconds * SECOND_NS)
    return since_ns - READINGS_APART_NS <= was_ahead_at_ns <= clock.boottime_ns() + READINGS_APART_NS


def test_unplanned_recording_begins_when_it_was_asked_for_and_has_no_end() -> None:
    began_ns = clock.boottime_ns()
    plan = Plan(state())
    assert lies_ahead(plan.begins_ns, -1.5, since_ns=began_ns)
    assert plan.ends_ns is None
    assert not plan.is_over(clock.boottime_ns() + 10**18, 10**12)


def test_planned_recording_begins_and_ends_at_its_instants() -> None:
    began_ns = clock.boottime_ns()
    plan = Plan(
        state({"starts_at": NOON, "ends_at": NOON + timedelta(hours=1)}, starts_in_ms=5000, ends_in_ms=3_605_000)
    )
    assert lies_ahead(plan.begins_ns, 5, since_ns=began_ns)
    assert lies_ahead(plan.ends_ns, 3605, since_ns=began_ns)
    assert plan.start_instant == "2030-01-01T12:00:00.000000Z"
    assert plan.end_instant == "2030-01-01T13:00:00.000000Z"
    assert plan.end_reason is EndReason.PLANNED_END


def test_neighbours_in_other_time_zones_name_an_instant_alike() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert Plan(state({"starts_at": elsewhere})).start_instant == Plan(state({"ends_at": NOON})).end_instant


def test_nominal_length_ends_by_the_clock_of_the_device() -> None:
    plan = Plan(state({"duration_ms": 2000}, start_frame=1000))
    assert plan.end_frame == 1000 + 96_000
    assert plan.ends_ns is not None
    assert not plan.is_over(plan.ends_ns, 96_999)
    assert plan.is_over(plan.ends_ns, 97_000)


def test_press_that_was_answered_late_has_its_whole_length() -> None:
    plan = Plan(state({"duration_ms": 2000}, start_frame=0, begun_at=Instant.in_ms(58_500)))
    assert plan.ends_ns is not None
    assert not plan.is_over(plan.ends_ns + 60 * SECOND_NS, 95_999)
    assert plan.is_over(plan.ends_ns + 60 * SECOND_NS + SLACK_NS + SECOND_NS, 95_999)


def test_nominal_length_is_counted_from_the_press_of_a_start_that_reached_back() -> None:
    plan = Plan(state({"duration_ms": 2000, "preroll_ms": 1000}, start_frame=1000, press_frame=49_000))
    assert plan.end_frame == 49_000 + 96_000


def test_only_a_press_reaches_back_and_no_retry_does() -> None:
    assert Plan(state({"preroll_ms": 1000})).preroll_ms == 1000
    assert Plan(state({"preroll_ms": 1000}, attempt=2)).preroll_ms == 0
    assert Plan(state({"preroll_ms": 1000, "starts_at": NOON}, starts_in_ms=5000)).preroll_ms == 0


def test_nominal_length_of_a_silent_device_ends_by_the_clock_in_the_end() -> None:
    plan = Plan(state({"duration_ms": 2000}, start_frame=1000))
    assert plan.ends_ns is not None
    assert plan.is_over(plan.ends_ns + SLACK_NS, 1000)


def test_after_a_reboot_instants_are_found_by_the_wall_clock() -> None:
    before, began_ns = Instant(boot_id="another", boottime_ns=1), clock.boottime_ns()
    soon = datetime.now(UTC) + timedelta(seconds=90)
    plan = Plan(state({"ends_at": soon}, ends_at=before, requested_at=before))
    assert lies_ahead(plan.ends_ns, 90, since_ns=began_ns)
    assert lies_ahead(plan.begins_ns, 0, since_ns=began_ns)


def test_stop_wins_over_a_plan_as_the_reason_of_a_mark() -> None:
    assert Plan(state({"duration_ms": 2000}, wish=Wish.STOP)).end_reason is EndReason.STOPPED


def test_mark_of_an_end_is_that_of_the_limit_that_was_decided_before_it() -> None:
    assert Plan(state({"duration_ms": 2000}, end_reason=EndReason.IDLE_LIMIT)).end_reason is EndReason.IDLE_LIMIT
