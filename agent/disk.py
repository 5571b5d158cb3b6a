"""The disks that this node records on: their room, the reserve, what goes when it runs short, how long it lasts.

`docs/disk.md` is this in words.
"""

import asyncio
import errno
import math
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from agent.conditions import Conditions
from agent.files import read_kept, write_model
from agent.health import Health, Severity
from agent.owner.handle import OwnerStartError
from agent.patience import go_on_for_ever
from agent.settings import AgentSettings
from agent.spool import Spool
from agent.states import JobState, Places, Stage
from agent.takes import Takes
from core_rs import DiskRoom, Standing, disk_room, give_back_reserve, keep_reserve
from protocol.messages import CaptureFormat, SpoolReport

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
SAMPLE_BYTES = {"s16": 2, "s24": 3, "s32": 4, "f32": 4}


@dataclass(frozen=True)
class Rules:
    """How little is little."""

    low_seconds: float = 86_400.0
    """Less left than this is a warning."""
    critical_seconds: float = 3_600.0
    over_by: float = 1.25
    """A condition is over when there is so many times more."""
    scarce_reserves: float = 4.0
    """With less room than so many reserves, things go and renderers pause."""
    full_bytes: int = 1 << 20
    """A disk with less room than this is full."""
    rate_seconds: float = 600.0
    """The rate of filling is a mean over about this time, and over what is recorded now."""
    foresight: float = 20.0
    """A rate is trusted to go on for so many times as long as it was measured: a burst is no warning of tomorrow."""
    least_rate: float = 1_000.0
    """Bytes a second; slower filling is none."""


@dataclass(frozen=True)
class Seen:
    """One folder at the last look. Without room nobody could say how full its disk is."""

    path: Path
    standing: Standing
    room: DiskRoom | None = None
    fault: str = ""
    device: int = 0
    """The disk that it lies on."""

    @property
    def usable_bytes(self) -> int:
        return self.room.usable_bytes if self.room and self.standing != "failing" else 0


@dataclass
class FillingRate:
    """A mean of what was filled each second, with less weight the longer ago. It is true from the second look on."""

    over_seconds: float
    _mean: float = 0.0
    _weight: float = 0.0
    _last: tuple[float, int] | None = None
    measured_seconds: float = 0.0

    def note(self, now: float, room_bytes: int) -> None:
        """`now` in seconds of a clock that never runs backwards."""
        if self._last is not None and now > self._last[0]:
            seconds, filled = now - self._last[0], self._last[1] - room_bytes
            share = 1 - math.exp(-seconds / self.over_seconds)
            self._mean += share * (filled / seconds - self._mean)
            self._weight += share * (1 - self._weight)
            self.measured_seconds += seconds
        self._last = (now, room_bytes)

    @property
    def bytes_per_second(self) -> float:
        """Less than nothing when more is released than written."""
        return self._mean / self._weight if self._weight else 0.0


