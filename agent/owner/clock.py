"""The clock that counts on through a suspend and that nobody sets."""

import time


def boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
