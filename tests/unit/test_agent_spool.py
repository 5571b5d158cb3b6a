"""The spool outlives crashes, broken files and other agents."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from agent.errors import SpoolBusyError
from agent.files import BrokenFileError, read_model, write_model
from agent.owner import clock
from agent.spool import Listener, Spool
from agent.states import Claim, Instant, JobState, Stage
from protocol.ids import new_id
from protocol.messages import ArmedInterface, ClaimedJob, Wish
from tests.agent_room import job_settings


def claimed(job_id: UUID | None = None, *, epoch: int = 1, wish: Wish = Wish.RUN) -> ClaimedJob:
    return ClaimedJob(
        job_id=job_id or new_id(),
        recording_id=new_id(),
        attempt=1,
        epoch=epoch,
        settings=job_settings(),
        wish=wish,
        wish_age_ms=500,
        requested_age_ms=1000,
    )


def test_jobs_and_claims_are_there_after_a_restart(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    state = JobState.of(claimed())
    claim_id = new_id()

    async def write() -> None:
        await spool.add_job(state)
        await spool.update_job(state.job_id, stage=Stage.CAPTURING, start_frame=7)
        await spool.add_claim(claim_id)

    asyncio.run(write())
    spool.close()
    again = Spool.open(tmp_path)
    assert again.jobs == {state.job_id: state.model_copy(update={"stage": Stage.CAPTURING, "start_frame": 7})}
    assert again.pending_claims() == [claim_id]


def test_armed_interfaces_are_known_after_a_restart_and_a_broken_file_arms_nothing(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    settings = job_settings()
    armed = ArmedInterface(interface=settings.interface, capture=settings.capture, preroll_ms=30_000)
    asyncio.run(spool.arm([armed]))
    spool.close()
    spool = Spool.open(tmp_path)
    assert spool.armed == (armed,)
    asyncio.run(spool.arm([]))
    assert spool.armed == ()
    spool.close()
    (tmp_path / "armed.json").write_text("{")
    spool = Spool.open(tmp_path)
    assert spool.armed == ()
    assert "No interface is armed" in spool.broken[0]


def test_second_agent_is_refused_until_the_first_has_gone(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    with pytest.raises(SpoolBusyError, match="Stop it first"):
        Spool.open(tmp_path)
    spool.close()
    Spool.open(tmp_path).close()


def test_wish_only_rises(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    state = JobState.of(claimed())

    async def wish() -> None:
        await spool.add_job(state)
        for one in (Wish.STOP, Wish.RUN, Wish.CANCEL, Wish.STOP):
            await spool.raise_wish(state.job_id, one, Instant.in_ms(0))

    asyncio.run(wish())
    assert spool.jobs[state.job_id].wish is Wish.CANCEL


def test_repeated_stop_keeps_the_first_press(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    state = JobState.of(claimed())
    first = Instant.in_ms(-5000)

    async def wish() -> None:
        await spool.add_job(state)
        await spool.raise_wish(state.job_id, Wish.STOP, first)
        await spool.raise_wish(state.job_id, Wish.STOP, Instant.in_ms(0))

    asyncio.run(wish())
    assert spool.jobs[state.job_id].wished_at == first


def test_job_that_is_given_again_keeps_its_stage_and_takes_over_epoch_and_wish(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    job_id = new_id()

    async def give() -> None:
        await spool.add_job(JobState.of(claimed(job_id)))
        await spool.update_job(job_id, stage=Stage.CAPTURING, start_frame=3, owed="lost")
        await spool.add_job(JobState.of(claimed(job_id, epoch=2, wish=Wish.STOP)))

    asyncio.run(give())
    state = spool.jobs[job_id]
    assert (state.stage, state.start_frame, state.claimed.epoch) == (Stage.CAPTURING, 3, 2)
    assert (state.wish, state.owed) == (Wish.STOP, None)


def test_concurrent_changes_of_one_job_are_all_kept(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    state = JobState.of(claimed())

    async def change() -> None:
        await spool.add_job(state)
        await asyncio.gather(
            spool.update_job(state.job_id, start_frame=1),
            spool.raise_wish(state.job_id, Wish.STOP, Instant.in_ms(0)),
            spool.update_job(state.job_id, cache_file_id=new_id()),
        )

    asyncio.run(change())
    spool.close()
    (again,) = Spool.open(tmp_path).jobs.values()
    assert again == spool.jobs[state.job_id]
    assert again.start_frame == 1
    assert again.wish is Wish.STOP
    assert again.cache_file_id is not None


@pytest.mark.parametrize("damage", [b"", b"{", b'{"claimed": 5}', bytes(100)], ids=["empty", "torn", "wrong", "zeros"])
def test_broken_job_falls_back_to_its_last_good_state(tmp_path: Path, damage: bytes) -> None:
    spool = Spool.open(tmp_path)
    state = JobState.of(claimed())

    async def write() -> None:
        await spool.add_job(state)
        await spool.update_job(state.job_id, stage=Stage.CAPTURING)

    asyncio.run(write())
    spool.close()
    path = spool.job_folder(state.job_id).job
    path.write_bytes(damage)
    again = Spool.open(tmp_path)
    assert again.jobs[state.job_id] == state
    assert [found.read_bytes() for found in path.parent.glob("job.json.broken-*")] == [damage]


def test_job_that_cannot_be_read_at_all_is_kept_aside_and_reported(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    state = JobState.of(claimed())
    asyncio.run(spool.add_job(state))
    spool.close()
    folder = spool.job_folder(state.job_id)
    folder.job.write_bytes(b"nonsense")
    again = Spool.open(tmp_path)
    assert again.jobs == {}
    assert "cannot be read" in again.broken[0]
    assert [found.read_bytes() for found in folder.path.glob("job.json.broken-*")] == [b"nonsense"]
    again.close()
    assert folder.path.exists()
    assert Spool.open(tmp_path).jobs == {}


def test_failed_write_keeps_the_last_good_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "claim.json"
    good = Claim(claim_id=new_id())
    write_model(path, good)
    (tmp_path / "claim.json.last").mkdir()
    with pytest.raises(OSError):
        write_model(path, Claim(claim_id=new_id()))
    assert read_model(path, Claim) == good
    assert sorted(found.name for found in tmp_path.iterdir()) == ["claim.json", "claim.json.last"]


def test_unreadable_file_without_a_predecessor_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "claim.json"
    path.write_bytes(b"\xff")
    with pytest.raises(BrokenFileError, match="moved to"):
        read_model(path, Claim)
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_listener_hears_a_change_that_came_between_two_waits() -> None:
    async def hear() -> list[bool]:
        listener = Listener()
        listener.ring()
        return [await listener.wait(0), await listener.wait(0)]

    assert asyncio.run(hear()) == [True, False]


def test_state_written_by_a_newer_agent_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "claim.json"
    claim = Claim(claim_id=new_id())
    path.write_text(f'{{"claim_id": "{claim.claim_id}", "invented_later": 5}}')
    assert read_model(path, Claim) == claim


def test_listener_lets_itself_be_cancelled_in_the_moment_of_a_change() -> None:
    async def cancel() -> bool:
        listener = Listener()
        waiting = asyncio.create_task(listener.wait(10))
        await asyncio.sleep(0)
        listener.ring()
        waiting.cancel()
        await asyncio.wait({waiting})
        return waiting.cancelled()

    assert asyncio.run(cancel())


def test_recordings_that_are_released_at_the_same_moment_are_all_remembered(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    take_id, recordings = new_id(), [new_id() for _ in range(16)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda recording_id: spool.add_released(take_id, recording_id), recordings))
    assert spool.released(take_id) == set(recordings)


def test_after_a_reboot_waits_count_from_the_start_of_the_agent(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    before = Instant(boot_id="another", boottime_ns=10**18)
    noted = dict.fromkeys(["requested_at", "wished_at", "ended_at", "owed_since", "starts_at"], before)
    state = JobState.of(claimed()).model_copy(update=noted)
    asyncio.run(spool.add_job(state))
    spool.close()
    began = clock.boottime_ns()
    again = Spool.open(tmp_path).jobs[state.job_id]
    for instant in (again.requested_at, again.wished_at, again.ended_at, again.owed_since):
        assert instant is not None
        assert instant.of_this_boot
        assert began <= instant.boottime_ns <= clock.boottime_ns()
    assert again.starts_at == before


def test_what_a_kill_left_half_written_is_gone_at_the_next_start(tmp_path: Path) -> None:
    Spool.open(tmp_path).close()
    job = tmp_path / "jobs" / str(new_id())
    job.mkdir()
    (job / "job.json").write_bytes(b"")
    for folder in (tmp_path, job, *(tmp_path / name for name in ("claims", "events", "released"))):
        (folder / f".{new_id()}.json.{os.getpid()}-0").write_bytes(b"{")
    spool = Spool.open(tmp_path)
    assert spool.pending_claims() == []
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
