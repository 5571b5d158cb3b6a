"""MP3 and FLAC on the agent's side: whatever is killed, what arrives is what one undisturbed renderer makes."""

import os
import signal
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from agent.files import read_model, write_model
from agent.job_folder import JobFolder
from agent.renderer.follow import follow
from agent.states import RenderTask, Stage
from protocol.messages import SEEK_ENTRY, Encoding, FlacEncoding, Mp3Encoding, Origin, Wish
from tests.agent_room import AgentRoom, job_settings, wait_for
from tests.integration.fake_controller import FakeCacheFile, FakeController, FakeJob
from web.cache.checks import check_audio, check_facts, check_seek, check_waveform

MP3 = Mp3Encoding(vbr_quality=5)
Place = tuple[FakeController, AgentRoom]


def sealed_after_stop(controller: FakeController, job: FakeJob) -> FakeCacheFile:
    assert len(controller.cache_files) == 1  # asked before the stop: one that is heard late makes the file anew
    controller.wish(job, Wish.STOP)
    sealed: FakeCacheFile = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed.origin is Origin.NORMAL
    return sealed


def hold_renderer(room: AgentRoom) -> int:
    """It goes no further, as if the machine were very busy. Its pid."""
    (renderer,) = room.renderer_pids()
    os.kill(renderer, signal.SIGSTOP)
    return renderer


def stop_with_renderer_held(controller: FakeController, room: AgentRoom, job: FakeJob) -> int:
    """Nothing is encoded beyond the press, however late the agent hears of it. The pid of who has still to hear it."""
    renderer = hold_renderer(room)
    controller.wish(job, Wish.STOP)
    wait_for("an end", lambda: room.job_states()[0].stage is Stage.FINISHING)
    wait_for("the task to have it", lambda: kept_task(room).end_frame is not None)
    return renderer


def kill_renderer(room: AgentRoom, renderer: int) -> None:
    os.kill(renderer, signal.SIGKILL)
    wait_for("the renderer's end", lambda: renderer not in room.renderer_pids())


