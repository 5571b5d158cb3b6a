"""Why the owner ends."""

from queue import Empty, SimpleQueue


class Ending:
    """The one end of an owner. Many may ask for it: agent, signal, device; the first reason wins."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[str] = SimpleQueue()  # the only queue that a signal handler may use

    def ask(self, reason: str) -> None:
        self._asked.put(reason)

    def wait(self, seconds: float) -> str | None:
        """The first reason, or None when nobody asked within this time. To be called no more once it gave one."""
        try:
            return self._asked.get(timeout=seconds)
        except Empty:
            return None
