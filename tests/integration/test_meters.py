"""Levels of watched interfaces, from a real agent and its owners."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from protocol.messages import InterfaceLevels, InterfaceRef
from tests.agent_room import AgentRoom, controller_and_room, job_settings, wait_for
from tests.integration.fake_controller import FakeController

TONE = InterfaceRef(backend="synthetic", name="tone")
COUNTER = InterfaceRef(backend="synthetic", name="counter")
Pair = tuple[FakeController, AgentRoom]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with controller_and_room(time_scale=0.1) as made:
        yield made


def heard(controller: FakeController, interface: InterfaceRef) -> list[InterfaceLevels]:
    """Every report of this interface that had channels."""
    reports = [one for request in controller.levels for one in request.interfaces]
    return [report for report in reports if report.interface == interface and report.channels]


def watch(controller: FakeController, *interfaces: InterfaceRef) -> None:
    controller.watched = list(interfaces)
    controller.change_no += 1


def test_watched_interface_is_metered_without_a_take_and_ends_when_nobody_looks(pair: Pair) -> None:
    controller, room = pair
    room.start_agent()
    watch(controller, TONE, COUNTER)
    controller.wait_until("levels of both", lambda: heard(controller, TONE) and heard(controller, COUNTER))
    levels = heard(controller, TONE)[-1].channels
    assert [(round(level.peak_dbfs or 0), round(level.rms_dbfs or 0)) for level in levels] == [(-18, -21)] * 2
    assert len(room.owner_pids()) == 2
    assert not list(room.settings.takes_folder.glob("[!.]*"))
    watch(controller)
    wait_for("the owners to end", lambda: not room.owner_pids())
    sent = len(controller.levels)
    controller.wait_until("heartbeats", lambda: controller.calls["heartbeat"] > 3)
    assert len(controller.levels) == sent


def test_recording_of_a_watched_interface_uses_the_same_capture(pair: Pair) -> None:
    controller, room = pair
    room.start_agent()
    watch(controller, COUNTER)
    controller.wait_until("levels", lambda: heard(controller, COUNTER))
    watched_by = room.owner_pids()
    job = controller.add_job(job_settings())
    controller.wait_until("frames", lambda: job.reports and (job.reports[-1].frames or 0) > 0)
    seen = len(heard(controller, COUNTER))
    controller.wait_until("more levels", lambda: len(heard(controller, COUNTER)) > seen)
    assert room.owner_pids() == watched_by


def test_interface_that_is_not_there_is_reported_without_channels(pair: Pair) -> None:
    controller, room = pair
    room.start_agent()
    gone = InterfaceRef(backend="portaudio", name="never plugged in")
    watch(controller, gone)
    controller.wait_until("reports", lambda: len(controller.levels) > 2)
    assert [request.interfaces for request in controller.levels[:2]] == [
        [InterfaceLevels(interface=gone, channels=[])]
    ] * 2
    assert room.owner_pids() == []


def test_interface_that_falls_silent_is_reported_without_channels_rather_than_as_silence(pair: Pair) -> None:
    controller, room = pair
    room.start_agent()
    watch(controller, TONE)
    controller.wait_until("levels", lambda: heard(controller, TONE))
    (owner,) = room.owner_pids()
    os.kill(owner, signal.SIGSTOP)
    try:
        seen = len(controller.levels)
        controller.wait_until(
            "the silence", lambda: any(not one.channels for now in controller.levels[seen:] for one in now.interfaces)
        )
    finally:
        os.kill(owner, signal.SIGCONT)
    seen = len(heard(controller, TONE))
    controller.wait_until("levels again", lambda: len(heard(controller, TONE)) > seen)


def test_levels_stop_while_the_controller_refuses_and_captures_do_not_notice(pair: Pair) -> None:
    controller, room = pair
    room.start_agent()
    job = controller.add_job(job_settings())
    watch(controller, COUNTER)
    controller.wait_until("levels", lambda: heard(controller, COUNTER))
    controller.wait_until("a report", lambda: job.reports)
    controller.refusals["levels"] = (503, "1")
    refused = controller.calls["levels"]
    frames = job.reports[-1].frames or 0
    controller.wait_until("frames", lambda: (job.reports[-1].frames or 0) > frames + 96_000)
    assert controller.calls["levels"] - refused < 30
    del controller.refusals["levels"]
    seen = len(heard(controller, COUNTER))
    controller.wait_until("levels again", lambda: len(heard(controller, COUNTER)) > seen)


def test_sound_file_is_an_input_that_is_listed_and_heard(tmp_path: Path) -> None:
    file = tmp_path / "beeps.flac"
    soundfile.write(file, np.full((480, 3), 0.5), 44_100, subtype="PCM_24")
    (tmp_path / "notes.txt").write_text("no sound")
    with controller_and_room(time_scale=0.1, file_inputs=(tmp_path,)) as (controller, room):
        room.start_agent()
        controller.wait_until(
            "the file in the inventory",
            lambda: controller.inventory and any(one.backend == "file" for one in controller.inventory.interfaces),
        )
        assert controller.inventory
        (found,) = [one for one in controller.inventory.interfaces if one.backend == "file"]
        assert (found.name, found.label) == (str(file), "beeps")
        capture = found.default_capture
        assert (capture.channels, capture.sample_rate_hz, capture.sample_type) == (3, 44_100, "s24")
        interface = InterfaceRef(backend="file", name=str(file))
        watch(controller, interface)
        controller.wait_until("levels", lambda: heard(controller, interface))
        assert [round(one.peak_dbfs or 0) for one in heard(controller, interface)[0].channels] == [-6, -6, -6]
