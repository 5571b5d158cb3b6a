"""Agent, owner, renderer or controller die, lie or come back: what was captured arrives, named as what it is."""

import asyncio
import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from agent.daemon import EXIT_SUPERSEDED, stop_owners
from agent.files import write_model
from agent.states import Instant, Stage
from protocol.messages import EndReason, Origin, Wish
from tests.agent_room import (
    AgentRoom,
    assert_nothing_is_missing,
    controller_and_room,
    counter_values,
    job_settings,
    kinds_told,
    wait_for,
)
from tests.integration.fake_controller import FakeController

Place = tuple[FakeController, AgentRoom]


@pytest.fixture
def quick_place() -> Iterator[Place]:
    """Limits are shorter here, so that leases end and agents give up within a test."""
    with controller_and_room(time_scale=0.3) as made:
        yield made


# ---- the agent ----


def test_killed_agent_costs_no_frame_and_the_next_one_delivers(place: Place) -> None:
    controller, room = place
    agent = room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 100_000)
    owners, renderers = room.owner_pids(), room.renderer_pids()
    agent.kill()
    agent.wait()
    assert (room.owner_pids(), room.renderer_pids()) == (owners, renderers)
    assert len(owners) == len(renderers) == 1

    room.start_agent()
    controller.wait_for_audio(job, 300_000)
    assert len(controller.cache_files) == 1  # asked before the stop: one that is heard late makes the file anew
    controller.wish(job, Wish.STOP)
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed.origin is Origin.NORMAL
    assert_nothing_is_missing(sealed.parts["audio"], sealed.facts.frames)
    assert room.owner_pids() == owners
    assert controller.node_run == 2


@pytest.mark.long
def test_agent_that_is_killed_again_and_again_delivers_every_frame_once(place: Place) -> None:
    controller, room = place
    moments = random.Random(20_260)
    jobs = [controller.add_job(job_settings(duration_ms=length)) for length in (700, 3000, 7000)]
    for _ in range(5):
        agent, began, lifetime = room.start_agent(), time.monotonic(), moments.uniform(0.8, 2.2)
        wait_for("the agent's time", lambda began=began, lifetime=lifetime: time.monotonic() - began > lifetime)
        agent.kill()
        agent.wait()
    room.start_agent()
    for job in jobs:
        sealed = controller.wait_until("seal", lambda job=job: controller.sealed(job))
        assert sealed.origin is Origin.NORMAL
        assert_nothing_is_missing(sealed.parts["audio"], job.settings.duration_ms * 48)
    wait_for("the jobs to go", lambda: room.job_states() == [])
    assert len(controller.cache_files) == len(jobs)


def test_agent_owner_and_renderer_killed_together_cost_one_listed_gap(place: Place) -> None:
    controller, room = place
    agent = room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 100_000)
    agent.kill()
    agent.wait()
    for pid in (*room.renderer_pids(), *room.owner_pids()):
        os.kill(pid, signal.SIGKILL)
    room.start_agent()
    controller.wait_for_audio(job, 700_000)  # the gap counts too
    assert len(controller.cache_files) == 1  # asked before the stop, as above
    controller.wish(job, Wish.STOP)
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    (gap,) = sealed.facts.gaps
    values = counter_values(sealed.parts["audio"])
    assert gap.cause == "owner_died"
    assert len(values) == sealed.facts.frames
    assert (values == 0).sum() == gap.frames


@pytest.mark.long
def test_recording_stopped_while_no_agent_ran_is_cut_at_the_press(place: Place) -> None:
    controller, room = place
    agent = room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 100_000)
    agent.kill()
    agent.wait()
    pressed = controller.wish(job, Wish.STOP)
    begun = job.requested_at
    wait_for("a second to go by", lambda: time.monotonic() - pressed > 1)
    room.start_agent()
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed.facts.frames / 48_000 < pressed - begun
    assert sealed.origin is Origin.NORMAL
    assert_nothing_is_missing(sealed.parts["audio"], sealed.facts.frames)


