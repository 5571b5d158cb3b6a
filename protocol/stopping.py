"""A stop that is asked for by a signal, and that comes in time also when the event loop hangs."""

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Iterator

from core_rs import end_after_signal

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def stop_by_signal(seconds: float) -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set. The process ends with 0 so many seconds after the first, whatever hangs.

    The core hears of the signal and counts: the event loop may stand in a call that does not return, and that holds
    the interpreter besides. Only for the main thread, inside its loop.
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
        watch.join()  # a thread in the core may not outlive the interpreter


def _watch(hears: socket.socket, loop: asyncio.AbstractEventLoop, stop: asyncio.Event, seconds: float) -> None:
    if end_after_signal(hears.detach(), SIGNALS, seconds):
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            loop.call_soon_threadsafe(stop.set)
