"""Inputs that are made, not heard: known samples on a clock of their own, with faults of known size.

Frame n is a function of time: the clock of an input is anchored in a file when it is first opened (with frame 1), and
runs on while nobody listens. So a new owner sees exactly how much was missed.
"""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.owner.clock import boot_id, boottime_ns
from agent.owner.config import SYNTHETIC_INTERFACES, OwnerConfig
from agent.owner.sources import DeviceError, DeviceGoneError, FormatRefusedError, HookRefusedError, Sink
from agent.owner.speech import pcm_path
from agent.owner.state import write_atomically
from core_rs import PcmFormat, counter_pcm, keyed_pcm, tone_pcm

PERIOD_FRAMES = 1024
BUFFER_SECONDS = 2.0
"""What the device holds for a listener that is late; more is an overrun."""
COUNTER_KEY = 32
"""Of the hash that `counter-32` delivers."""

Signal = Callable[[int, int], bytes]
"""Start frame and number of frames → samples."""


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
                raise HookRefusedError(f"A synthetic input has no hook “{name}”.")

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


class SyntheticBackend:
    """One synthetic input. Raises DeviceGoneError or FormatRefusedError for one that there is not."""

    def __init__(self, config: OwnerConfig) -> None:
        name, asked = config.interface.name, config.capture
        only = SYNTHETIC_INTERFACES.get(name)
        if only is None:
            raise DeviceGoneError(
                f"There is no synthetic input “{name}”. Choose one of {', '.join(SYNTHETIC_INTERFACES)}."
            )
        if (asked.channels, asked.sample_rate_hz, asked.sample_type) != (
            only.channels,
            only.sample_rate_hz,
            only.sample_type,
        ):
            raise FormatRefusedError(
                f"Synthetic input “{name}” has only {only.channels} channels of {only.sample_type} at "
                f"{only.sample_rate_hz} Hz. Set the interface to that."
            )
        self.format = PcmFormat(only.channels, only.sample_rate_hz, only.sample_type)
        self._signal = _signal(name, self.format, config.synthetic_folder)
        self._clock_path = config.synthetic_folder / f"{name}.clock"
        self._hooks = Hooks()

    def open(self, sink: Sink) -> "SyntheticSource":
        time.sleep(self._hooks.seconds_left("hang"))
        if self._hooks.seconds_left("disconnect"):
            raise DeviceGoneError("The synthetic input is unplugged for a while. Wait for it to return.")
        first = not self._clock_path.exists()
        clock = _clock(self._clock_path, self.format.sample_rate_hz)
        frame = 1 if first else clock.frame_at(boottime_ns())
        return SyntheticSource(self._signal, clock, frame, sink, self._hooks)

    def hook(self, name: str, value: float) -> None:
        self._hooks.set(name, value)


class SyntheticSource:
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


def _signal(name: str, format: PcmFormat, folder: Path) -> Signal:
    if name == "counter":
        return counter_pcm
    if name == "counter-32":
        return lambda start, frames: keyed_pcm(start, frames, format.channels, COUNTER_KEY)
    if name == "tone":
        return lambda start, frames: tone_pcm(start, frames, format, hz=1000.0, dbfs_peak=-18.0)
    return _loop(pcm_path(folder).read_bytes(), format.frame_bytes)


def _loop(pcm: bytes, frame_bytes: int) -> Signal:
    """The same recording again and again; frame 1 is its first."""

    def signal(start: int, frames: int) -> bytes:
        begin = (start - 1) * frame_bytes % len(pcm)
        found = pcm[begin : begin + frames * frame_bytes]
        return found + pcm[: frames * frame_bytes - len(found)]

    return signal


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
