"""Inputs whose samples are made or read, not heard: they come on a clock of their own, with faults of known size.

Frame n is a function of time: the clock of an input is anchored in a file when it is first opened (with frame 1), and
runs on while nobody listens. So a new owner sees exactly how much was missed.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path

from agent.owner.clock import boot_id, boottime_ns
from agent.owner.sources import DeviceError, DeviceGoneError, HookRefusedError, Sink
from agent.owner.state import write_atomically
from core_rs import PcmFormat

PERIOD_FRAMES = 1024
BUFFER_SECONDS = 2.0
"""What the device holds for a listener that is late; more is an overrun."""

Signal = Callable[[int, int], bytes]
"""Start frame and number of frames → samples."""


class PacedBackend:
    """One input with its clock in this file."""

    def __init__(self, format: PcmFormat, signal: Signal, clock_path: Path) -> None:
        self.format = format
        self._signal = signal
        self._clock_path = clock_path
        self._hooks = Hooks()

    def open(self, sink: Sink) -> "PacedSource":
        time.sleep(self._hooks.seconds_left("hang"))
        if self._hooks.seconds_left("disconnect"):
            raise DeviceGoneError("The input is unplugged for a while. Wait for it to return.")
        first = not self._clock_path.exists()
        clock = _clock(self._clock_path, self.format.sample_rate_hz)
        frame = 1 if first else clock.frame_at(boottime_ns())
        return PacedSource(self._signal, clock, frame, sink, self._hooks)

    def hook(self, name: str, value: float) -> None:
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
    """Frame 1 was captured at `epoch_ns` (CLOCK_BOOTTIME), all others follow at the rate."""

    epoch_ns: int
    sample_rate_hz: int

    def frame_at(self, boottime_ns: int) -> int:
        return 1 + (boottime_ns - self.epoch_ns) * self.sample_rate_hz // 1_000_000_000

    def boottime_of(self, frame: int) -> int:
        return self.epoch_ns + (frame - 1) * 1_000_000_000 // self.sample_rate_hz


class Hooks:
    """How the device misbehaves just now. Outlives its closing and opening."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until_ns = {"stall": 0, "disconnect": 0, "hang": 0}
        self._overrun_frames = 0

    def set(self, name: str, value: float) -> None:
        """`stall`, `disconnect`: for so many seconds from now; `hang`: opening waits until then; `overrun`: frames."""
        with self._lock:
            if name == "overrun":
                self._overrun_frames += int(value)
            elif name in self._until_ns:
                self._until_ns[name] = boottime_ns() + int(value * 1e9)
            else:
                raise HookRefusedError(f"This input has no hook “{name}”.")

    def seconds_left(self, name: str) -> float:
        """Never below 0."""
        with self._lock:
            return max(0, self._until_ns[name] - boottime_ns()) / 1e9

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


class PacedSource:
    """Delivers periods as they come due; a late one delivers what the device held, and names what it could not hold."""

    def __init__(self, signal: Signal, clock: DeviceClock, frame: int, sink: Sink, hooks: Hooks) -> None:
        self._signal = signal
        self._clock = clock
        self._sink = sink
        self._hooks = hooks
        self._frame = frame
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(self._seconds_until_due()):
            if self._hooks.seconds_left("disconnect"):
                self._sink.failed("device_lost")
                return
            if not self._hooks.seconds_left("stall"):
                self._lose(self._hooks.take_overrun(self._frames_waiting()))
                self._lose(self._frames_waiting() - int(BUFFER_SECONDS * self._clock.sample_rate_hz))
                self._deliver()

    def _seconds_until_due(self) -> float:
        next_frame = self._frame + max(PERIOD_FRAMES, self._hooks.overrun_frames)
        seconds = (self._clock.boottime_of(next_frame) - boottime_ns()) / 1e9
        stalled = self._hooks.seconds_left("stall")
        return max(seconds, min(stalled, PERIOD_FRAMES / self._clock.sample_rate_hz), 0)

    def _frames_waiting(self) -> int:
        return self._clock.frame_at(boottime_ns()) - self._frame

    def _lose(self, frames: int) -> None:
        if frames > 0:
            self._sink.lost(frames, "overrun")
            self._frame += frames

    def _deliver(self) -> None:
        if self._frames_waiting() >= PERIOD_FRAMES:
            buffer = self._signal(self._frame, PERIOD_FRAMES)
            self._sink.captured(buffer, PERIOD_FRAMES, self._clock.boottime_of(self._frame))
            self._frame += PERIOD_FRAMES


def _clock(path: Path, sample_rate_hz: int) -> DeviceClock:
    """The clock of an input, begun now if this boot has not seen it yet."""
    boot = boot_id()
    if path.exists():
        try:
            known = json.loads(path.read_bytes())
            if known["boot_id"] == boot:
                return DeviceClock(int(known["epoch_ns"]), sample_rate_hz)
        except (ValueError, KeyError, TypeError) as cause:
            raise DeviceError(f"{path} is damaged. Remove it; the input then counts from 1 again.") from cause
    epoch_ns = boottime_ns()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"boot_id": boot, "epoch_ns": epoch_ns}).encode())
    return DeviceClock(epoch_ns, sample_rate_hz)