@pytest.mark.parametrize(
    ("heard", "origin"),
    [
        (lambda: {"wish": Wish.STOP, "wished_at": Instant.in_ms(0)}, Origin.NORMAL),
        (lambda: {"owed": "lease lost", "owed_since": Instant.in_ms(0)}, Origin.SALVAGED),
    ],
    ids=["stop", "lost lease"],
)
def test_capture_whose_start_the_killed_agent_did_not_note_is_delivered(
    place: Place, heard: Callable[[], dict[str, object]], origin: Origin
) -> None:
    controller, room = place
    agent = room.start_agent()
    job = controller.add_job(job_settings(duration_ms=5000))
    controller.wait_for_audio(job, 100_000)
    agent.kill()
    agent.wait()
    path = room.settings.node_folder / "jobs" / str(job.job_id) / "job.json"
    forgotten = {"stage": Stage.STARTING, "take_id": None, "start_frame": None, "cache_file_id": None}
    write_model(path, room.job_states()[0].model_copy(update={**forgotten, **heard()}))
    room.start_agent()
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed.origin is origin
    assert_nothing_is_missing(sealed.parts["audio"], sealed.facts.frames)


def test_second_agent_on_a_spool_is_refused(place: Place) -> None:
    controller, room = place
    first = room.start_agent()
    controller.wait_until("inventory", lambda: controller.inventory)
    assert room.start_agent().wait(60) != 0
    assert "Another agent uses" in room.log
    assert first.poll() is None
    assert controller.node_run == 1


def test_superseded_agent_raises_the_alarm_and_never_registers_again(place: Place) -> None:
    controller, room = place
    agent = room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 100_000)
    owners = room.owner_pids()
    controller.node_run += 5
    assert agent.wait(60) == EXIT_SUPERSEDED
    assert controller.fenced == [1]
    assert "alarm" in room.log
    assert room.owner_pids() == owners
    assert room.start_agent().wait(60) == EXIT_SUPERSEDED


# ---- the capture ----


def test_killed_owner_is_replaced_and_only_the_listed_gap_is_missing(place: Place) -> None:
    controller, room = place
    room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 200_000)
    (owner,) = room.owner_pids()
    os.kill(owner, signal.SIGKILL)
    wait_for("another owner", lambda: room.owner_pids() not in ([], [owner]))
    controller.wait_for_audio(job, 700_000)  # the gap counts too
    controller.wish(job, Wish.STOP)
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    (gap,) = sealed.facts.gaps
    values = counter_values(sealed.parts["audio"])
    silent = values[gap.start_frame : gap.start_frame + gap.frames]
    assert len(values) == sealed.facts.frames
    assert (silent == 0).all()
    assert (values == 0).sum() == gap.frames
    assert abs(int(values[-1]) - int(values[0]) + 1 - len(values)) <= gap.uncertainty_frames + 480
    controller.wait_until("event", lambda: any(event.kind == "capture_died" for event in controller.events))


def test_node_that_stopped_delivers_what_it_had_as_truncated(place: Place) -> None:
    controller, room = place
    agent = room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 200_000)
    agent.terminate()
    agent.wait(60)
    asyncio.run(stop_owners(room.settings, EndReason.NODE_STOPPED))
    assert room.owner_pids() == []
    wait_for("the renderer to end", lambda: room.renderer_pids() == [])
    room.start_agent()
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed.origin is Origin.TRUNCATED
    assert sealed.facts.end_reason is EndReason.NODE_STOPPED
    assert_nothing_is_missing(sealed.parts["audio"], sealed.facts.frames)


@pytest.mark.long
def test_owner_that_hangs_does_not_outlive_its_node(quick_place: Place) -> None:
    controller, room = quick_place
    agent = room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 200_000)
    agent.terminate()
    agent.wait(60)
    (owner,) = room.owner_pids()
    os.kill(owner, signal.SIGSTOP)
    asyncio.run(stop_owners(room.settings, EndReason.NODE_STOPPED))
    assert room.owner_pids() == []
    room.start_agent()
    controller.wait_for_audio(job, 400_000)
    controller.wish(job, Wish.STOP)
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert [gap.cause for gap in sealed.facts.gaps] == ["owner_died"]


