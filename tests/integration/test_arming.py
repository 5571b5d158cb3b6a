"""Interfaces that are captured before anybody starts, from a real agent and its owners."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from protocol.messages import ArmedInterface, CaptureFormat, InterfaceRef, Wish
from tests.agent_room import (
    AgentRoom,
    assert_nothing_is_missing,
    controller_and_room,
    job_settings,
    wait_for,
)
from tests.integration.fake_controller import FakeController

COUNTER = InterfaceRef(backend="synthetic", name="counter")
ARMED = ArmedInterface(
    interface=COUNTER,
    capture=CaptureFormat(channels=2, sample_rate_hz=48_000, sample_type="s16"),
    preroll_ms=2_000,
)
Pair = tuple[FakeController, AgentRoom]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with controller_and_room(time_scale=0.2) as made:
        yield made


def held_seconds(room: AgentRoom) -> float:
    """In all takes of the node."""
    held_bytes = 0
    for name in take_names(room):
        with suppress(FileNotFoundError):  # what is not needed goes meanwhile
            files = (room.settings.node_folder / "takes" / name).glob("*.wav")
            held_bytes += sum(path.stat().st_size for path in files)
    return held_bytes / 4 / 48_000


def take_names(room: AgentRoom) -> set[str]:
    return {path.name for path in (room.settings.node_folder / "takes").glob("[!.]*")}


def armed_agent(pair: Pair, seconds: float) -> None:
    """An agent whose armed interface holds so much."""
    controller, room = pair
    controller.arm(ARMED)
    room.start_agent()
    wait_for("pre-roll", lambda: held_seconds(room) > seconds, 60)


def test_start_reaches_back_its_preroll_and_disarming_wipes_what_is_delivered(pair: Pair) -> None:
    controller, room = pair
    armed_agent(pair, 1.5)
    assert room.job_states() == []
    job = controller.add_job(job_settings(preroll_ms=1_000, duration_ms=700))
    sealed = controller.wait_until("seal", lambda: controller.sealed(job), 60)
    assert sealed.facts.frames == 1_700 * 48, "a nominal length counts from the press"
    assert sealed.facts.preroll_frames == 48_000
    assert_nothing_is_missing(sealed.parts["audio"], 1_700 * 48)
    assert not [event for event in controller.events if event.kind == "preroll_short"]
    controller.arm()
    wait_for("nothing to be held", lambda: not take_names(room), 60)


def test_start_before_there_is_enough_begins_with_the_arming_says_so_and_outlives_it(pair: Pair) -> None:
    controller, _ = pair
    armed_agent(pair, 0.3)
    job = controller.add_job(job_settings(preroll_ms=60_000))
    controller.wait_for_audio(job, 100_000)
    controller.arm()
    controller.wait_for_audio(job, 300_000)
    controller.wish(job, Wish.STOP)
    sealed = controller.wait_until("seal", lambda: controller.sealed(job), 60)
    assert_nothing_is_missing(sealed.parts["audio"], sealed.facts.frames)
    assert sealed.facts.frames < 30_000 * 48
    controller.wait_until("event", lambda: [event for event in controller.events if event.kind == "preroll_short"])


def test_arming_outlives_agent_and_owner_without_the_controller(pair: Pair) -> None:
    controller, room = pair
    armed_agent(pair, 0.2)
    (agent,), before = room.agents, take_names(room)
    agent.kill()
    agent.wait()
    controller.stop()
    (owner,) = room.owner_pids()
    os.kill(owner, signal.SIGKILL)
    room.start_agent()
    wait_for("another owner", lambda: room.owner_pids() not in ([], [owner]), 60)
    wait_for("another take", lambda: not take_names(room) & before and held_seconds(room) > 0.2, 60)
    controller.start()
