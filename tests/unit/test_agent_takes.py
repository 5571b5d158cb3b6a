"""A take goes only when it is proven that nobody needs it."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import pytest

from agent.health import Health
from agent.owner.config import Capture, Interface
from agent.owner.handle import OwnerStatus
from agent.spool import Spool
from agent.states import JobState, Stage
from agent.takes import Takes
from core_rs import PcmFormat, TakeWriter, counter_pcm
from protocol.ids import new_id
from protocol.timeouts import Timeouts
from tests.unit.test_agent_spool import claimed

LINGER_FRAMES = 480_000
TIMEOUTS = Timeouts()


@dataclass
class FakeOwner:
    """Writes one take, as far as anybody asks."""

    take_id: UUID
    durable_frame: int = 1_000_000
    needs: list[str] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    async def status(self) -> OwnerStatus:
        return OwnerStatus(
            pid=1,
            interface=Interface("synthetic", "counter"),
            capture=Capture(2, 48_000, "s16"),
            take_id=str(self.take_id),
            take_folder=None,
            next_frame=self.durable_frame,
            durable_frame=self.durable_frame,
            growth="growing",
            fault=None,
            storage="usable",
            device="capturing",
            needs=self.needs,
            preroll_ms=0,
            silence=None,
            events=[],
        )

    async def release(self, take_id: str, before_frame: int) -> int:
        assert take_id == str(self.take_id)
        self.released.append(before_frame)
        return before_frame

    async def drop(self, recording_id: str) -> None:
        self.needs.remove(recording_id)
        self.dropped.append(recording_id)


@dataclass
class FakeOwners:
    owners: list[FakeOwner]

    async def living(self) -> list[FakeOwner]:
        return self.owners


class Shelf:
    """A spool with takes in it."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool.open(folder)

    def add_take(self, recordings: Iterable[UUID] | Mapping[UUID, int], *, ended: bool = True) -> UUID:
        take_id = new_id()
        writer = TakeWriter.create(self.spool.takes_folder / str(take_id), PcmFormat(2, 48_000, "s16"), facts="{}")
        writer.push(counter_pcm(1, 1000), 1_000_000_000)
        starts = recordings if isinstance(recordings, Mapping) else dict.fromkeys(recordings, 0)
        for recording_id, start_frame in starts.items():
            writer.mark(f"start:{recording_id}", start_frame)
        if ended:
            writer.close("no longer needed")
        self.writer = writer
        return take_id

    def add_job(self, take_id: UUID, stage: Stage, start_frame: int = 0) -> JobState:
        async def add() -> JobState:
            state = JobState.of(claimed())
            await self.spool.add_job(state)
            return await self.spool.update_job(state.job_id, stage=stage, take_id=take_id, start_frame=start_frame)

        return asyncio.run(add())

    def sweep(
        self,
        *owners: FakeOwner,
        times: int = 1,
        timeouts: Timeouts = TIMEOUTS,
        spill_folders: tuple[Path, ...] = (),
    ) -> None:
        async def sweep() -> None:
            living = FakeOwners(list(owners))
            takes = Takes(self.spool, living, Health(self.spool, timeouts), timeouts, spill_folders)  # type: ignore[arg-type]
            for _ in range(times):
                await takes.sweep()

        asyncio.run(sweep())

    @property
    def events(self) -> list[str]:
        return [stored.event.kind for stored in asyncio.run(self.spool.events(10))]

    @property
    def takes(self) -> list[str]:
        return sorted(path.name for path in self.spool.takes_folder.glob("[!.]*"))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_ended_take_goes_once_all_its_recordings_are_released(shelf: Shelf) -> None:
    one, two = new_id(), new_id()
    take_id = shelf.add_take([one, two])
    shelf.spool.add_released(take_id, one)
    shelf.sweep()
    assert shelf.takes == [str(take_id)]
    shelf.spool.add_released(take_id, two)
    shelf.sweep()
    assert shelf.takes == []
    assert shelf.spool.released(take_id) == set()


def test_nothing_is_remembered_of_a_take_that_is_gone(shelf: Shelf, tmp_path: Path) -> None:
    for recording_id in (new_id(), new_id()):
        shelf.spool.add_released(UUID(int=1), recording_id)
    shelf.sweep()
    assert list((tmp_path / "released").iterdir()) == []


def test_take_of_a_recording_that_nobody_knows_stays(shelf: Shelf) -> None:
    take_id = shelf.add_take([new_id()])
    shelf.sweep()
    assert shelf.takes == [str(take_id)]


def test_take_without_an_end_stays(shelf: Shelf) -> None:
    recording_id = new_id()
    take_id = shelf.add_take([recording_id], ended=False)
    shelf.spool.add_released(take_id, recording_id)
    shelf.sweep()
    assert shelf.takes == [str(take_id)]
    shelf.writer.close("test")


def test_take_that_cannot_be_read_stays(shelf: Shelf) -> None:
    take_id = shelf.add_take([])
    ledger = shelf.spool.takes_folder / str(take_id) / "ledger"
    ledger.write_bytes(b"\x00" * 50)
    shelf.sweep()
    assert shelf.takes == [str(take_id)]


@pytest.mark.parametrize("stage", [Stage.CAPTURING, Stage.UPLOADING, Stage.ENDING, Stage.KEPT])
def test_take_of_a_job_that_is_not_sealed_stays(shelf: Shelf, stage: Stage) -> None:
    take_id = shelf.add_take([])
    shelf.add_job(take_id, stage)
    shelf.sweep()
    assert shelf.takes == [str(take_id)]


