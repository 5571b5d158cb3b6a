"""Inputs whose samples are made or read, not heard: they come on a clock of their own, with faults of known size.

Frame n is a function of time: the clock of an input is anchored in a file when it is first opened (with frame 1), and
runs on while nobody listens. So a new owner sees exactly how much was missed.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from mmap import mmap
from pathlib import Path

from agent.owner.clock import boot_id, boottime_ns
from agent.owner.sources import DeviceError, DeviceGoneError, FormatRefusedError, HookRefusedError, Sink
from agent.owner.spoiling import FAULTS, Spoiler
from agent.owner.state import write_atomically
from core_rs import PcmFormat

PERIOD_FRAMES = 1024
SHORT_READS = (1, 333, 7, 1023, 64, 129, 500, 3)
"""Frames of the periods of a device that delivers odd lengths."""
BUFFER_SECONDS = 2.0
"""What the device holds for a listener that is late; more is an overrun."""

Signal = Callable[[int, int], bytes]
"""Start frame and number of frames → samples."""


class PacedBackend:
    """One input with its clock in this file."""

    def __init__(self, format: PcmFormat, signal: Signal, clock_path: Path) -> None:
        self.format = format
        self._signal = signal
        self._clock = ClockFile(clock_path, format.sample_rate_hz)
        self._hooks = Hooks(format)

    def open(self, sink: Sink) -> "PacedSource":
        if seconds := self._hooks.seconds_left("hang"):
            time.sleep(seconds)
        if self._hooks.seconds_left("disconnect"):
            raise DeviceGoneError("The input is unplugged for a while. Wait for it to return.")
        if other := self._hooks.other_format(self.format):
            raise FormatRefusedError(
                f"The input is there with {other} and was captured with {_words(self.format)}. Set it back."
            )
        self._hooks.unwedge(REOPENED)
        return PacedSource(self._signal, self._clock, self._clock.begin(), sink, self._hooks)

    def hook(self, name: str, value: float) -> None:
        """As `Hooks.set`; `drift`: the device's clock runs so many ppm fast from now on, also for later owners."""
        if name == "drift":
            self._clock.drift(round(value))
        else:
            self._hooks.set(name, value)


def loop(pcm: bytes | mmap, frame_bytes: int) -> Signal:
    """The same recording again and again; frame 1 is its first. There must be a frame."""
    length = len(pcm)

    def signal(start: int, frames: int) -> bytes:
        begin, wanted = (start - 1) * frame_bytes % length, frames * frame_bytes
        found = pcm[begin : begin + wanted]
        while len(found) < wanted:
            found += pcm[: wanted - len(found)]
        return found

    return signal


@dataclass(frozen=True)
class DeviceClock:
    """The first frame was captured at `epoch_ns` (CLOCK_BOOTTIME), all others follow at the rate and its drift."""

    epoch_ns: int
    sample_rate_hz: int
    first_frame: int = 1
    drift_ppm: int = 0

    def frame_at(self, boottime_ns: int) -> int:
        return self.first_frame + (boottime_ns - self.epoch_ns) * self._frames_in_1e15_ns // _1E15

    def boottime_of(self, frame: int) -> int:
        return self.epoch_ns + (frame - self.first_frame) * _1E15 // self._frames_in_1e15_ns

    def drifting(self, ppm: int, boottime_ns: int) -> "DeviceClock":
        """The same up to this instant, and with this drift from there on."""
        frame = self.frame_at(boottime_ns)
        return replace(self, epoch_ns=self.boottime_of(frame), first_frame=frame, drift_ppm=ppm)

    @property
    def _frames_in_1e15_ns(self) -> int:
        return self.sample_rate_hz * (1_000_000 + self.drift_ppm)


_1E15 = 1_000_000_000_000_000


class ClockFile:
    """The clock of an input, which outlives its owners; begun anew at each boot."""

    def __init__(self, path: Path, sample_rate_hz: int) -> None:
        self._path = path
        self._sample_rate_hz = sample_rate_hz
        self._now: DeviceClock | None = None

    @property
    def now(self) -> DeviceClock:
        """As it runs since the last `drift`. Raises DeviceError for a damaged file."""
        if self._now is None:
            self._now = self._known() or self._write(DeviceClock(boottime_ns(), self._sample_rate_hz))
        return self._now

    def begin(self) -> int:
        """The frame that an opening begins with: 1 the first time, later what the clock says. Raises DeviceError."""
        is_first = not self._path.exists()
        self._now = None
        clock = self.now
        return 1 if is_first else clock.frame_at(boottime_ns())

    def drift(self, ppm: int) -> None:
        self._now = self._write(self.now.drifting(ppm, boottime_ns()))

    def _known(self) -> DeviceClock | None:
        """None when this boot has not seen it yet."""
        if not self._path.exists():
            return None
        try:
            known = json.loads(self._path.read_bytes())
            if known["boot_id"] != boot_id():
                return None
            first_frame, drift_ppm = int(known.get("first_frame", 1)), int(known.get("drift_ppm", 0))
            return DeviceClock(int(known["epoch_ns"]), self._sample_rate_hz, first_frame, drift_ppm)
        except (ValueError, KeyError, TypeError) as cause:
            raise DeviceError(f"{self._path} is damaged. Remove it; the input then counts from 1 again.") from cause

    def _write(self, clock: DeviceClock) -> DeviceClock:
        fields = {
            "boot_id": boot_id(),
            "epoch_ns": clock.epoch_ns,
            "first_frame": clock.first_frame,
            "drift_ppm": clock.drift_ppm,
        }
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self._path, json.dumps(fields).encode())
        return clock