def test_drained_agent_delivers_what_runs_then_leaves_nothing_behind(place: Place) -> None:
    controller, room = place
    agent = room.start_agent()
    job = controller.add_job(job_settings(duration_ms=4000))
    controller.wait_for_audio(job, 100_000)
    agent.terminate()
    agent.wait(60)
    unclaimed = controller.add_job(job_settings())
    drained = room.start_agent(drain=True)
    assert drained.wait(60) == 0
    sealed = controller.sealed(job)
    assert sealed is not None
    assert sealed.facts.frames == 4 * 48_000
    assert unclaimed.state == "queued"
    assert (room.owner_pids(), room.renderer_pids(), room.job_states()) == ([], [], [])


def test_recording_that_is_stopped_while_its_device_is_lost_ends_there_with_a_listed_gap(quick_place: Place) -> None:
    controller, room = quick_place
    agent = room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 200_000)
    agent.kill()
    agent.wait()
    asyncio.run(room.hook("disconnect", 600))
    controller.wish(job, Wish.STOP, age=-1)
    room.start_agent()
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed.facts.end_reason is EndReason.STOPPED
    (gap,) = sealed.facts.gaps
    assert gap.start_frame + gap.frames == sealed.facts.frames
    assert (counter_values(sealed.parts["audio"])[: gap.start_frame] > 0).all()
    controller.wait_until("event", lambda: any(event.kind == "device_lost" for event in controller.events))


def test_device_that_returns_leaves_a_listed_gap_in_the_same_recording(place: Place) -> None:
    controller, room = place
    agent = room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 200_000)
    agent.kill()
    agent.wait()
    asyncio.run(room.hook("disconnect", 1))
    room.start_agent()
    controller.wait_for_audio(job, 500_000)
    controller.wish(job, Wish.STOP)
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert len(sealed.facts.gaps) == 1
    assert sealed.origin is Origin.NORMAL
    values = counter_values(sealed.parts["audio"])
    assert (values == 0).sum() == sealed.facts.gaps[0].frames


def test_capture_that_could_not_be_written_goes_on_in_the_same_recording(place: Place) -> None:
    controller, room = place
    room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 200_000)
    (owner,) = room.owner_pids()
    unlimited = resource.prlimit(owner, resource.RLIMIT_FSIZE, (5_000, resource.RLIM_INFINITY))
    controller.wait_until("the alarm", lambda: [event for event in controller.events if event.kind == "writing_failed"])
    before = controller.jobs[job.job_id].reports[-1].frames
    resource.prlimit(owner, resource.RLIMIT_FSIZE, unlimited)
    controller.wait_for_audio(job, before * 4 + 400_000)
    controller.wish(job, Wish.STOP)
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed.origin is Origin.NORMAL
    assert {gap.cause for gap in sealed.facts.gaps} == {"write_error"}
    assert room.owner_pids() == [owner]


def test_open_ended_recording_without_a_job_ends_after_a_while(quick_place: Place) -> None:
    controller, room = quick_place
    agent = room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 200_000)
    controller.end_lease(job)
    wait_for("the lease to be lost", lambda: any(state.owed for state in room.job_states()))
    agent.kill()
    agent.wait()
    (state,) = room.job_states()
    assert state.stage is Stage.CAPTURING
    long_ago = Instant.in_ms(-round(room.settings.timeouts.orphan_capture * 1000))
    path = room.settings.node_folder / "jobs" / str(state.job_id) / "job.json"
    write_model(path, state.model_copy(update={"owed_since": long_ago}))
    room.start_agent()
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed.origin is Origin.SALVAGED
    assert_nothing_is_missing(sealed.parts["audio"], sealed.facts.frames)


@pytest.mark.long
def test_recording_whose_take_cannot_be_read_raises_the_alarm_and_keeps_its_files(quick_place: Place) -> None:
    controller, room = quick_place
    agent = room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 200_000)
    agent.kill()
    agent.wait()
    for pid in (*room.owner_pids(), *room.renderer_pids()):
        os.kill(pid, signal.SIGKILL)
    (ledger,) = room.settings.takes_folder.glob("*/ledger")
    damaged = bytearray(ledger.read_bytes())
    damaged[10] ^= 1
    ledger.write_bytes(damaged)
    room.start_agent()
    controller.wait_until(
        "the alarm",
        lambda: [event for event in controller.events if event.kind == "recording_hindered"],
    )
    assert ledger.read_bytes() == damaged
    assert [state.stage for state in room.job_states()] == [Stage.CAPTURING]


