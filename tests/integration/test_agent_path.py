"""The whole path on the agent's side, with real capture and render processes: claim, begin, render, upload, seal."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core_rs import ChannelMap, keyed_pcm
from protocol.messages import EndReason, InterfaceRef, Origin, Wish
from tests.agent_room import (
    AgentRoom,
    assert_nothing_is_missing,
    controller_and_room,
    job_settings,
    kinds_told,
    rss_mib,
    wait_for,
)
from tests.integration.fake_controller import FakeController

KEY_OF_COUNTER_32 = 32


Place = tuple[FakeController, AgentRoom]


def test_stopped_recording_is_sealed_soon_and_complete(place: Place) -> None:
    controller, room = place
    room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 200_000)
    pressed = controller.wish(job, Wish.STOP)
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed.sealed_at - pressed < 60.0
    assert sealed.origin is Origin.NORMAL
    assert sealed.facts.end_reason is EndReason.STOPPED
    assert sealed.facts.gaps == []
    assert_nothing_is_missing(sealed.parts["audio"], sealed.facts.frames)
    assert job.state == "completed"


def test_facts_waveform_and_ledger_agree_with_the_audio(place: Place) -> None:
    controller, room = place
    room.start_agent()
    job = controller.add_job(job_settings("tone"))
    controller.wait_for_audio(job, 100_000)
    controller.wish(job, Wish.STOP)
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    facts = sealed.facts
    assert facts.channels == 2
    assert [round(level.peak_dbfs) for level in facts.levels] == [-18, -18]
    assert [round(level.rms_dbfs) for level in facts.levels] == [-21, -21]
    assert len(sealed.parts["audio"]) == 4096 + facts.frames * 4
    assert json.loads(sealed.parts["ledger"])["frames"] == facts.frames
    header = np.frombuffer(bytes(sealed.parts["waveform"][:24]), dtype="<i4")
    assert list(header) == [2, 1, 48_000, 512, -(-facts.frames // 512), 2]
    assert len(sealed.parts["waveform"]) == 24 + header[4] * 2 * 2
    assert facts.clock_pairs
    assert facts.segments[0].start_frame == 0


def test_recording_of_nominal_length_has_exactly_its_frames(place: Place) -> None:
    controller, room = place
    room.start_agent()
    job = controller.add_job(job_settings(duration_ms=1500))
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed.facts.frames == 72_000
    assert sealed.facts.end_reason is EndReason.PLANNED_END
    assert_nothing_is_missing(sealed.parts["audio"], 72_000)


def test_recordings_that_meet_at_an_instant_share_the_frame(place: Place) -> None:
    controller, room = place
    room.start_agent()
    controller.wait_until("inventory", lambda: controller.inventory)
    instants = ["2030-01-01T10:00:00Z", "2030-01-01T11:00:00Z", "2030-01-01T12:00:00Z"]
    first = controller.add_job(job_settings(starts_at=instants[0], ends_at=instants[1]), starts_in=5.0, ends_in=6.5)
    second = controller.add_job(job_settings(starts_at=instants[1], ends_at=instants[2]), starts_in=6.5, ends_in=8.0)
    sealed = [controller.wait_until("seal", lambda job=job: controller.sealed(job)) for job in (first, second)]
    one, two = (cache_file.facts for cache_file in sealed)
    assert one.take_id == two.take_id
    assert one.end_frame == two.start_frame
    assert abs(one.frames - 72_000) < 70_000  # an answer that is heard late makes its durations late
    assert_nothing_is_missing(sealed[0].parts["audio"] + sealed[1].parts["audio"][4096:], one.frames + two.frames)


def test_channels_of_a_wide_interface_arrive_bit_for_bit_in_the_order_of_the_map(place: Place) -> None:
    controller, room = place
    room.start_agent()
    rows = ChannelMap.select([31, 0, 5], inputs=32).rows
    job = controller.add_job(job_settings("counter-32", channel_map=rows, duration_ms=700))
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    found = np.frombuffer(bytes(sealed.parts["audio"][4096:]), dtype="<i4").reshape(-1, 3)
    first = next(
        frame
        for frame in range(1, 48_000 * 60)
        if np.frombuffer(keyed_pcm(frame, 1, 32, KEY_OF_COUNTER_32), dtype="<i4")[31] == found[0, 0]
    )
    expected = np.frombuffer(keyed_pcm(first, len(found), 32, KEY_OF_COUNTER_32), dtype="<i4").reshape(-1, 32)
    assert (found == expected[:, [31, 0, 5]]).all()


def test_stop_before_anything_was_captured_ends_as_cancelled(place: Place) -> None:
    controller, room = place
    job = controller.add_job(job_settings())
    controller.wish(job, Wish.STOP)
    room.start_agent()
    controller.wait_until("finish", lambda: job.finish)
    assert (job.finish.outcome, job.finish.reason) == ("cancelled", "nothing_captured")
    assert room.owner_pids() == []
    wait_for("the job to go", lambda: room.job_states() == [])


def test_cancel_delivers_nothing_and_keeps_what_was_captured(place: Place) -> None:
    controller, room = place
    room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 100_000)
    controller.wish(job, Wish.CANCEL)
    controller.wait_until("finish", lambda: job.finish)
    assert (job.finish.outcome, job.finish.reason) == ("cancelled", "cancelled")
    assert controller.sealed(job) is None
    (state,) = room.job_states()
    assert list((room.settings.takes_folder / str(state.take_id)).glob("*.wav"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"channel_map": [[1.0]]}, "channel_map_does_not_fit"),
        ({"interface": InterfaceRef(backend="synthetic", name="banjo")}, "interface_unknown"),
    ],
    ids=["map", "interface"],
)
def test_what_does_not_fit_is_refused_in_words(place: Place, changes: dict[str, object], reason: str) -> None:
    controller, room = place
    room.start_agent()
    job = controller.add_job(job_settings(**changes))
    controller.wait_until("finish", lambda: job.finish)
    assert (job.finish.outcome, job.finish.reason) == ("failed", reason)
    assert job.finish.message.endswith(".")
    assert "hoose" in job.finish.message


def test_input_that_is_away_at_the_start_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "later.wav"
    with controller_and_room(file_inputs=(tmp_path,)) as (controller, room):
        room.start_agent()
        interface = InterfaceRef(backend="file", name=str(file))
        job = controller.add_job(job_settings("speech", interface=interface))
        controller.wait_until("an alarm", lambda: kinds_told(controller))
        assert kinds_told(controller) == ["capture_not_started"]
        assert job.finish is None
        soundfile.write(tmp_path / "later.new", np.ones(48_000, "<i2"), 48_000, format="WAV")
        (tmp_path / "later.new").rename(file)
        controller.wait_for_audio(job, 8_000)


def test_delivered_take_is_removed_after_its_last_recording() -> None:
    with controller_and_room(time_scale=0.2) as (controller, room):
        room.start_agent()
        job = controller.add_job(job_settings(duration_ms=500))
        controller.wait_until("seal", lambda: controller.sealed(job))
        wait_for("the take to go", lambda: not list(room.settings.takes_folder.glob("[!.]*")))
        wait_for("the job to go", lambda: room.job_states() == [])


@pytest.mark.long
def test_memory_of_the_agent_does_not_grow_with_what_it_uploads(place: Place) -> None:
    controller, room = place
    agent = room.start_agent()
    job = controller.add_job(job_settings("counter-32"))
    controller.wait_for_audio(job, 8_000_000)
    before = rss_mib(agent.pid)
    controller.wait_for_audio(job, 50_000_000)
    assert rss_mib(agent.pid) - before < 8
    renderer_mib = [rss_mib(pid) for pid in room.renderer_pids()]
    print(f"agent {rss_mib(agent.pid):.0f} MiB, renderer {renderer_mib[0]:.0f} MiB")
    assert rss_mib(agent.pid) < 120
    assert renderer_mib[0] < 100


def test_token_is_only_readable_for_its_user_and_not_in_any_log(place: Place) -> None:
    controller, room = place
    room.start_agent()
    controller.wait_until("inventory", lambda: controller.inventory)
    path = room.settings.node_folder / "node.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert "rkn_token" not in room.log
