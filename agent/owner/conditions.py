"""What lasts for a while at an interface. Kept here with its span, so that nobody has to look all the time."""

import logging
import threading
from collections import deque
from dataclasses import dataclass, replace

log = logging.getLogger(__name__)

_MOST_LASTING = 96
"""With what is over, and the longest words, an answer of the socket holds them all."""
_OVER_KEPT = 24


@dataclass(frozen=True)
class Condition:
    """`number` rises by one in each owner. Instants are CLOCK_BOOTTIME; frames are those of the take that was being
    written, None when there was none, or it is not known."""

    number: int
    kind: str
    message: str
    channel: int | None
    """From 0; None: all of the interface."""
    began_ns: int
    began_frame: int | None
    ended_ns: int | None = None
    """None: it lasts."""
    ended_frame: int | None = None


class Conditions:
    """Each kind lasts once at a time on each channel. Every method may be called from any thread, and none waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self._lasting: dict[tuple[str, int | None], Condition] = {}
        self._over: deque[Condition] = deque(maxlen=_OVER_KEPT)

    def begin(
        self, kind: str, message: str, *, began_ns: int, frame: int | None = None, channel: int | None = None
    ) -> None:
        """No effect while it lasts already."""
        with self._lock:
            if (kind, channel) in self._lasting:
                return
            if len(self._lasting) >= _MOST_LASTING:
                log.warning("too many conditions last, this one is not kept: %s", message)
                return
            self._number += 1
            self._lasting[kind, channel] = Condition(self._number, kind, message, channel, began_ns, frame)
        log.warning("%s: %s", kind, message)

    def end(
        self,
        kind: str,
        *,
        ended_ns: int,
        frame: int | None = None,
        channel: int | None = None,
        message: str | None = None,
    ) -> None:
        """No effect when it does not last. `message` says how it ended, in place of how it began."""
        with self._lock:
            lasting = self._lasting.pop((kind, channel), None)
            if lasting is None:
                return
            ended_ns = max(ended_ns, lasting.began_ns)
            over = replace(lasting, ended_ns=ended_ns, ended_frame=frame, message=message or lasting.message)
            self._over.append(over)
        log.info("%s is over: %s", kind, over.message)

    def lasts(self, kind: str, channel: int | None = None) -> bool:
        return (kind, channel) in self._lasting

    def known(self) -> list[Condition]:
        """Those that last and the newest that are over, in the order in which they began."""
        with self._lock:
            return sorted((*self._over, *self._lasting.values()), key=lambda condition: condition.number)