RESTARTED, REOPENED = 1, 2
"""What cures a wedged stream; more than these cures only another process, which has no hooks."""


class Hooks:
    """How the device misbehaves just now. Outlives its closing and opening, not its process."""

    def __init__(self, format: PcmFormat) -> None:
        self._spoiler = Spoiler(format)
        self._lock = threading.Lock()
        self._until_ns = {**dict.fromkeys(FAULTS, 0), "stall": 0, "disconnect": 0, "hang": 0, "short_reads": 0}
        self._until_reset = {"format": 0, "channels": 0, "wedge": 0}
        self._overrun_frames = 0
        self._next_read = 0

    def set(self, name: str, value: float) -> None:
        """`stall`, `disconnect`, `short_reads`, and the faults of `spoiling`: for so many seconds from now;
        `hang`: opening waits until then; `overrun`: frames;
        `format`, `channels`: the device returns with this rate or count, until 0;
        `wedge`: it delivers nothing until the stream is restarted (1), opened again (2), or the process ends (3)."""
        with self._lock:
            if name == "overrun":
                self._overrun_frames += int(value)
            elif name in self._until_ns:
                self._until_ns[name] = boottime_ns() + int(value * 1e9)
            elif name in self._until_reset:
                self._until_reset[name] = int(value)
            else:
                raise HookRefusedError(f"This input has no hook “{name}”.")

    def seconds_left(self, name: str) -> float:
        """Never below 0."""
        with self._lock:
            return max(0, self._until_ns[name] - boottime_ns()) / 1e9

    def other_format(self, own: PcmFormat) -> str | None:
        """In words; None while the device has its own."""
        rate, channels = self._until_reset["format"], self._until_reset["channels"]
        if not rate and not channels:
            return None
        return _words(PcmFormat(channels or own.channels, rate or own.sample_rate_hz, own.sample_type))

    def unwedge(self, cure: int) -> None:
        with self._lock:
            if self._until_reset["wedge"] <= cure:
                self._until_reset["wedge"] = 0

    @property
    def is_wedged(self) -> bool:
        return self._until_reset["wedge"] > 0

    @property
    def is_away(self) -> bool:
        """Whether an open stream must end."""
        away = self.seconds_left("disconnect") > 0
        return away or bool(self._until_reset["format"] or self._until_reset["channels"])

    @property
    def overrun_frames(self) -> int:
        """Frames still to be dropped."""
        return self._overrun_frames

    def take_overrun(self, frames_waiting: int) -> int:
        """The frames to drop now, told once; none before the device's clock has made them."""
        with self._lock:
            if self._overrun_frames > frames_waiting:
                return 0
            frames, self._overrun_frames = self._overrun_frames, 0
        return frames

    def spoil(self, buffer: bytes) -> bytes:
        """The samples as they arrive just now."""
        return self._spoiler.spoil(buffer, {fault for fault in FAULTS if self.seconds_left(fault)})

    def next_period_frames(self) -> int:
        """The length of the next delivery."""
        if not self.seconds_left("short_reads"):
            return PERIOD_FRAMES
        self._next_read += 1
        return SHORT_READS[self._next_read % len(SHORT_READS)]


class PacedSource:
    """Delivers periods as they come due; a late one delivers what the device held, and names what it could not hold."""

    def __init__(self, signal: Signal, clock: ClockFile, frame: int, sink: Sink, hooks: Hooks) -> None:
        self._signal = signal
        self._clock = clock
        self._sink = sink
        self._hooks = hooks
        self._frame = frame
        self._period_frames = PERIOD_FRAMES
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def restart(self) -> bool:
        self._hooks.unwedge(RESTARTED)
        return True

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(self._seconds_until_due()):
            if self._hooks.is_away:
                self._sink.failed("device_lost")
                return
            if not self._is_silent:
                self._lose(self._hooks.take_overrun(self._frames_waiting()))
                self._lose(self._frames_waiting() - int(BUFFER_SECONDS * self._clock.now.sample_rate_hz))
                self._deliver()

    @property
    def is_wedged(self) -> bool:
        """Whether it delivers nothing until it is cured."""
        return self._hooks.is_wedged

    @property
    def _is_silent(self) -> bool:
        return self.is_wedged or self._hooks.seconds_left("stall") > 0

    def _seconds_until_due(self) -> float:
        clock = self._clock.now
        next_frame = self._frame + max(self._period_frames, self._hooks.overrun_frames)
        seconds = (clock.boottime_of(next_frame) - boottime_ns()) / 1e9
        if self._is_silent:
            seconds = max(seconds, PERIOD_FRAMES / clock.sample_rate_hz)
        return max(seconds, 0)

    def _frames_waiting(self) -> int:
        return self._clock.now.frame_at(boottime_ns()) - self._frame

    def _lose(self, frames: int) -> None:
        if frames > 0:
            self._sink.lost(frames, "overrun")
            self._frame += frames

    def _deliver(self) -> None:
        frames = self._period_frames
        if self._frames_waiting() >= frames:
            buffer = self._hooks.spoil(self._signal(self._frame, frames))
            self._sink.captured(buffer, frames, self._clock.now.boottime_of(self._frame))
            self._frame += frames
            self._period_frames = self._hooks.next_period_frames()


def _words(format: PcmFormat) -> str:
    return f"{format.channels} channels of {format.sample_type} at {format.sample_rate_hz} Hz"
