"""Mistakes of other recorders that no test of a whole path would show for sure."""

import asyncio
import resource
import sys
from pathlib import Path

import pytest

from agent import inputs
from agent.files import read_model, write_model
from agent.states import Claim, JobState, Stage
from core_rs import PcmFormat, Take, TakeWriter, counter_pcm
from protocol.ids import new_id
from tests.faults.store_spool import claimed_job

RATE = 8_000
FORMAT = PcmFormat(2, RATE, "s16")


def test_flush_with_nothing_new_writes_nothing(tmp_path: Path) -> None:
    writer = TakeWriter.create(tmp_path / "take", FORMAT, facts="{}", flush_interval_ms=5)
    writer.push(counter_pcm(1, 100), 0)
    while writer.durable_frame < 100:
        pass
    while writer.growth == "growing":
        pass

    def look() -> list[tuple[str, int, int]]:
        return sorted((one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in (tmp_path / "take").iterdir())

    before = look()
    while writer.growth != "stalled":
        pass
    assert look() == before


def test_full_ring_is_a_gap_and_never_a_wait(tmp_path: Path) -> None:
    writer = TakeWriter.create(tmp_path / "take", FORMAT, facts="{}", ring_seconds=1)
    taken = writer.push(counter_pcm(1, 3 * RATE), 0)
    writer.close("stopped")
    [gap] = Take.open(tmp_path / "take").gaps
    assert taken < 3 * RATE
    assert (gap.start_frame, gap.frames, gap.cause) == (taken, 3 * RATE - taken, "ring_full")


def test_listing_that_was_killed_is_no_empty_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An exit code below 0 is the number of a signal."""
    suicide = tmp_path / "python"
    suicide.write_text("#!/bin/sh\nkill -9 $$\n")
    suicide.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(suicide))
    with pytest.raises(inputs._ListingError, match="-9"):
        asyncio.run(inputs._ask("synthetic"))


def test_job_is_reported_through_render_and_upload() -> None:
    """Who stops renewing a lease at the end of the capture loses the job while it uploads."""
    state = JobState.of(claimed_job())
    reported = {stage for stage in Stage if state.model_copy(update={"stage": stage}).is_reported}
    assert reported == {Stage.STARTING, Stage.CAPTURING, Stage.FINISHING, Stage.UPLOADING, Stage.ENDING}


@pytest.mark.parametrize(("is_verified", "unneeded"), [(False, set()), (True, {Stage.SEALED})])
def test_take_is_needed_until_its_content_is_sealed_and_was_read_back(is_verified: bool, unneeded: set[Stage]) -> None:
    state = JobState.of(claimed_job()).model_copy(update={"take_id": new_id(), "is_verified": is_verified})
    assert {stage for stage in Stage if not state.model_copy(update={"stage": stage}).needs_take} == unneeded


def test_process_that_has_no_descriptor_left_takes_no_file_for_a_broken_one(tmp_path: Path) -> None:
    """Else a good file would be moved aside, and an older one taken for the truth."""
    path = tmp_path / "claim.json"
    write_model(path, Claim(claim_id=new_id()))
    now = Claim(claim_id=new_id())
    write_model(path, now)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, most))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            read_model(path, Claim)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert read_model(path, Claim) == now