def test_stop_that_was_pressed_before_the_job_was_given_up_still_ends_the_recording_at_the_press(
    quick_place: Place,
) -> None:
    controller, room = quick_place
    agent = room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 200_000)
    agent.kill()
    agent.wait()
    controller.wish(job, Wish.STOP)
    controller.end_lease(job)
    frames = controller.jobs[job.job_id].reports[-1].frames
    room.start_agent()
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed.origin is Origin.SALVAGED
    assert sealed.facts.end_reason is EndReason.STOPPED
    assert_nothing_is_missing(sealed.parts["audio"], sealed.facts.frames)
    assert sealed.facts.frames >= frames


# ---- the renderer ----


def test_killed_renderer_makes_the_same_bytes_again(place: Place) -> None:
    controller, room = place
    room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 300_000)
    (renderer,) = room.renderer_pids()
    os.kill(renderer, signal.SIGKILL)
    wait_for("another renderer", lambda: room.renderer_pids() not in ([], [renderer]))
    controller.wait_for_audio(job, 400_000)
    (received, (cache_file,)) = controller.received_bytes, controller.cache_files.values()
    assert received < len(cache_file.parts["audio"]) + 50_000  # asked before the stop, as above
    controller.wish(job, Wish.STOP)
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert_nothing_is_missing(sealed.parts["audio"], sealed.facts.frames)


# ---- the controller ----


def test_lost_answer_to_a_claim_is_asked_for_again_under_the_same_id(place: Place) -> None:
    controller, room = place
    controller.lost_answers["claim-next"] = 2
    job = controller.add_job(job_settings(duration_ms=500))
    controller.add_job(job_settings(duration_ms=500))
    room.start_agent()
    for one in controller.jobs.values():
        controller.wait_until("seal", lambda one=one: controller.sealed(one))
    assert len(set(controller.claim_ids[:3])) == 1
    assert len(controller.cache_files) == 2
    assert job.claim_id == controller.claim_ids[0]


def test_job_whose_claim_was_answered_to_a_dead_agent_is_taken_on(place: Place) -> None:
    controller, room = place
    controller.lost_answers["claim-next"] = 1000
    job = controller.add_job(job_settings(duration_ms=500))
    agent = room.start_agent()
    controller.wait_until("claim", lambda: controller.claim_ids)
    agent.kill()
    agent.wait()
    room.start_agent()
    controller.wait_until("seal", lambda: controller.sealed(job))


@pytest.mark.parametrize("route", ["run", "cache-files", "seal", "heartbeat", "audio"])
def test_lost_answer_has_no_second_effect(place: Place, route: str) -> None:
    controller, room = place
    controller.lost_answers[route] = 2
    job = controller.add_job(job_settings(duration_ms=800))
    room.start_agent()
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    wait_for("the job to go", lambda: room.job_states() == [])
    assert_nothing_is_missing(sealed.parts["audio"], 38_400)
    assert len(controller.cache_files) == 1
    assert controller.node_run == 1


@pytest.mark.long
def test_agent_that_starts_without_a_controller_keeps_capturing(place: Place) -> None:
    controller, room = place
    agent = room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 100_000)
    agent.kill()
    agent.wait()
    controller.stop()
    (owner,) = room.owner_pids()
    room.start_agent()
    wait_for("the agent to miss its controller", lambda: "controller is not available" in room.log)
    os.kill(owner, signal.SIGKILL)
    wait_for("another owner", lambda: room.owner_pids() not in ([], [owner]))
    controller.start()
    controller.wait_for_audio(job, 400_000)
    controller.wish(job, Wish.STOP)
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert len(sealed.facts.gaps) == 1
    assert len(counter_values(sealed.parts["audio"])) == sealed.facts.frames


def test_damaged_upload_is_never_sealed_and_goes_again(place: Place) -> None:
    controller, room = place
    controller.damaged_parts = 1
    room.start_agent()
    job = controller.add_job(job_settings(duration_ms=500))
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert_nothing_is_missing(sealed.parts["audio"], 24_000)
    assert len(controller.cache_files) == 2