@dataclass
class Disk:
    """Looks at the disks again and again, and keeps room for what is being captured."""

    settings: AgentSettings
    spool: Spool
    takes: Takes
    health: Health
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        self.changed = asyncio.Event()
        """Set when a disk stands otherwise than before; the controller should hear of it soon."""
        self.is_scarce = False
        self._seen: list[Seen] = []
        self._rate = self._new_rate()
        self._rate_of: set[UUID] = set()
        """The recordings that it was measured with."""
        self._conditions = Conditions(self.settings.node_folder / "disk.json", self.health)
        self._places = self.settings.node_folder / "places.json"
        self._known = _read_places(self._places)

    async def run(self) -> None:
        """Goes on for ever."""

        async def step() -> None:
            await self.look()
            await asyncio.sleep(4 * self.settings.timeouts.flush)

        await go_on_for_ever("disk", step, self.settings.timeouts)

    async def look(self) -> None:
        """One look, and what follows from it."""
        await self._see()
        self._note_rate()
        try:
            await self._make_room()
        finally:  # a disk that does not even let go of things is what must be told
            await self._tell()

    def _note_rate(self) -> None:
        """Other recordings than before fill the disk at another rate."""
        capturing = {state.job_id for state in self.spool.jobs.values() if state.stage is Stage.CAPTURING}
        if capturing != self._rate_of:
            self._rate, self._rate_of = self._new_rate(), capturing
        self._rate.note(time.monotonic(), self._usable_bytes)

    def _new_rate(self) -> FillingRate:
        return FillingRate(self.rules.rate_seconds * self.settings.time_scale)

    # ---- what others ask ----

    @property
    def seconds_left(self) -> int | None:
        """Until the disks are full at the rate of now; None while nothing fills them."""
        rate = self._rate.bytes_per_second
        if not self._rate_of or rate < self.rules.least_rate:
            return None
        return int(self._usable_bytes / rate)

    def reports(self) -> list[SpoolReport]:
        return [
            SpoolReport(
                path=str(seen.path)[-200:],
                free_bytes=seen.usable_bytes,
                total_bytes=seen.room.total_bytes if seen.room else 0,
                standing=seen.standing,
            )
            for seen in self._seen
        ]

    @property
    def standings(self) -> list[Standing]:
        return [seen.standing for seen in self._seen]

    async def check_start(self, capture: CaptureFormat) -> None:
        """Raises OwnerStartError `disk_full` unless a segment fits, so that nothing begins that records nothing."""
        await self._see()
        if self._has_room_for(capture):
            return
        await self._make_room()
        if not self._has_room_for(capture):
            raise OwnerStartError(
                "disk_full",
                f"The disk of this node is full: {_megabytes(self._usable_bytes)} are left for recordings in "
                f"{_names(self._seen)}. Deliver or remove recordings, or make room there.",
            )

    # ---- looking ----

    async def _see(self) -> None:
        before = self.standings
        folders = self.settings.capture_folders
        self._seen = [
            await asyncio.to_thread(self._look_at, folder, before[at] if at < len(before) else "usable")
            for at, folder in enumerate(folders)
        ]
        reserve_bytes = sum(seen.room.reserve_bytes for seen in self._seen if seen.room)
        scarce_bytes = self.rules.scarce_reserves * reserve_bytes * (self.rules.over_by if self.is_scarce else 1)
        self.is_scarce = self._usable_bytes < max(scarce_bytes, self.rules.full_bytes)
        if self.standings != before:
            self.changed.set()

    def _look_at(self, folder: Path, before: Standing) -> Seen:
        try:
            self._require_place(folder)
            room = disk_room(folder, self.settings.reserve_bytes)
            device = folder.stat().st_dev
            if not os.access(folder, os.W_OK):
                raise PermissionError(f"{folder} cannot be written")
            has_room = self._tend_reserve(folder, room)
        except OSError as fault:
            return Seen(folder, "failing", fault=str(fault))
        full_bytes = self.rules.full_bytes * (2 if before == "full" else 1)
        standing: Standing = "usable" if has_room and room.usable_bytes >= full_bytes else "full"
        return Seen(folder, standing, room, device=device)

    def _require_place(self, folder: Path) -> None:
        """Makes a folder that is new. One that was there before has lost its disk: what would be made in its place lies
        on another. Raises OSError."""
        if str(folder) in self._known and not folder.is_dir():
            raise FileNotFoundError(f"{folder} is not there any more; mount its disk again")
        folder.mkdir(mode=0o700, exist_ok=True)
        if str(folder) not in self._known and folder in self.settings.spill_folders:
            write_model(self._places, Places(folders=self._known | {str(folder)}))
            self._known |= {str(folder)}

    def _tend_reserve(self, folder: Path, room: DiskRoom) -> bool:
        """Whether there is room besides: a quota may be full on a disk that is not. Raises OSError."""
        try:
            if room.usable_bytes > self.rules.full_bytes:
                keep_reserve(folder, self.settings.reserve_bytes)
            elif room.free_bytes < self.rules.full_bytes:
                give_back_reserve(folder)
        except OSError as fault:
            if fault.errno not in _NO_ROOM:
                raise
            return False
        return True

    @property
    def _usable_bytes(self) -> int:
        """Each disk counts once, however many folders lie on it."""
        disks: dict[int, int] = {}
        for seen in self._seen:
            if seen.room is not None:
                disks[seen.device] = seen.usable_bytes
        return sum(disks.values())

    def _has_room_for(self, capture: CaptureFormat) -> bool:
        second_bytes = capture.sample_rate_hz * capture.channels * SAMPLE_BYTES[capture.sample_type]
        segment_bytes = round(self.settings.timeouts.segment * second_bytes)
        return self._usable_bytes >= max(segment_bytes, self.rules.full_bytes)

    # ---- what goes ----

    async def _make_room(self) -> None:
        """In the order of `SACRIFICES`, one thing at a time, until room is not scarce. Never an original that was not
        delivered, but for what was cancelled."""
        for kind, severity, give_up in SACRIFICES:
            while self.is_scarce:
                what = await give_up(self)
                await self._see()
                if what is None:
                    break
                await self.health.tell(kind, severity, f"The disk of this node is nearly full. {what}")

    async def _give_up_delivered(self) -> str | None:
        for state in [state for state in self.spool.jobs.values() if state.is_delivered]:
            await asyncio.to_thread(self.spool.job_folder(state.job_id).drop_rendition)
        removed = await self.takes.sweep()
        if not removed:
            return None
        return f"{len(removed)} takes that the controller has verified went: {', '.join(removed)}."[:800]

    async def _give_up_rendition(self) -> str | None:
        """Only while the controller is away: else delivering it is what makes room."""
        if self.spool.hears_controller(self.settings.timeouts.node_not_seen):
            return None
        for state in _oldest_first(self.spool, Stage.SEALED) + _oldest_first(self.spool, Stage.UPLOADING):
            folder = self.spool.job_folder(state.job_id)
            is_sealing = state.seal_sent and state.stage is Stage.UPLOADING
            if not is_sealing and folder.rendition.exists():
                await asyncio.to_thread(folder.drop_rendition)
                self.spool.ring()
                return (
                    f"The file of recording {state.recording_id} went, which waits for the controller. "
                    "It is made again from what was captured, when there is room."
                )
        return None

    async def _give_up_cancelled(self) -> str | None:
        for state in _oldest_first(self.spool, Stage.KEPT):
            if state.ending is None or state.ending.outcome != "cancelled" or state.take_id is None:
                continue
            await asyncio.to_thread(self.spool.add_released, state.take_id, state.capture_name)
            await self.spool.remove_job(state.job_id)
            await self.takes.sweep()
            return f"What was captured of the cancelled recording {state.recording_id} went, before its time."
        return None

    # ---- what lasts ----

    async def _tell(self) -> None:
        await self._tell_left(self.seconds_left)
        await self._tell_full()
        failing = {f"failing {seen.path}": seen for seen in self._seen if seen.standing == "failing"}
        for name, seen in failing.items():
            words = f"Nothing can be written in {seen.path}: {seen.fault}. Look at this disk of the node."
            await self._conditions.begin(name, "disk_failing", "critical", words)
        for name in self._conditions.lasting - failing.keys() - {"low", "full"}:
            await self._conditions.end(name)  # also of a folder that is configured no more

    async def _tell_left(self, seconds: int | None) -> None:
        rules, lasts = self.rules, "low" in self._conditions.lasting
        if seconds is not None and seconds > self._rate.measured_seconds * rules.foresight:
            return
        if seconds is not None and seconds < rules.critical_seconds:
            await self._conditions.begin("low", "disk_low", "critical", _low_words(seconds))
        elif seconds is not None and seconds < rules.low_seconds:
            if not lasts or seconds > rules.critical_seconds * rules.over_by:
                await self._conditions.begin("low", "disk_low", "warning", _low_words(seconds))
        elif lasts and (seconds is None or seconds > rules.low_seconds * rules.over_by):
            await self._conditions.end("low")

    async def _tell_full(self) -> None:
        if "usable" in self.standings:
            await self._conditions.end("full")
        elif "full" in self.standings:
            words = (
                f"No disk of this node has room for recordings ({_names(self._seen)}). What is captured now is lost "
                "until there is room again, and listed as a gap; nothing new is started. Make room."
            )
            await self._conditions.begin("full", "disk_full", "critical", words)


Sacrifice = Callable[[Disk], Awaitable[str | None]]
SACRIFICES: tuple[tuple[str, Severity, Sacrifice], ...] = (
    ("delivered_given_up", "info", Disk._give_up_delivered),
    ("rendition_given_up", "info", Disk._give_up_rendition),
    ("cancelled_given_up", "warning", Disk._give_up_cancelled),
)
"""What goes when room is scarce, in this order; each gives up one thing and says what, or None when it has no more."""


def _oldest_first(spool: Spool, stage: Stage) -> list[JobState]:
    return sorted((one for one in spool.jobs.values() if one.stage is stage), key=lambda one: str(one.take_id))


def _read_places(path: Path) -> frozenset[str]:
    known = read_kept(path, Places, lost="which spill folders were there before is unknown")
    return known.folders if known else frozenset()


def _low_words(seconds: int) -> str:
    left = f"{seconds / 3600:.0f} hours" if seconds >= 7200 else f"{seconds / 60:.0f} minutes"
    return f"The disks of this node are full in about {left} at the present rate. Make room, or deliver recordings."


def _names(seen: list[Seen]) -> str:
    return ", ".join(str(one.path) for one in seen)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"
