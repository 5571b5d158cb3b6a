"""What an owner has to tell: moments, and conditions that last. Whoever asks gets the newest few."""

import threading
from dataclasses import dataclass, replace
from typing import Literal

from protocol.ids import new_id

Severity = Literal["info", "warning", "critical"]

_EVENTS_KEPT = 32


@dataclass(frozen=True)
class OwnerEvent:
    """Instants are CLOCK_BOOTTIME. A moment ends when it begins; a condition without an end lasts."""

    id: str
    """The same for a condition when it begins and when it is over, and in every owner that sees it."""
    kind: str
    severity: Severity
    message: str
    began_ns: int
    ended_ns: int | None
    channel: int | None = None
    """From 0; None: all of the interface."""
    began_frame: int | None = None
    """Frames are those of the take that is being written; None when there is none, or it is not known."""
    ended_frame: int | None = None

    @property
    def lasts(self) -> bool:
        return self.ended_ns is None


class Events:
    """Every method may be called from any thread and never waits for a disk."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._events: dict[str, OwnerEvent] = {}

    def note(self, kind: str, severity: Severity, message: str, at_ns: int) -> None:
        """A moment."""
        self._keep(OwnerEvent(str(new_id()), kind, severity, message, at_ns, at_ns))

    def begin(
        self,
        kind: str,
        severity: Severity,
        message: str,
        at_ns: int,
        *,
        channel: int | None = None,
        frame: int | None = None,
    ) -> OwnerEvent:
        """A condition, unless one of this kind lasts on this channel already."""
        return self.lasting(kind, channel) or self._keep(
            OwnerEvent(str(new_id()), kind, severity, message, at_ns, None, channel, frame)
        )

    def take_over(self, event: OwnerEvent) -> None:
        """A condition that an earlier owner began."""
        self._keep(event)

    def end(
        self,
        kind: str,
        at_ns: int,
        message: str | None = None,
        *,
        channel: int | None = None,
        frame: int | None = None,
    ) -> None:
        """The condition of this kind is over, if there is one; `message` says how it went."""
        with self._turn:
            event = self._lasting(kind, channel)
            if event is not None:
                self._events[event.id] = replace(
                    event,
                    ended_ns=max(at_ns, event.began_ns),
                    ended_frame=frame,
                    message=message or event.message,
                )

    def lasting(self, kind: str, channel: int | None = None) -> OwnerEvent | None:
        with self._turn:
            return self._lasting(kind, channel)

    def newest(self) -> list[OwnerEvent]:
        """In the order in which they began; what lasts is never left out."""
        with self._turn:
            return list(self._events.values())

    def _lasting(self, kind: str, channel: int | None) -> OwnerEvent | None:
        of_kind = (event for event in self._events.values() if (event.kind, event.channel) == (kind, channel))
        return next((event for event in of_kind if event.lasts), None)

    def _keep(self, event: OwnerEvent) -> OwnerEvent:
        with self._turn:
            over = [known.id for known in self._events.values() if not known.lasts]
            if len(self._events) >= _EVENTS_KEPT and over:
                del self._events[over[0]]
            self._events[event.id] = event
        return event
