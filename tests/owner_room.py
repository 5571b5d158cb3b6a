"""Folders for owners of one test, and what is true of a counter's take. Ends every owner that lives in them."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.owner import writing
from agent.owner.config import SYNTHETIC_INTERFACES, Interface, OwnerConfig
from agent.owner.events import OwnerEvent
from agent.owner.handle import Owner, OwnerStatus, start_owner
from core_rs import Take
from protocol.timeouts import Timeouts

QUICK = Timeouts(
    take_linger=0.3,
    clock_pair=0.5,
    growth_quiet=0.25,
    growth_stalled=0.6,
    flush=0.2,
    retry_first=0.1,
    owner_request=4.0,
    owner_start=30.0,
)
"""What an owner does by itself comes soon; who asks it waits for a busy machine."""


@dataclass(frozen=True)
class Room:
    home: Path
    owners: list[Owner] = field(default_factory=list)

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Runs a test that talks to owners, within a bound."""
        asyncio.run(self._within_a_bound(main))

    async def start(self, config: OwnerConfig | None = None) -> Owner:
        return self.agent_of(await start_owner(config or self.config()))

    def agent_of(self, owner: Owner) -> Owner:
        """The same; its connection is closed with the test."""
        self.owners.append(owner)
        return owner

    def config(self, name: str = "counter", timeouts: Timeouts = QUICK) -> OwnerConfig:
        return OwnerConfig(
            interface=Interface("synthetic", name),
            capture=SYNTHETIC_INTERFACES[name],
            run_folder=self.home / "run",
            takes_folder=self.home / "takes",
            synthetic_folder=self.home / "synthetic",
            timeouts=timeouts,
        )

    @property
    def owner_pids(self) -> list[int]:
        """Every process that has a lock of this room open."""
        return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if self._is_used_by(folder)]

    def take(self) -> Take:
        """The only take."""
        (folder,) = (self.home / "takes").iterdir()
        return Take.open(folder)

    async def _within_a_bound(self, main: Coroutine[Any, Any, None]) -> None:
        try:
            await asyncio.wait_for(main, 120)
        finally:
            for owner in self.owners:
                owner.disconnect()

    def _is_used_by(self, process: Path) -> bool:
        with suppress(OSError):
            run_folder = str(self.home / "run")
            return any(str(entry.readlink()).startswith(run_folder) for entry in (process / "fd").iterdir())
        return False


@contextmanager
def room() -> Iterator[Room]:
    """A short folder, since socket paths are."""
    made = Room(Path(tempfile.mkdtemp(prefix="rk-")))
    (made.home / "run").mkdir(mode=0o700)
    try:
        yield made
    finally:
        for pid in made.owner_pids:
            if pid != os.getpid():
                os.kill(pid, signal.SIGKILL)
        wait_for("the owners to end", lambda: not set(made.owner_pids) - {os.getpid()})
        shutil.rmtree(made.home)


def wait_for(what: str, probe: Callable[[], object], seconds: float = 30.0) -> None:
    """Asks until the answer is true; the bound is a failure, never a pass."""
    end = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.01)


async def until(what: str, owner: Owner, holds: Callable[[OwnerStatus], bool], seconds: float = 30.0) -> OwnerStatus:
    """Asks the owner until what it says fits."""
    end = time.monotonic() + seconds
    while not holds(status := await owner.status()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}: {status}"
        await asyncio.sleep(0.01)
    return status


def told(status: OwnerStatus) -> list[OwnerEvent]:
    """What the owner says of its device and its clocks. A disk that is busy with other things is no news."""
    return [event for event in status.events if event.kind != writing.KIND]


async def captured(owner: Owner, frames: int) -> OwnerStatus:
    """Waits until so many frames are durable beyond what is there now."""
    goal = (await owner.status()).next_frame + frames
    return await until(f"frame {goal}", owner, lambda status: status.durable_frame >= goal)


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def counter_values(take: Take, start_frame: int, end_frame: int) -> NDArray[np.int64]:
    """The number that the counter gave to each frame; 0 where the take is silent."""
    words = np.frombuffer(take.read(start_frame, end_frame), dtype="<u2").reshape(-1, 2).astype(np.int64)
    return words[:, 0] | words[:, 1] << 16


def assert_every_frame_is_accounted_for(take: Take) -> None:
    """On the take's timeline the counter never steps aside: each frame is there, or in a listed gap of that length."""
    values = counter_values(take, 0, take.durable_frame)
    in_gap = np.zeros(len(values), dtype=bool)
    for gap in take.gaps:
        in_gap[gap.start_frame : gap.start_frame + gap.frames] = True
    assert not values[in_gap].any(), "sound inside a gap"
    offsets = values[~in_gap] - np.flatnonzero(~in_gap)
    assert offsets.size, "nothing was captured"
    assert (offsets == offsets[0]).all(), f"the counter steps: {np.unique(offsets)}, gaps {gap_list(take)}"


def gap_error(take: Take) -> int:
    """By how many frames the only gap, over a loss of the device, is longer than what the counter says is missing."""
    (gap,) = take.gaps
    assert (gap.cause, gap.uncertainty_frames) == ("device_lost", 480)
    before = counter_values(take, 0, gap.start_frame)
    after = counter_values(take, gap.start_frame + gap.frames, take.durable_frame)
    for values in (before, after):
        assert (values[1:] - values[:-1] == 1).all()
    return gap.frames - int(after[0] - before[-1] - 1)


def gap_list(take: Take) -> list[tuple[str, int, int]]:
    return [(gap.cause, gap.start_frame, gap.frames) for gap in take.gaps]
