"""The clocks of this machine: CLOCK_BOOTTIME counts through a suspend, is set by nobody, and starts anew at a boot."""

import time
from functools import cache
from pathlib import Path


def boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@cache
def boot_id() -> str:
    """Names this boot: a boottime of another one means nothing here."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
