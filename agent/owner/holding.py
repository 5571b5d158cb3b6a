"""Holds back what a device delivers for as long as we may not have heard yet that it is another device."""

import threading
from collections import deque
from dataclasses import dataclass

from agent.owner.sources import Sink


@dataclass(frozen=True)
class Period:
    """One delivery of a device; instants are CLOCK_BOOTTIME."""

    buffer: bytes
    frames: int
    captured_at_ns: int
    arrived_at_ns: int
    has_skipped: bool
    """Whether the device dropped frames before it, nobody knows how many."""


class Holding:
    """Between a device and its sink. In doubt, as at the beginning, it hands nothing on."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._turn = threading.Lock()
        self._held: deque[Period] = deque()
        self._hold_ns: int | None = None
        self._is_wrong = False

    def push(self, period: Period) -> None:
        with self._turn:
            self._held.append(period)
            if self._hold_ns is not None:
                self._hand_on(period.arrived_at_ns - self._hold_ns)

    def trust(self, hold_seconds: float) -> None:
        """It is the right device, and we would hear within this time that it is not any more.

        Hands on at once: doubts that follow closely must not hold everything back.
        """
        with self._turn:
            self._hold_ns = int(hold_seconds * 1e9)
            if self._held:
                self._hand_on(self._held[-1].arrived_at_ns - self._hold_ns)

    def doubt(self) -> None:
        """It may be another device now: everything is held back until `trust` or `distrust`."""
        self._hold_ns = None

    def distrust(self) -> None:
        """It is not the right device any more, which ends it."""
        with self._turn:
            self._is_wrong = True
        self._sink.failed("device_lost")

    def flush(self) -> None:
        """The device is closed, and it was the right one up to its end."""
        with self._turn:
            if self._hold_ns is not None and self._held:
                self._hand_on(self._held[-1].arrived_at_ns)

    def _hand_on(self, arrived_until_ns: int) -> None:
        while self._held and not self._is_wrong and self._held[0].arrived_at_ns <= arrived_until_ns:
            period = self._held.popleft()
            if period.has_skipped:
                self._sink.skipped("overrun")
            self._sink.captured(period.buffer, period.frames, period.captured_at_ns)
