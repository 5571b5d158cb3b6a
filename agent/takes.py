"""What of the takes may go. Only what is proven to be needed by nobody does; when in doubt, a take stays."""

import asyncio
import shutil
import time
from pathlib import Path
from uuid import UUID

import structlog

from agent.devices import Owners
from agent.files import BrokenFileError, read_model, sync_folder, write_model
from agent.health import Health
from agent.owner.handle import Owner, OwnerError, OwnerStatus
from agent.patience import go_on_for_ever
from agent.spool import Spool
from agent.states import OwedRemovals
from core_rs import AudioError, Take
from protocol.timeouts import Timeouts

log = structlog.get_logger()

_GOING = ".going-"
_OWED = "owed.json"


class Takes:
    """Releases frames of living takes and removes takes that have ended, once no recording needs them.

    A recording that runs in an owner without any job, because its job file was lost, is told and ends after a while.
    """

    def __init__(
        self, spool: Spool, owners: Owners, health: Health, timeouts: Timeouts, spill_folders: tuple[Path, ...] = ()
    ) -> None:
        self._spool = spool
        self._owners = owners
        self._health = health
        self._timeouts = timeouts
        self._jobless_since: dict[str, float] = {}
        self._turn = asyncio.Lock()
        self._growing: dict[str, Take] = {}
        self._spill_folders = spill_folders

    async def run(self) -> None:
        """Looks again now and then: a take lingers after its last recording."""

        async def step() -> None:
            await self.sweep()
            await asyncio.sleep(self._timeouts.take_linger)

        await go_on_for_ever("takes", step, self._timeouts)

    async def sweep(self) -> list[str]:
        """Looks at every take once. The ids of those that went."""
        async with self._turn:
            living = await self._release_living()
            await asyncio.to_thread(_finish_removals, self._spool.takes_folder, self._spill_folders)
            removed = []
            for folder in await asyncio.to_thread(_take_folders, self._spool.takes_folder):
                if folder.name not in living and await self._remove_if_unneeded(folder):
                    removed.append(folder.name)
            await asyncio.to_thread(self._spool.forget_missing_takes)
            return removed

    async def find_start(self, recording_id: UUID) -> tuple[UUID, int, int] | None:
        """Take, first frame and frame of the press of a recording, by the marks that its begin left; None when it never
        began."""
        async with self._turn:
            return await asyncio.to_thread(_find_start, self._spool.takes_folder, recording_id)

    async def _release_living(self) -> set[str]:
        """Releases what may go of every take that is being written; their ids."""
        living: set[str] = set()
        needs: set[str] = set()
        for owner in await self._owners.living():
            try:
                status = await owner.status()
                needs |= set(status.needs)
                await self._end_jobless(owner, status)
                if status.take_id is not None:
                    living.add(status.take_id)
                    await self._release(owner, status)
            except (OwnerError, OSError, AudioError) as fault:
                log.info("nothing of a capture is released", fault=str(fault))
        self._growing = {take_id: take for take_id, take in self._growing.items() if take_id in living}
        self._jobless_since = {name: since for name, since in self._jobless_since.items() if name in needs}
        return living

    async def _end_jobless(self, owner: Owner, status: OwnerStatus) -> None:
        """What no job tells of cannot be stopped or delivered; it stays on this node, but does not grow for ever."""
        now = time.monotonic()
        for recording_id in set(status.needs) - {str(state.capture_name) for state in self._spool.jobs.values()}:
            if recording_id not in self._jobless_since:
                self._jobless_since[recording_id] = now
                await self._health.tell(
                    "capture_without_job",
                    "critical",
                    f"{status.interface.name} is captured for recording {recording_id}, of which there is no job. "
                    f"It ends in {self._timeouts.orphan_capture / 60:.0f} minutes; what was captured stays here.",
                )
            elif now - self._jobless_since[recording_id] > self._timeouts.orphan_capture:
                await owner.drop(recording_id)
                log.warning("a capture without a job was ended", recording_id=recording_id)

    async def _release(self, owner: Owner, status: OwnerStatus) -> None:
        """Frames before the oldest recording that still needs some; without one, all but what a late start may want.

        What an armed interface keeps besides, its owner knows.
        """
        assert status.take_id is not None
        take = await asyncio.to_thread(self._look, status.take_id)
        needed = await asyncio.to_thread(self._needed_starts, take)
        lingering = round(self._timeouts.take_linger * status.capture.sample_rate_hz)
        before_frame = min([*needed, status.durable_frame - lingering])
        if before_frame > 0:
            await owner.release(status.take_id, before_frame)

    def _look(self, take_id: str) -> Take:
        """A growing take as it is now; only what is new is read."""
        take = self._growing.get(take_id)
        if take is None:
            take = self._growing[take_id] = Take.open(self._spool.takes_folder / take_id)
        take.refresh()
        return take

    def _needed_starts(self, take: Take) -> list[int]:
        """First frames of all recordings of a take that were not released, also of ones that no job tells of."""
        released = {f"start:{recording_id}" for recording_id in self._spool.released(UUID(Path(take.folder).name))}
        return [frame for name, frame in take.marks.items() if name.startswith("start:") and name not in released]

    async def _remove_if_unneeded(self, folder: Path) -> bool:
        take_id = UUID(folder.name)
        if any(state.take_id == take_id and state.needs_take for state in self._spool.jobs.values()):
            return False
        try:
            take = await asyncio.to_thread(Take.open, folder)
        except (OSError, AudioError) as fault:
            log.warning("a take cannot be read and stays", folder=str(folder), fault=str(fault))
            return False
        if take.end is None:
            return False
        needed: list[int] = await asyncio.to_thread(self._needed_starts, take)
        if needed:
            return False
        await asyncio.to_thread(_remove, folder, _places_of(take, self._spill_folders), self._spill_folders)
        log.info("take removed, nobody needs anything of it", take_id=folder.name)
        return True


