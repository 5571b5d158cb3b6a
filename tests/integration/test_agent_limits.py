"""A recording ends at its limits by itself, whoever else ends it at that moment, and none begins without room."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from core_rs import Take, disk_room
from protocol.messages import EndReason, Limits, Mp3Encoding, Origin, Phase, RecordingFacts, Wish
from protocol.timeouts import Timeouts
from reelkeeper.faultkit.volume import small_volume
from tests.agent_room import (
    AgentRoom,
    assert_only_gaps_are_missing,
    controller_and_room,
    job_settings,
    wait_for,
)
from tests.integration.fake_controller import FakeCacheFile, FakeController, FakeJob

MIB = 1 << 20
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


def test_length_limit_ends_at_its_frame_while_the_controller_is_away() -> None:
    with controller_and_room() as (controller, room):
        room.start_agent()
        job = controller.add_job(job_settings(limits=Limits(length_ms=4000)))
        controller.wait_until("the start", lambda: job.phase)
        controller.stop()
        wait_for("the end", lambda: [state.end_reason for state in room.job_states()] == [EndReason.LENGTH_LIMIT])
        controller.start()
        facts = sealed_of(controller, job)
        assert (facts.frames, facts.end_reason) == (192_000, EndReason.LENGTH_LIMIT)
        assert [one.origin for one in controller.cache_files.values()] == [Origin.TRUNCATED]


def test_size_limit_ends_as_a_file_that_fits_and_a_prefix_of_what_was_captured() -> None:
    with controller_and_room() as (controller, room):
        room.start_agent()
        wav = controller.add_job(job_settings(limits=Limits(size_bytes=300_000)))
        mp3 = controller.add_job(
            job_settings("tone", encoding=Mp3Encoding(bitrate_kbps=320), limits=Limits(size_bytes=100_000))
        )
        for job, most_bytes in ((wav, 300_000), (mp3, 100_000)):
            facts = sealed_of(controller, job)
            sealed = controller.sealed(job)
            assert sealed is not None
            assert most_bytes * 0.8 < len(sealed.parts["audio"]) <= most_bytes
            assert (facts.end_reason, sealed.origin) == (EndReason.SIZE_LIMIT, Origin.TRUNCATED)


def test_stop_limit_and_plan_at_the_same_moment_make_one_end() -> None:
    with controller_and_room() as (controller, room):
        room.start_agent()
        jobs = [
            controller.add_job(job_settings(duration_ms=1_000 + ms, limits=Limits(length_ms=1_003)))
            for ms in range(0, 8, 2)
        ]
        wait_for("starts", lambda: durable_frame(room) > 24_000)
        controller.wait_until("phases", lambda: all(has_begun(job) for job in jobs))
        for job in jobs:
            controller.wish(job, Wish.STOP)
        for job in jobs:
            sealed = sealed_of(controller, job)
            first = min(1_003, job.settings.duration_ms or 0) * 48
            assert sealed.frames <= first
            reason = EndReason.PLANNED_END if first < 1_003 * 48 else EndReason.LENGTH_LIMIT
            assert sealed.end_reason in {EndReason.STOPPED, reason, EndReason.PLANNED_END}


def has_begun(job: FakeJob) -> bool:
    """It captures, or has captured already."""
    return job.state == "completed" or job.phase not in (None, Phase.STARTING)


def durable_frame(room: AgentRoom) -> int:
    """Of the only take."""
    ledgers = list(room.settings.takes_folder.glob("*/ledger"))
    # The file is there before its first entry is.
    return Take.open(ledgers[0].parent).durable_frame if ledgers and ledgers[0].stat().st_size else 0


def sealed_of(controller: FakeController, job: FakeJob) -> RecordingFacts:
    """What the controller was told in the end. Of a counter nothing is missing but what is listed."""

    def is_sealed() -> FakeCacheFile | None:
        return controller.sealed(job)

    sealed = controller.wait_until("seal", is_sealed)
    facts: RecordingFacts = sealed.facts
    if job.settings.interface.name == "counter":
        assert_only_gaps_are_missing(bytes(sealed.parts["audio"]), facts)
    return facts


@contextmanager
def node_on_small_disk(disk: Path, size: int, **more: Any) -> Iterator[tuple[FakeController, AgentRoom]]:
    with controller_and_room(0.1, **more) as (controller, room), small_volume(disk, size):
        takes = room.settings.takes_folder
        takes.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", disk, takes], check=True)
        try:
            yield controller, room
        finally:
            subprocess.run(["umount", "--lazy", takes], check=True)


@pytest.mark.first_reliable_recording_baseline
@needs_root
def test_full_disk_refuses_starts_and_what_waits_in_memory_is_not_lost(tmp_path: Path) -> None:
    record_over_a_full_disk(tmp_path, seconds=0)


@pytest.mark.first_reliable_recording_baseline
@needs_root
@pytest.mark.long
def test_recording_beyond_a_full_disk_is_a_listed_gap_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    facts = record_over_a_full_disk(tmp_path, seconds=2 + Timeouts().ring)
    assert "disk_full" in {gap.cause for gap in facts.gaps}


def record_over_a_full_disk(folder: Path, seconds: float) -> RecordingFacts:
    """A recording whose disk is full for so long, and a start that is refused meanwhile."""
    with node_on_small_disk(folder / "disk", 6 * MIB) as (controller, room):
        takes = room.settings.takes_folder
        room.start_agent()
        controller.wait_until("inventory", lambda: controller.inventory)
        job = controller.add_job(job_settings())
        controller.wait_for_audio(job, 100_000)
        (takes / "ballast").write_bytes(bytes(disk_room(takes, MIB).free_bytes - 350_000))
        controller.wait_until("alarm", lambda: "disk_full" in {event.kind for event in controller.events})
        controller.wait_until("standing", lambda: standings(controller) == ["full"])
        refused = controller.add_job(job_settings("tone"))
        controller.wait_until("refusal", lambda: refused.finish and refused.finish.reason == "disk_full")
        time.sleep(seconds)
        (takes / "ballast").unlink()
        before = len(controller_audio(controller, job))
        controller.wait_until("more", lambda: len(controller_audio(controller, job)) > before + 300_000)
        controller.wish(job, Wish.STOP)
        return sealed_of(controller, job)


def standings(controller: FakeController) -> list[str]:
    return [] if controller.inventory is None else [spool.standing for spool in controller.inventory.spools]


def controller_audio(controller: FakeController, job: FakeJob) -> bytes:
    return next(
        (bytes(one.parts["audio"]) for one in controller.cache_files.values() if one.request.job_id == job.job_id), b""
    )


@pytest.mark.first_reliable_recording_baseline
@needs_root
@pytest.mark.long
def test_full_disk_loses_nothing_to_the_second_folder_and_both_are_left_empty(tmp_path: Path) -> None:
    spill = tmp_path / "spill"
    spill.mkdir()
    with node_on_small_disk(tmp_path / "disk", 4 * MIB, spill_folders=(spill,)) as (controller, room):
        room.start_agent()
        controller.wait_until("inventory", lambda: controller.inventory)
        job = controller.add_job(job_settings())
        wait_for("the second folder", lambda: list(spill.glob("*/*.wav")), 60)
        controller.wish(job, Wish.STOP)
        assert "disk_full" not in {gap.cause for gap in sealed_of(controller, job).gaps}
        wait_for("an end", lambda: not list(spill.glob("[!.]*")))
        assert not list(room.settings.takes_folder.glob("[!.]*"))
