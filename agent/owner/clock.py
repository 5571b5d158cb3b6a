"""The clocks of this machine: CLOCK_BOOTTIME counts through a suspend, is set by nobody, and starts anew at a boot."""

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LEAST_STEP_NS = 50_000_000
"""What is less may be a slew, or a process that was not given the processor between two readings."""
_LEAST_SLEEP_NS = 500_000_000
_READINGS = 3


def boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@cache
def boot_id() -> str:
    """Names this boot: a boottime of another one means nothing here."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True)
class Reading:
    """What both clocks say at one instant."""

    boottime_ns: int
    utc_ns: int


def read_both() -> Reading:
    """The closest of a few readings: a process may lose the processor between the two clocks."""
    return min((_read_both() for _ in range(_READINGS)), key=lambda found: found[0])[1]


class StepWatch:
    """Tells when somebody set the wall clock, from what it has gained on the other one since the last reading."""

    def __init__(self) -> None:
        self._offset_ns: int | None = None

    def step(self, reading: Reading) -> tuple[int, Reading] | None:
        """By how much it was set since the last reading, and what it would say now without that; None if it was not."""
        before_ns, self._offset_ns = self._offset_ns, reading.utc_ns - reading.boottime_ns
        if before_ns is None or abs(self._offset_ns - before_ns) < LEAST_STEP_NS:
            return None
        return self._offset_ns - before_ns, Reading(reading.boottime_ns, reading.boottime_ns + before_ns)


class SleepWatch:
    """Tells when the machine was suspended: the monotonic clock stands still then, and CLOCK_BOOTTIME does not."""

    def __init__(self) -> None:
        self._asleep_ns: int | None = None

    def slept_ns(self, boottime_ns: int, monotonic_ns: int) -> int:
        """For how long it was since the last asking; 0 for less than half a second."""
        before_ns, self._asleep_ns = self._asleep_ns, boottime_ns - monotonic_ns
        slept_ns = 0 if before_ns is None else self._asleep_ns - before_ns
        return slept_ns if slept_ns >= _LEAST_SLEEP_NS else 0


def _read_both() -> tuple[int, Reading]:
    before_ns, utc_ns, after_ns = boottime_ns(), time.time_ns(), boottime_ns()
    return after_ns - before_ns, Reading((before_ns + after_ns) // 2, utc_ns)
