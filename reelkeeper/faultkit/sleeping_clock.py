"""Loaded into each process of a node whose machine can be suspended; imports nothing of ours.

A suspend is what CLOCK_BOOTTIME and UTC have gained on the monotonic clock, which stands still: so the first two run
ahead here by what a file says, from one reading to the next, in processes that run already.
"""

import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE = "ahead-ns"
WORD_BYTES = 8


def install(file: Path) -> None:
    """From here on `time` tells of suspends. Threads, timers and sleeps keep to the monotonic clock as they do."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    word = mmap.mmap(descriptor, WORD_BYTES, prot=mmap.PROT_READ)
    os.close(descriptor)
    ahead = {time.CLOCK_BOOTTIME, time.CLOCK_REALTIME}
    true_time_ns, true_clock_ns = time.time_ns, time.clock_gettime_ns

    def ahead_ns() -> int:
        return int.from_bytes(word[:WORD_BYTES], "little")

    def clock_gettime_ns(clock: int) -> int:
        return true_clock_ns(clock) + (ahead_ns() if clock in ahead else 0)

    told: dict[str, Callable[..., Any]] = {
        "clock_gettime_ns": clock_gettime_ns,
        "clock_gettime": lambda clock: clock_gettime_ns(clock) / 1e9,
        "time_ns": lambda: true_time_ns() + ahead_ns(),
        "time": lambda: (true_time_ns() + ahead_ns()) / 1e9,
    }
    for name, tell in told.items():
        setattr(time, name, tell)