def _find_start(takes_folder: Path, recording_id: UUID) -> tuple[UUID, int, int] | None:
    for folder in reversed(_take_folders(takes_folder)):
        try:
            marks = Take.open(folder).marks
        except (OSError, AudioError) as fault:
            log.warning("a take cannot be read", folder=str(folder), fault=str(fault))
        else:
            if (start_frame := marks.get(f"start:{recording_id}")) is not None:
                return UUID(folder.name), start_frame, marks.get(f"press:{recording_id}", start_frame)
    return None


def _take_folders(folder: Path) -> list[Path]:
    """Takes, oldest first."""
    return [path for path in sorted(folder.iterdir()) if _is_id(path.name)]


def _places_of(take: Take, spill_folders: tuple[Path, ...]) -> frozenset[Path]:
    """The folders that its segments lie in, besides its own and those on a disk that is away and configured no more:
    a recording may have been delivered without what lies there."""
    places = frozenset(Path(segment.path).parent for segment in take.segments) - {Path(take.folder)}
    return frozenset(place for place in places if place.parent in spill_folders or place.is_dir())


def _remove(folder: Path, places: frozenset[Path], spill_folders: tuple[Path, ...]) -> None:
    """Under another name first, so that half a take is never taken for a whole one."""
    _note_owed(folder, places)
    going = folder.with_name(_GOING + folder.name)
    folder.rename(going)
    sync_folder(going.parent)
    _finish_removal(going, spill_folders)


def _finish_removals(folder: Path, spill_folders: tuple[Path, ...]) -> None:
    """What a removal left that was cut short."""
    for going in folder.glob(f"{_GOING}*"):
        _finish_removal(going, spill_folders)


def _finish_removal(going: Path, spill_folders: tuple[Path, ...]) -> None:
    """What names the rest goes last. On a disk that is away, or does not let go of it, it is tried again with the next
    look; until then the name of the take is kept, and the folders that it lay in."""
    try:
        _empty(going)
        owed = _owed(going)
        for place in owed | {spill / going.name.removeprefix(_GOING) for spill in spill_folders}:
            if _was_removed(place) and place in owed:
                owed -= {place}
                _note_owed(going, owed)
        if not owed and all(spill.is_dir() for spill in spill_folders):
            shutil.rmtree(going)
    except (OSError, BrokenFileError) as fault:
        log.warning("a take that nobody needs cannot be removed yet", folder=str(going), fault=str(fault))


def _owed(going: Path) -> frozenset[Path]:
    """Folders of it that were not removed yet. One that is gone by now counts until it was seen to go: where a disk is
    away, a mount point may be all that is there."""
    try:
        return frozenset(map(Path, read_model(going / _OWED, OwedRemovals).folders))
    except FileNotFoundError:
        return frozenset()


def _note_owed(folder: Path, places: frozenset[Path]) -> None:
    write_model(folder / _OWED, OwedRemovals(folders=frozenset(map(str, places))))


def _was_removed(place: Path) -> bool:
    """Whether it was there, and is not any more."""
    try:
        shutil.rmtree(place)
    except FileNotFoundError:
        return False
    return True


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _OWED:
            path.unlink()


def _is_id(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False
