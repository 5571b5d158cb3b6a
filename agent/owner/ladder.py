"""How a device is brought back: restart its stream, open it again, have another process open it; all limits as data.

Pure: what was tried is told to it, and the time is an argument.
"""

from dataclasses import dataclass
from enum import StrEnum

from protocol.timeouts import Timeouts


class Rung(StrEnum):
    """The words say what was done when it helped."""

    RESTART = "its stream was started again"
    REOPEN = "it was opened again"
    PROCESS = "another capture process opened it"


@dataclass(frozen=True)
class Budget:
    """Pauses are in `Timeouts.retry_first`; the last one of each rung stands for ever."""

    restart_every: float
    """A stream that stalls again within this time is opened again instead."""
    reopen_pauses: tuple[float, ...]
    reopens_in_vain: int
    """Openings after which nothing came, or which failed in no known way: then another process is tried."""
    process_pauses: tuple[float, ...]
    """The least life of an owner that gives up, by how many gave up before it."""


BUDGET = Budget(
    restart_every=120.0,
    reopen_pauses=(1, 2, 3, *(4,) * 60, 10),
    reopens_in_vain=5,
    process_pauses=(0, 40, 120, 600, 1200),
)


class Ladder:
    """One owner's climbing. Times are seconds of one clock that does not jump."""

    def __init__(self, timeouts: Timeouts, now: float, processes: int | None = None) -> None:
        """`processes`: owners that gave up on this device before, of one that follows others."""
        self._unit = timeouts.retry_first
        self._began = now
        self._restarted_at: float | None = None
        self._reopens = 0
        self._in_vain = 0
        self.processes = processes or 0
        """Owners that gave up before this one."""
        self.rung = Rung.REOPEN if processes is None else Rung.PROCESS
        """What was tried last."""

    def may_restart(self, now: float) -> bool:
        """Told once: the stream is being started again."""
        if self._restarted_at is not None and now - self._restarted_at < BUDGET.restart_every * self._unit:
            return False
        self._restarted_at = now
        self.rung = Rung.RESTART
        return True

    def reopen_pause(self, *, in_vain: bool) -> float:
        """Seconds to wait before the next opening; `in_vain`: the device is there, and opening it did not help."""
        self._in_vain += in_vain
        pause = BUDGET.reopen_pauses[min(self._reopens, len(BUDGET.reopen_pauses) - 1)]
        self._reopens += 1
        return pause * self._unit

    def opened(self) -> None:
        if self.rung is not Rung.PROCESS or self._reopens:
            self.rung = Rung.REOPEN

    def wants_process(self, now: float, *, is_stuck: bool) -> bool:
        """Whether it is time that another process tries."""
        if not is_stuck and self._in_vain < BUDGET.reopens_in_vain:
            return False
        pause = BUDGET.process_pauses[min(self.processes, len(BUDGET.process_pauses) - 1)]
        return now - self._began >= pause * self._unit

    def helped(self) -> Rung:
        """Frames flow again, and what comes next is a trouble of its own; what it was that helped."""
        rung, self.rung = self.rung, Rung.REOPEN
        self._reopens = self._in_vain = self.processes = 0
        return rung