def stop_was_asked(pid: int) -> bool:
    """Whether SIGTERM waits for a process that is stopped."""
    (pending,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("ShdPnd")]
    return bool(int(pending.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def kept_task(room: AgentRoom) -> RenderTask:
    """As the agent wrote it last."""
    (path,) = (room.settings.node_folder / "jobs").glob("*/render.json")
    return read_model(path, RenderTask)


def made_undisturbed(folder: Path, task: RenderTask) -> dict[str, bytes]:
    """The same range of the same take, by one renderer that is left alone."""
    alone = JobFolder(folder)
    folder.mkdir()
    write_model(alone.render, task)
    follow(alone)
    return {"audio": alone.audio.read_bytes(), "waveform": alone.waveform.read_bytes(), "seek": alone.seek.read_bytes()}


def keep_until_compared(controller: FakeController) -> None:
    """The agent offers its seal until this is taken back."""
    controller.refusals["seal"] = (503, "0.2")


def compare_and_seal(
    controller: FakeController, room: AgentRoom, job: FakeJob, folder: Path, parts: tuple[str, ...]
) -> FakeCacheFile:
    wait_for("a rendition", lambda: room.job_states()[0].stage is Stage.UPLOADING)
    expected = made_undisturbed(folder, kept_task(room))
    del controller.refusals["seal"]
    sealed: FakeCacheFile = controller.wait_until("seal", lambda: controller.sealed(job))
    for part in parts:
        assert bytes(sealed.parts[part]) == expected[part], part  # type: ignore[index]
    assert len(controller.cache_files) == 1
    return sealed


PARTS = ("audio", "waveform", "seek")


@pytest.mark.parametrize(
    ("encoding", "suffix"), [(MP3, "mp3"), (Mp3Encoding(bitrate_kbps=128), "mp3"), (FlacEncoding(bits=24), "flac")]
)
def test_stopped_recording_is_sealed_and_plays_with_the_level_of_its_source(
    place: Place, tmp_path: Path, encoding: Encoding, suffix: str
) -> None:
    controller, room = place
    room.start_agent()
    job = controller.add_job(job_settings("tone", encoding=encoding))
    controller.wait_for_audio(job, 8_000)
    sealed = sealed_after_stop(controller, job)
    (tmp_path / f"a.{suffix}").write_bytes(sealed.parts["audio"])
    heard, rate = soundfile.read(tmp_path / f"a.{suffix}", always_2d=True)
    assert (len(heard), rate) == (sealed.facts.frames, 48_000)  # type: ignore[union-attr]
    # LAME is up to 0.3 dB off with a lone tone, by the phase in which it begins.
    assert 20 * np.log10(np.sqrt((heard**2).mean())) == pytest.approx(-21.0, abs=0.5)


@pytest.mark.parametrize("encoding", [MP3, FlacEncoding(bits=16)])
def test_what_arrives_is_what_the_controller_checks(place: Place, tmp_path: Path, encoding: Encoding) -> None:
    controller, room = place
    room.start_agent()
    job = controller.add_job(job_settings("tone", encoding=encoding, duration_ms=2300))
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    facts, audio = sealed.facts, bytes(sealed.parts["audio"])
    (tmp_path / "seek").write_bytes(sealed.parts["seek"])
    check_facts(facts)
    check_audio(audio[:4096], len(audio), facts)
    check_waveform(bytes(sealed.parts["waveform"][:24]), len(sealed.parts["waveform"]), facts)
    check_seek(tmp_path / "seek", len(audio), facts)
    assert len(list(struct.iter_unpack(SEEK_ENTRY, sealed.parts["seek"]))) == 3


def test_flac_of_a_recording_has_every_frame_of_the_device(place: Place, tmp_path: Path) -> None:
    controller, room = place
    room.start_agent()
    job = controller.add_job(job_settings("counter", encoding=FlacEncoding(bits=16)))
    controller.wait_for_audio(job, 4_096)
    kill_renderer(room, hold_renderer(room))
    controller.wait_for_audio(job, 8_192)
    sealed = sealed_after_stop(controller, job)
    (tmp_path / "a.flac").write_bytes(sealed.parts["audio"])
    heard = soundfile.read(tmp_path / "a.flac", dtype="int16")[0].astype("<i2").view("<u4").ravel()
    assert len(heard) == sealed.facts.frames  # type: ignore[union-attr]
    assert (np.diff(heard.astype(np.int64)) == 1).all()


def test_renderer_killed_while_capturing_and_while_finishing_makes_the_same_mp3(place: Place, tmp_path: Path) -> None:
    controller, room = place
    agent = room.start_agent()
    job = controller.add_job(job_settings("speech", encoding=MP3))
    controller.wait_for_audio(job, 6_000)
    kill_renderer(room, hold_renderer(room))
    controller.wait_for_audio(job, 18_000)
    wait_for("a renderer", room.renderer_pids)
    keep_until_compared(controller)
    kill_renderer(room, stop_with_renderer_held(controller, room, job))
    sealed = compare_and_seal(controller, room, job, tmp_path / "alone", PARTS)
    sent_once = sum(len(content) for content in sealed.parts.values())
    assert controller.received_bytes == sent_once
    assert agent.poll() is None


@pytest.mark.long
def test_renderer_killed_just_before_its_rendition_is_written_makes_the_same_mp3(place: Place, tmp_path: Path) -> None:
    controller, room = place
    agent = room.start_agent()
    job = controller.add_job(job_settings("speech", encoding=MP3))
    controller.wait_for_audio(job, 6_000)
    keep_until_compared(controller)
    controller.wish(job, Wish.STOP)
    wait_for("a rendition", lambda: room.job_states()[0].stage is Stage.UPLOADING)
    agent.kill()
    agent.wait()
    (folder,) = (room.settings.node_folder / "jobs").iterdir()
    for path in folder.glob("rendition.json*"):
        path.unlink()
    write_model(folder / "job.json", room.job_states()[0].model_copy(update={"stage": Stage.FINISHING}))
    room.start_agent()
    compare_and_seal(controller, room, job, tmp_path / "alone", PARTS)


@pytest.mark.parametrize("stage", [Stage.CAPTURING, Stage.FINISHING, Stage.UPLOADING])
def test_agent_killed_in_a_stage_of_an_mp3_costs_nothing(place: Place, tmp_path: Path, stage: Stage) -> None:
    controller, room = place
    agent = room.start_agent()
    job = controller.add_job(job_settings("speech", encoding=MP3))
    controller.wait_for_audio(job, 6_000)
    (renderer,) = room.renderer_pids()
    keep_until_compared(controller)
    if stage is not Stage.CAPTURING:
        stop_with_renderer_held(controller, room, job)
    if stage is Stage.UPLOADING:
        os.kill(renderer, signal.SIGCONT)
        wait_for("the stage", lambda: room.job_states()[0].stage is stage)
    agent.kill()
    agent.wait()
    if stage is Stage.FINISHING:
        os.kill(renderer, signal.SIGCONT)
    room.start_agent()
    if stage is Stage.CAPTURING:
        controller.wait_for_audio(job, 18_000)
        assert room.renderer_pids() == [renderer]
        os.kill(stop_with_renderer_held(controller, room, job), signal.SIGCONT)
    sealed = compare_and_seal(controller, room, job, tmp_path / "alone", PARTS)
    assert controller.received_bytes == sum(len(content) for content in sealed.parts.values())


@pytest.mark.long
def test_a_stop_that_is_heard_late_cuts_the_mp3_at_the_press(place: Place, tmp_path: Path) -> None:
    """What was encoded and sent meanwhile is no start of the shorter file, so that goes up anew."""
    controller, room = place
    room.start_agent()
    job = controller.add_job(job_settings("speech", encoding=MP3))
    controller.wait_for_audio(job, 40_000)
    controller.wish(job, Wish.STOP, age=2.5)
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed.origin is Origin.NORMAL
    (tmp_path / "a.mp3").write_bytes(sealed.parts["audio"])
    assert len(soundfile.read(tmp_path / "a.mp3")[0]) == sealed.facts.frames
    assert [event.kind for event in controller.events] == []


def test_another_version_of_the_encoder_begins_a_new_cache_file(place: Place) -> None:
    controller, room = place
    agent = room.start_agent()
    job = controller.add_job(job_settings("speech", encoding=MP3))
    controller.wait_for_audio(job, 6_000)
    agent.kill()
    agent.wait()
    renderer = hold_renderer(room)
    (path,) = (room.settings.node_folder / "jobs").glob("*/render.json")
    write_model(path, kept_task(room).model_copy(update={"encoder_version": "reelkeeper-mp3 0, LAME 3.99"}))
    room.start_agent()
    wait_for("the end of the one that the agent found", lambda: stop_was_asked(renderer))
    assert (path.parent / "audio").exists(), "nothing is removed under a living renderer"
    os.kill(renderer, signal.SIGCONT)
    controller.wait_until("another cache file", lambda: len(controller.cache_files) == 2)
    assert renderer not in room.renderer_pids()
    controller.wish(job, Wish.STOP)
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed is list(controller.cache_files.values())[1]
    assert sealed.facts
    assert sealed.facts.encoder_version.startswith("reelkeeper-mp3 1, LAME")


def test_what_does_not_fit_is_refused_before_anything_is_captured(place: Place) -> None:
    controller, room = place
    room.start_agent()
    settings: dict[str, Any] = {"encoding": MP3}
    job = controller.add_job(job_settings("counter-32", **settings))
    finish = controller.wait_until("refusal", lambda: job.finish)
    assert (finish.outcome, finish.reason) == ("failed", "encoding_does_not_fit")
    assert "MP3 takes 1 or 2 channels, not 32" in finish.message
    assert room.owner_pids() == []


def test_a_rendition_that_cannot_be_written_is_told_and_made_once_there_is_room(place: Place) -> None:
    controller, room = place
    room.start_agent()
    job = controller.add_job(job_settings("speech", encoding=MP3))
    controller.wait_for_audio(job, 6_000)
    renderer = hold_renderer(room)
    (folder,) = (room.settings.node_folder / "jobs").iterdir()
    (folder / "audio").unlink()
    (folder / "audio").symlink_to("/dev/full")
    kill_renderer(room, renderer)
    event = controller.wait_until(
        "event", lambda: next((one for one in controller.events if one.kind == "rendition_not_written"), None)
    )
    assert event.severity == "critical"
    assert "No space left on device" in event.message
    (folder / "audio").unlink()
    sealed = sealed_after_stop(controller, job)
    assert sealed.facts.gaps == []  # type: ignore[union-attr]
