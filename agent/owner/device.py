"""Keeps one device open: opens it, watches that it delivers, opens it again when it does not."""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from agent.owner.clock import boottime_ns
from agent.owner.sources import Backend, DeviceError, Source
from agent.owner.takes import Takes
from core_rs import ChannelLevels, GrowthGuard, LevelMeter
from protocol.timeouts import Timeouts

log = logging.getLogger(__name__)

_EVENTS_KEPT = 32
_LONGEST_PAUSE = 4
"""Between two tries to open a device, in first pauses."""
_LONGEST_OPENING = 4
"""In limits of a start: who opens a device a second time has nobody who waits for it."""


class DeviceStanding(StrEnum):
    OPENING = "opening"
    CAPTURING = "capturing"
    STALLED = "stalled"
    LOST = "lost"
    CLOSED = "closed"


@dataclass(frozen=True)
class DeviceEvent:
    """Something that happened to the device; `number` rises by one."""

    number: int
    kind: str
    message: str
    boottime_ns: int


class Device:
    """Delivers the samples of one device into the takes, over all its failures.

    A loss is known either from the device or, since many say nothing, from the silence of its callbacks.
    """

    def __init__(self, backend: Backend, takes: Takes, timeouts: Timeouts) -> None:
        self._backend = backend
        self._takes = takes
        self._timeouts = timeouts
        self._meter = LevelMeter(backend.format)
        self._closing = threading.Event()
        self._opened = threading.Event()
        self._first_error: DeviceError | None = None
        self._failure: str | None = None
        self._delivered_frames = 0
        self._event_number = 0
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)
        self._patient_until: float | None = None
        """How long the library may keep us that is being called, in monotonic seconds."""
        self.standing = DeviceStanding.OPENING
        self.events: deque[DeviceEvent] = deque(maxlen=_EVENTS_KEPT)

    def start(self, *, must_open: bool) -> None:
        """Begins to open the device, and with `must_open` waits for that. Raises DeviceError when it fails or hangs."""
        self._thread.start()
        if not must_open:
            return
        # Less than the limit of the start, so that it is this owner that ends, and says why.
        if not self._opened.wait(self._timeouts.owner_start * 0.6):
            raise DeviceError("The device does not open. Unplug it and plug it in again.")
        if self._first_error:
            raise self._first_error

    def close(self) -> None:
        """Nothing is delivered any more, unless the device hangs: then it is left behind after a while."""
        self._closing.set()
        self._thread.join(self._timeouts.owner_request)

    @property
    def is_stuck(self) -> bool:
        """Whether the device can neither be opened nor closed by this process any more, but perhaps by another."""
        until = self._patient_until
        return until is not None and time.monotonic() > until and not self._closing.is_set()

    def levels(self) -> list[ChannelLevels]:
        """Since the last asking; empty when the device delivered nothing since."""
        return self._meter.levels()

    # ---- the source's side ----

    def captured(self, buffer: bytes, frames: int, boottime_ns: int) -> None:
        self._takes.captured(buffer, boottime_ns)
        self._meter.push(buffer)
        self._delivered_frames += frames
        if self.standing is not DeviceStanding.CAPTURING:
            self._returned(boottime_ns)

    def lost(self, frames: int, cause: str) -> None:
        self._takes.lost(frames, cause)
        self._note("device_overrun", f"The device dropped {frames} frames.", boottime_ns())

    def skipped(self, cause: str) -> None:
        self._takes.interrupted(cause)
        self._note("device_overrun", "The device dropped frames and did not say how many.", boottime_ns())

    def failed(self, cause: str) -> None:
        self._failure = cause

    # ---- the keeper ----

    def _run(self) -> None:
        tries = 0
        while not self._closing.is_set():
            source = self._open()
            self._opened.set()
            if source is None:
                tries += 1
                self._closing.wait(self._timeouts.retry_first * min(tries, _LONGEST_PAUSE))
                continue
            tries = 0
            cause = self._watch()
            self._let_go(source)
            if cause:
                self._broke(cause)
        self.standing = DeviceStanding.CLOSED

    def _open(self) -> Source | None:
        self._failure = None
        try:
            with self._for_at_most(self._timeouts.owner_start * _LONGEST_OPENING):
                return self._backend.open(self)
        except Exception as error:  # whatever a library raises: without this thread nobody would open it again
            if not self._opened.is_set():
                self._first_error = error if isinstance(error, DeviceError) else DeviceError(str(error))
            if self.standing is not DeviceStanding.LOST:
                self._broke("device_lost")
                log.warning("the device cannot be opened: %s", error, exc_info=not isinstance(error, DeviceError))
            return None

    def _let_go(self, source: Source) -> None:
        """Some sound libraries never return from closing a device whose server died."""
        try:
            with self._for_at_most(self._timeouts.owner_request):
                source.close()
        except Exception:
            log.exception("the device was not closed well")

    @contextmanager
    def _for_at_most(self, seconds: float) -> Iterator[None]:
        """Who is inside for longer is stuck."""
        self._patient_until = time.monotonic() + seconds
        try:
            yield
        finally:
            self._patient_until = None

    def _watch(self) -> str | None:
        """Waits until the device fails; the cause, or None when it shall be closed."""
        guard = GrowthGuard(self._timeouts.growth_quiet, self._timeouts.growth_stalled)
        tick = self._timeouts.flush / 4
        awake, before = 0.0, time.monotonic()
        while not self._closing.wait(tick):
            now = time.monotonic()
            # A process that was stopped itself must not blame the device for it.
            awake, before = awake + min(now - before, 2 * tick), now
            if self._failure:
                return self._failure
            if guard.observe(awake, self._delivered_frames) == "stalled":
                return "device_stalled"
        return None

    def _broke(self, cause: str) -> None:
        self._takes.interrupted(cause)
        standing = DeviceStanding.STALLED if cause == "device_stalled" else DeviceStanding.LOST
        if standing is not self.standing:
            self.standing = standing
            self._note(cause, "The device delivers nothing; it is being opened again.", boottime_ns())

    def _returned(self, boottime_ns: int) -> None:
        first = self.standing is DeviceStanding.OPENING
        self.standing = DeviceStanding.CAPTURING
        if not first:
            self._note("device_returned", "The device delivers again.", boottime_ns)

    def _note(self, kind: str, message: str, boottime_ns: int) -> None:
        self._event_number += 1
        self.events.append(DeviceEvent(self._event_number, kind, message, boottime_ns))
