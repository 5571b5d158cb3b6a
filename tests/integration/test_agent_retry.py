"""Another attempt delivers what the node still holds of the recording; only when that is nothing, it captures."""

import json
from collections.abc import Iterator

import numpy as np
import pytest

from agent.states import Stage
from protocol.messages import Origin, Wish
from tests.agent_room import (
    AgentRoom,
    assert_nothing_is_missing,
    controller_and_room,
    counter_values,
    job_settings,
    wait_for,
)
from tests.integration.fake_controller import FakeCacheFile, FakeController, FakeJob

Place = tuple[FakeController, AgentRoom]


@pytest.fixture
def quick_place() -> Iterator[Place]:
    """Takes linger only a moment here."""
    with controller_and_room(time_scale=0.1) as made:
        yield made


def _sealed(controller: FakeController, job: FakeJob) -> FakeCacheFile:
    return controller.wait_until("seal", lambda: controller.sealed(job))


def _cancelled(controller: FakeController, room: AgentRoom, frames: int = 100_000) -> FakeJob:
    """A recording that was cancelled after so many frames, and is kept."""
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 4 * frames)
    controller.wish(job, Wish.CANCEL)
    wait_for("the cancel to be heard", lambda: [state.stage for state in room.job_states()] == [Stage.KEPT])
    return job


def test_cancelled_audio_is_delivered_without_being_captured_again(quick_place: Place) -> None:
    controller, room = quick_place
    room.start_agent()
    job = _cancelled(controller, room)
    wait_for("the capture to end", lambda: room.owner_pids() == [])
    (kept,) = room.job_states()

    again = controller.add_retry(job)

    sealed = _sealed(controller, again)
    assert (sealed.origin, sealed.facts.take_id) == (Origin.NORMAL, kept.take_id)
    assert sealed.facts.start_frame == kept.start_frame
    assert sealed.facts.frames >= 100_000
    assert_nothing_is_missing(sealed.parts["audio"], sealed.facts.frames)
    assert room.owner_pids() == []
    wait_for("everything to go", lambda: room.job_states() == [] and not _takes(room))


@pytest.mark.long
def test_cancelled_audio_is_delivered_while_its_take_goes_on_for_others(place: Place) -> None:
    controller, room = place
    room.start_agent()
    other = controller.add_job(job_settings())
    controller.wait_for_audio(other, 50_000)
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 200_000)
    controller.wish(job, Wish.CANCEL)
    wait_for("the cancel to be heard", lambda: Stage.KEPT in [state.stage for state in room.job_states()])

    sealed = _sealed(controller, controller.add_retry(job))

    assert_nothing_is_missing(sealed.parts["audio"], sealed.facts.frames)
    controller.wish(other, Wish.STOP)
    whole = _sealed(controller, other)
    assert_nothing_is_missing(whole.parts["audio"], whole.facts.frames)
    assert sealed.facts.take_id == whole.facts.take_id


def test_capture_that_went_on_without_its_lease_is_the_next_attempt(place: Place) -> None:
    controller, room = place
    agent = room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 100_000)
    agent.kill()
    agent.wait()
    controller.end_lease(job)
    again = controller.add_retry(job)

    room.start_agent()
    controller.wait_for_audio(again, 600_000)
    controller.wish(again, Wish.STOP)

    sealed = _sealed(controller, again)
    assert sealed.origin is Origin.NORMAL
    assert sealed.facts.start_frame == 0 or counter_values(sealed.parts["audio"])[0] > 0
    assert_nothing_is_missing(sealed.parts["audio"], sealed.facts.frames)
    assert sealed.facts.frames > 150_000
    assert controller.sealed(job) is None
    wait_for("both jobs to go", lambda: room.job_states() == [])


def test_agent_killed_while_it_takes_over_delivers_once(quick_place: Place) -> None:
    controller, room = quick_place
    agent = room.start_agent()
    job = _cancelled(controller, room)
    again = controller.add_retry(job)
    wait_for("the claim", lambda: again.state == "running")
    agent.kill()
    agent.wait()
    room.start_agent()
    assert_nothing_is_missing((sealed := _sealed(controller, again)).parts["audio"], sealed.facts.frames)
    wait_for("everything to go", lambda: room.job_states() == [] and not _takes(room))
    assert len([file for file in controller.cache_files.values() if file.sealed_at]) == 1


def test_retry_without_anything_on_the_node_captures_what_is_left_of_the_window(place: Place) -> None:
    controller, room = place
    job = controller.add_job(job_settings())
    controller.wish(job, Wish.CANCEL)
    room.start_agent()
    wait_for("the end", lambda: job.finish is not None and room.job_states() == [])

    again = controller.add_retry(job, ends_in=7)

    sealed = _sealed(controller, again)
    assert 0 < sealed.facts.frames / 48_000 < 7.5
    assert_nothing_is_missing(sealed.parts["audio"], sealed.facts.frames)


@pytest.mark.first_reliable_recording_baseline
def test_retry_of_a_stretch_in_the_same_take_meets_no_marks_of_the_first_attempt(place: Place) -> None:
    controller, room = place
    room.start_agent()
    other = controller.add_job(job_settings())
    controller.wait_for_audio(other, 50_000)
    job = controller.add_job(job_settings(minimum_bytes=1_000_000_000, duration_ms=300))
    wait_for("the first attempt to fail", lambda: job.finish is not None)
    assert job.finish is not None
    assert job.finish.reason == "below_minimum"
    job.settings = job_settings()

    again = controller.add_retry(job)
    controller.wait_for_audio(again, 100_000)
    controller.wish(again, Wish.STOP)

    sealed = _sealed(controller, again)
    assert_nothing_is_missing(sealed.parts["audio"], sealed.facts.frames)
    controller.wish(other, Wish.STOP)
    whole = _sealed(controller, other)
    values, all_values = counter_values(sealed.parts["audio"]), counter_values(whole.parts["audio"])
    assert np.isin(values[0], all_values)


def test_window_that_is_over_is_failed_with_its_reason_when_nothing_is_here(place: Place) -> None:
    controller, room = place
    job = controller.add_job(job_settings())
    controller.wish(job, Wish.CANCEL)
    room.start_agent()
    wait_for("the end", lambda: job.finish is not None)

    again = controller.add_retry(job, ends_in=-1)

    wait_for("the answer", lambda: again.finish is not None)
    assert again.finish is not None
    assert (again.finish.outcome, again.finish.reason) == ("failed", "window_over")
    assert room.owner_pids() == []
    wait_for("the job to go", lambda: room.job_states() == [])


@pytest.mark.long
def test_retry_that_is_cancelled_before_its_start_leaves_the_kept_audio_for_another(quick_place: Place) -> None:
    controller, room = quick_place
    agent = room.start_agent()
    job = _cancelled(controller, room)
    agent.kill()
    agent.wait()
    second = controller.add_retry(job)
    controller.wish(second, Wish.CANCEL)
    room.start_agent()
    wait_for("the cancel to be heard", lambda: second.finish is not None)

    third = controller.add_retry(second)

    assert_nothing_is_missing((sealed := _sealed(controller, third)).parts["audio"], sealed.facts.frames)
    assert json.loads(sealed.parts["ledger"])["frames"] >= 100_000


def _takes(room: AgentRoom) -> list[str]:
    return [path.name for path in (room.settings.node_folder / "takes").glob("[!.]*")]
