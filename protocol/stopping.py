"""A stop that is asked for by a signal, and that comes in time also when the event loop hangs."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOOK_SECONDS = 0.5


@contextlib.contextmanager
def stop_by_signal(seconds: float) -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set. The process ends with 0 so many seconds after the first, whatever hangs.

    A thread hears of the signal, since the event loop may stand in a call that does not return. Only for the main
    thread, inside its loop.
    """
    stop = asyncio.Event()
    hears, tells = socket.socketpair()
    tells.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    told_before = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    watch = threading.Thread(
        target=_watch, args=(hears, asyncio.get_running_loop(), stop, seconds), name="stop by signal", daemon=True
    )
    watch.start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(told_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        tells.close()


def _watch(hears: socket.socket, loop: asyncio.AbstractEventLoop, stop: asyncio.Event, seconds: float) -> None:
    """Until one of the signals came, and its time is over; or until nobody tells any more."""
    with hears:
        hears.settimeout(_LOOK_SECONDS)
        while True:
            try:
                numbers = hears.recv(64)
            except TimeoutError:
                if not _is_pending():
                    continue
            else:
                if not numbers:
                    return
                if not set(numbers) & set(SIGNALS):
                    continue
            break
    with contextlib.suppress(RuntimeError):  # the loop has ended by itself
        loop.call_soon_threadsafe(stop.set)
    time.sleep(seconds)
    os._exit(0)


def _is_pending() -> bool:
    """Whether a signal waits for a main thread that the kernel does not let go, on a disk that hangs, say."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("ShdPnd:"):
            return any(int(line.split()[1], 16) >> (number - 1) & 1 for number in SIGNALS)
    return False