def test_what_an_interrupted_removal_left_is_removed(shelf: Shelf) -> None:
    left = shelf.spool.takes_folder / f".going-{new_id()}"
    left.mkdir()
    (left / "a.wav").write_bytes(b"x")
    shelf.sweep()
    assert shelf.takes == []


def test_take_that_a_spill_folder_does_not_let_go_of_holds_up_no_other(shelf: Shelf, tmp_path: Path) -> None:
    spill, stuck, unneeded = tmp_path / "spill", new_id(), shelf.add_take([])
    spill.mkdir()
    (spill / str(stuck)).write_bytes(b"no folder")
    left = shelf.spool.takes_folder / f".going-{stuck}"
    left.mkdir()
    shelf.sweep(spill_folders=(spill,))
    assert str(unneeded) not in shelf.takes
    assert left.exists()
    (spill / str(stuck)).unlink()
    shelf.sweep(spill_folders=(spill,))
    assert not left.exists()


def test_segments_on_a_disk_that_is_away_go_once_it_is_back(shelf: Shelf, tmp_path: Path) -> None:
    spill, take_id = tmp_path / "spill", shelf.add_take([])
    (spill / str(take_id)).mkdir(parents=True)
    spill.rename(tmp_path / "away")
    shelf.sweep(spill_folders=(spill,))
    assert shelf.takes == []
    (tmp_path / "away").rename(spill)
    shelf.sweep(spill_folders=(spill,))
    assert list(spill.iterdir()) == []
    assert list(shelf.spool.takes_folder.glob(".going-*")) == []


def spilled_take(shelf: Shelf, tmp_path: Path) -> Path:
    """The spill folder in which all segments of a take lie that nobody needs."""
    spill, take_id = tmp_path / "spill", new_id()
    spill.mkdir()
    folder = shelf.spool.takes_folder / str(take_id)
    writer = TakeWriter.create(folder, PcmFormat(2, 48_000, "s16"), facts="{}", spill_folders=[spill])
    (folder / "000000-00000000000000.wav").write_bytes(b"in the way")
    writer.push(bytes(4_000), 1_000_000_000)
    writer.close("test")
    assert (spill / str(take_id)).is_dir()
    return spill


def test_segments_on_a_disk_that_is_away_are_remembered_also_where_its_mount_point_stays(
    shelf: Shelf, tmp_path: Path
) -> None:
    spill = spilled_take(shelf, tmp_path)
    spill.rename(tmp_path / "away")
    spill.mkdir()
    shelf.sweep(spill_folders=(spill,))
    assert shelf.takes == []
    spill.rmdir()
    (tmp_path / "away").rename(spill)
    shelf.sweep(spill_folders=(spill,))
    assert list(spill.iterdir()) == []
    assert list(shelf.spool.takes_folder.glob(".going-*")) == []


def test_segments_on_a_disk_that_was_away_when_it_was_configured_no_more_stay(shelf: Shelf, tmp_path: Path) -> None:
    spill = spilled_take(shelf, tmp_path)
    spill.rename(tmp_path / "away")
    shelf.sweep()
    assert shelf.takes == []
    (tmp_path / "away").rename(spill)
    shelf.sweep()
    assert len(list(spill.glob("*/*.wav"))) == 1
    assert list(shelf.spool.takes_folder.glob(".going-*")) == []


def test_folder_that_is_no_take_is_left_alone(shelf: Shelf) -> None:
    (shelf.spool.takes_folder / "holiday pictures").mkdir()
    shelf.sweep()
    assert shelf.takes == ["holiday pictures"]


def test_growing_take_is_released_up_to_the_oldest_recording_that_needs_it(shelf: Shelf) -> None:
    early, late = new_id(), new_id()
    owner = FakeOwner(shelf.add_take({early: 50_000, late: 300_000}, ended=False))
    shelf.sweep(owner)
    shelf.spool.add_released(owner.take_id, early)
    shelf.sweep(owner)
    assert owner.released == [50_000, 300_000]
    shelf.writer.close("test")


def test_growing_take_that_nobody_needs_keeps_what_a_late_start_may_want(shelf: Shelf) -> None:
    owner = FakeOwner(shelf.add_take({}, ended=False))
    shelf.sweep(owner)
    assert owner.released == [1_000_000 - LINGER_FRAMES]
    shelf.writer.close("test")


def test_ended_recording_whose_job_cannot_be_read_keeps_its_frames_in_a_growing_take(shelf: Shelf) -> None:
    unknown, released = new_id(), new_id()
    owner = FakeOwner(shelf.add_take({unknown: 0, released: 300_000}, ended=False))
    shelf.spool.add_released(owner.take_id, released)
    shelf.sweep(owner)
    assert owner.released == []
    shelf.writer.close("test")


def test_growing_take_that_cannot_be_read_is_left_alone(shelf: Shelf) -> None:
    owner = FakeOwner(new_id())
    shelf.sweep(owner)
    assert owner.released == []


def test_capture_without_a_job_is_told_once_and_ends_after_a_while(shelf: Shelf) -> None:
    lost = str(new_id())
    job = shelf.add_job(new_id(), Stage.CAPTURING)
    owner = FakeOwner(shelf.add_take([], ended=False), needs=[lost, str(job.recording_id)])
    shelf.sweep(owner, times=3)
    assert (owner.dropped, shelf.events) == ([], ["capture_without_job"])
    shelf.sweep(owner, times=3, timeouts=replace(TIMEOUTS, orphan_capture=0.0))
    assert owner.dropped == [lost]
    assert owner.needs == [str(job.recording_id)]
    shelf.writer.close("test")