def test_controller_that_asks_for_patience_is_not_pressed(place: Place) -> None:
    controller, room = place
    controller.refusals["claim-next"] = (503, "2")
    room.start_agent()
    controller.wait_until("claim", lambda: controller.calls["claim-next"])
    controller.wait_until("second claim", lambda: controller.calls["claim-next"] > 1)
    first, second = controller.called_at["claim-next"][:2]
    assert second - first > 1.9


@pytest.mark.long
def test_recording_that_the_controller_does_not_accept_is_told_and_can_be_cancelled(place: Place) -> None:
    controller, room = place
    controller.refusals["seal"] = (422, "")
    room.start_agent()
    job = controller.add_job(job_settings(duration_ms=500))
    controller.wait_until("the alarm", lambda: [event for event in controller.events if event.kind == "upload_refused"])
    controller.wish(job, Wish.CANCEL)
    controller.wait_until("finish", lambda: job.finish)
    assert job.finish.outcome == "cancelled"
    wait_for("the job to be kept", lambda: [state.stage for state in room.job_states()] == [Stage.KEPT])
    assert controller.calls["seal"] < 10


def test_refusal_that_passes_raises_no_alarm(place: Place) -> None:
    controller, room = place
    controller.refusals["seal"] = (409, "")
    room.start_agent()
    job = controller.add_job(job_settings(duration_ms=500))
    controller.wait_until("a refusal", lambda: controller.calls["seal"])
    controller.refusals.clear()
    controller.wait_until("seal", lambda: controller.sealed(job))
    assert kinds_told(controller) == []


def test_cancelled_recording_without_a_lease_presses_nobody_while_its_owner_hangs(place: Place) -> None:
    controller, room = place
    controller.refusals["seal"] = (503, "")
    room.start_agent()
    job = controller.add_job(job_settings(duration_ms=500))
    controller.wait_until("a seal", lambda: controller.calls["seal"])
    (owner,) = room.owner_pids()
    os.kill(owner, signal.SIGSTOP)
    controller.wish(job, Wish.CANCEL)
    wait_for("the cancel to arrive", lambda: room.job_states()[0].wish is Wish.CANCEL)
    before = controller.calls["seal"]
    controller.end_lease(job)
    del controller.refusals["seal"]
    wait_for("the seal that is refused", lambda: "did not answer in time" in room.log)
    assert controller.calls["seal"] - before < 15
    os.kill(owner, signal.SIGCONT)
    wait_for("the job to be kept", lambda: [state.stage for state in room.job_states()] == [Stage.KEPT])


def test_finish_is_told_until_it_is_heard_also_over_a_restart(place: Place) -> None:
    controller, room = place
    controller.refusals["finish"] = (503, "")
    job = controller.add_job(job_settings(channel_map=[[1.0]]))
    agent = room.start_agent()
    controller.wait_until("finish", lambda: controller.calls["finish"] > 1)
    agent.kill()
    agent.wait()
    controller.refusals.clear()
    room.start_agent()
    controller.wait_until("finish", lambda: job.finish)
    assert job.finish.reason == "channel_map_does_not_fit"
    wait_for("the job to go", lambda: room.job_states() == [])


def test_job_that_ended_while_the_agent_was_away_becomes_salvage(quick_place: Place) -> None:
    controller, room = quick_place
    agent = room.start_agent()
    job = controller.add_job(job_settings(duration_ms=3000))
    controller.wait_for_audio(job, 100_000)
    agent.kill()
    agent.wait()
    controller.end_lease(job)
    room.start_agent()
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed.origin is Origin.SALVAGED
    assert_nothing_is_missing(sealed.parts["audio"], 3 * 48_000)
    assert job.finish is None


def test_lost_lease_never_stops_a_capture_and_its_audio_becomes_salvage(quick_place: Place) -> None:
    controller, room = quick_place
    room.start_agent()
    job = controller.add_job(job_settings(duration_ms=4000))
    controller.wait_for_audio(job, 100_000)
    controller.end_lease(job)
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed.origin is Origin.SALVAGED
    assert sealed.facts.frames == 4 * 48_000
    assert_nothing_is_missing(sealed.parts["audio"], 4 * 48_000)
    assert job.state == "failed"
    controller.wait_until("event", lambda: "lease_lost" in kinds_told(controller))
