"""Keeps one device open: opens it, watches that it delivers, brings it back when it does not."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from agent.owner.clock import SleepWatch, boottime_ns
from agent.owner.events import OwnerEvent
from agent.owner.ladder import Ladder, Rung
from agent.owner.signal import SignalWatch
from agent.owner.sources import Backend, DeviceBusyError, DeviceError, DeviceGoneError, FormatRefusedError, Source
from agent.owner.takes import Takes
from agent.owner.trouble import Trouble, remove_trouble, write_trouble
from agent.owner.writing import WritingWatch
from core_rs import ChannelLevels, GrowthGuard, LevelMeter
from protocol.timeouts import Timeouts

log = logging.getLogger(__name__)

_LONGEST_OPENING = 4
"""In limits of a start: who opens a device a second time has nobody who waits for it."""
_OVERRUNS_OVER_SECONDS = 10.0
"""Overruns that follow one another more closely are one condition."""


class DeviceStanding(StrEnum):
    OPENING = "opening"
    CAPTURING = "capturing"
    STALLED = "stalled"
    LOST = "lost"
    CLOSED = "closed"


class Device:
    """Delivers the samples of one device into the takes, over all its failures.

    A loss is known either from the device or, since many say nothing, from the silence of its callbacks. What happens
    is told by the events of the takes; `state_folder` is where the next owner finds a trouble that this one leaves.
    """

    def __init__(
        self,
        backend: Backend,
        takes: Takes,
        timeouts: Timeouts,
        state_folder: Path | None = None,
        found: Trouble | None = None,
    ) -> None:
        """`found` is what an owner left behind that captured for the same recordings."""
        self._backend = backend
        self._takes = takes
        self.events = takes.events
        self._timeouts = timeouts
        self._state_folder = state_folder
        self._meter = LevelMeter(backend.format)
        self.signal = SignalWatch(backend.format.channels, backend.format.sample_rate_hz, self.events)
        self._writing = WritingWatch(self.events, timeouts)
        self._closing = threading.Event()
        self._opened = threading.Event()
        self._first_error: DeviceError | None = None
        self._failure: str | None = None
        self._delivered_frames = 0
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)
        self._patient_until: float | None = None
        """How long the library may keep us that is being called, in monotonic seconds."""
        self._ladder = Ladder(timeouts, time.monotonic(), found.processes if found else None)
        self._trouble: OwnerEvent | None = None
        self._broke_at_frame: int | None = None
        self._came_back: tuple[int, int | None] | None = None
        """Instant of the first frames after a trouble, and the frame of the take that they are."""
        self._overran_frames = 0
        self._overran_at_ns = 0
        self.sleep = SleepWatch()
        self.standing = DeviceStanding.OPENING
        if found is not None:
            self.events.take_over(found.event)
            self._is_in_trouble(found.event)

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
        if self._state_folder is not None:
            remove_trouble(self._state_folder)

    def leave(self) -> None:
        """Another process shall try. The trouble stays written down for it."""
        if self._trouble is None:
            self._broke("device_stalled", "The device hangs")
        assert self._trouble is not None
        log.critical("%s; another process tries", self._trouble.message)
        self._write_down(self._ladder.processes + 1)

    @property
    def is_stuck(self) -> bool:
        """Whether this process cannot bring the device back any more, and it is time that another one tries."""
        now, until = time.monotonic(), self._patient_until
        hangs = until is not None and now > until
        has_died = self._thread.ident is not None and not self._thread.is_alive()
        return not self._closing.is_set() and self._ladder.wants_process(now, is_stuck=hangs or has_died)

    @property
    def silent_since_ns(self) -> int | None:
        """Since when the device delivers nothing; None while it does, or is only being opened."""
        trouble = self._trouble
        return trouble.began_ns if trouble and self.standing is not DeviceStanding.CAPTURING else None

    def levels(self) -> list[ChannelLevels]:
        """Since the last asking; empty when the device delivered nothing since."""
        return self._meter.levels()

    # ---- the source's side ----

    def captured(self, buffer: bytes, frames: int, boottime_ns: int) -> None:
        self._notice_sleep()
        self._takes.captured(buffer, boottime_ns)
        next_frame = self._takes.next_frame
        frame = next_frame - frames if next_frame and next_frame >= frames else None
        self._meter.push(buffer, boottime_ns, frame)
        self._delivered_frames += frames
        if self.standing is not DeviceStanding.CAPTURING:
            self.standing = DeviceStanding.CAPTURING
            self._came_back = (boottime_ns, frame)

    def lost(self, frames: int, cause: str) -> None:
        self._takes.lost(frames, cause)
        self._overran(frames)

    def skipped(self, cause: str) -> None:
        self._takes.interrupted(cause)
        self._overran(0)

    def failed(self, cause: str) -> None:
        self._failure = cause

    def _notice_sleep(self) -> None:
        """Devices say nothing of a suspend of the machine: the samples just go on."""
        now_ns = boottime_ns()
        if slept_ns := self.sleep.slept_ns(now_ns, time.monotonic_ns()):
            self._takes.interrupted("suspended")
            words = f"The machine was suspended for {slept_ns / 1e9:.1f} s. Forbid that while it records."
            self.events.note("node_suspended", "critical", words, now_ns)

    def _overran(self, frames: int) -> None:
        self._overran_at_ns = boottime_ns()
        self._overran_frames += frames
        words = "The device drops frames: this machine is too slow, or the device is faulty."
        self.events.begin("device_overrun", "warning", words, self._overran_at_ns)

    # ---- the keeper ----

    def _run(self) -> None:
        while not self._closing.is_set():
            before = self._delivered_frames
            source, in_vain = self._open()
            self._opened.set()
            if source is not None:
                cause = self._watch(source)
                self._let_go(source)
                if not cause:
                    break
                self._broke(cause, "The device delivers nothing")
                if self._delivered_frames > before:
                    continue
                in_vain = True
            self._closing.wait(self._ladder.reopen_pause(in_vain=in_vain))
        self._settle()
        self._overran_over()
        self.standing = DeviceStanding.CLOSED

    def _open(self) -> tuple[Source | None, bool]:
        """The open device, or none and whether it is there but cannot be opened."""
        self._failure = None
        try:
            with self._for_at_most(self._timeouts.owner_start * _LONGEST_OPENING):
                source = self._backend.open(self)
        except Exception as error:  # whatever a library raises: without this thread nobody would open it again
            if not self._opened.is_set():
                self._first_error = error if isinstance(error, DeviceError) else DeviceError(str(error))
            if self.standing is not DeviceStanding.LOST:
                self._broke("device_lost", f"The device cannot be opened: {error}")
                log.warning("the device cannot be opened: %s", error, exc_info=not isinstance(error, DeviceError))
            self._judge_format(error)
            return None, not isinstance(error, DeviceGoneError | DeviceBusyError | FormatRefusedError)
        self._judge_format(None)
        if self._trouble is not None:
            self._ladder.opened()
        return source, False

    def _judge_format(self, error: Exception | None) -> None:
        """A device that came back as another one stays a gap: what is captured has one format."""
        if isinstance(error, FormatRefusedError):
            self.events.begin("device_format_changed", "critical", str(error), boottime_ns())
        else:
            self.events.end("device_format_changed", boottime_ns())

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

    def _watch(self, source: Source) -> str | None:
        """Waits until the device fails; the cause, or None when it shall be closed."""
        guard = GrowthGuard(self._timeouts.growth_quiet, self._timeouts.growth_stalled)
        tick = self._timeouts.flush / 4
        awake, before = 0.0, time.monotonic()
        while not self._closing.wait(tick):
            now = time.monotonic()
            # A process that was stopped itself must not blame the device for it.
            seconds, before = min(now - before, 2 * tick), now
            awake += seconds
            self._settle()
            self._judge(seconds)
            if self._failure:
                return self._failure
            if guard.observe(awake, self._delivered_frames) == "stalled":
                if not self._restarted(source, now):
                    return "device_stalled"
                guard = GrowthGuard(self._timeouts.growth_quiet, self._timeouts.growth_stalled)
        return None

    def _judge(self, seconds: float) -> None:
        """What was delivered in this time, and what became of it."""
        for window in self._meter.windows():
            self.signal.observe(window)
        running = self._takes.running
        is_usable = running is not None and running.writer.fault is None and running.writer.standing == "usable"
        durable_frame = running.writer.durable_frame if running is not None and is_usable else None
        self._writing.observe(seconds, boottime_ns(), self._delivered_frames, durable_frame)

    def _restarted(self, source: Source, now: float) -> bool:
        """Whether starting the stream again was tried, and frames flow."""
        if self._trouble is not None or not self._ladder.may_restart(now):
            return False
        self._broke("device_stalled", "The device delivers nothing")
        before = self._delivered_frames
        try:
            with self._for_at_most(self._timeouts.owner_request):
                if not source.restart():
                    return False
        except Exception:
            log.exception("the stream could not be started again")
            return False
        gives_up_at = time.monotonic() + self._timeouts.growth_quiet
        while self._delivered_frames == before and time.monotonic() < gives_up_at and not self._failure:
            if self._closing.wait(self._timeouts.device_period):
                break
        if self._delivered_frames == before and not self._closing.is_set():
            words = "Starting the stream again did not help; the device is opened again."
            self.events.note("device_step", "info", words, boottime_ns())
        return self._delivered_frames > before

    def _broke(self, cause: str, words: str) -> None:
        self._takes.interrupted(cause)
        self._settle()
        is_new = self._trouble is None
        if is_new:
            message = f"{words.rstrip('.')}. It is tried again until it is back. Check that it is plugged in."
            self._is_in_trouble(self.events.begin(cause, "critical", message, boottime_ns()))
        # Only now: frames that come meanwhile would count as the return from a trouble that nobody knows of yet.
        self.standing = DeviceStanding.STALLED if cause == "device_stalled" else DeviceStanding.LOST
        if is_new:
            self._write_down(self._ladder.processes)

    def _is_in_trouble(self, event: OwnerEvent) -> None:
        self._trouble = event
        self._broke_at_frame = self._takes.next_frame

    def _settle(self) -> None:
        """Ends the conditions that are over."""
        now_ns = boottime_ns()
        if self._came_back is not None:
            (came_back_ns, frame), self._came_back = self._came_back, None
            rung = self._ladder.helped()
            if self._trouble is not None:
                self._returned(self._trouble, came_back_ns, frame, rung)
        if now_ns - self._overran_at_ns > _OVERRUNS_OVER_SECONDS * 1e9:
            self._overran_over()

    def _returned(self, trouble: OwnerEvent, came_back_ns: int, frame: int | None, rung: Rung) -> None:
        seconds = max(0, came_back_ns - trouble.began_ns) / 1e9
        proof = f"{rung}; frames flow again after {seconds:.1f} s"
        if frame is not None and self._broke_at_frame is not None:
            proof += f", a gap of {max(0, frame - self._broke_at_frame)} frames"
        self.events.end(trouble.kind, came_back_ns, f"{trouble.message} It is over: {proof}.")
        self.events.note("device_returned", "info", f"The device delivers again: {proof}.", came_back_ns)
        self._trouble = None
        if self._state_folder is not None:
            remove_trouble(self._state_folder)

    def _overran_over(self) -> None:
        if not self._overran_at_ns:
            return
        frames, at_ns = self._overran_frames, self._overran_at_ns
        self._overran_frames = self._overran_at_ns = 0
        words = f"{frames} frames" if frames else "frames and did not say how many"
        self.events.end("device_overrun", at_ns, f"The device dropped {words}.")

    def _write_down(self, processes: int) -> None:
        if self._state_folder is not None and self._trouble is not None:
            write_trouble(self._state_folder, Trouble(self._trouble, processes))
