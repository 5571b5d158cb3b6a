"""Rooms, speech and broken signals, made by recipe and seed, and the watch that judges them.

A quiet room: pink noise from 20 Hz up, half of it common to all channels and half of each one's own, with hum of 50,
100 and 150 Hz 10 dB below it, at -70 to -55 dBFS RMS altogether, with triangular dither. Speech: the sentences of the
input `speech`, 12 dB below full scale, on all channels, with such a room around it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from agent.owner.events import Events, OwnerEvent
from agent.owner.signal import SignalWatch
from core_rs import LevelMeter, PcmFormat, SampleType

Samples = NDArray[np.float64]
"""Frames by channels, full scale at 1."""

PERIOD_FRAMES = 1_024
_STEPS = {"s16": 2**15, "s24": 2**23, "s32": 2**31}


def room(random: np.random.Generator, frames: int, *, rate: int, channels: int, dbfs: float) -> Samples:
    """A quiet room at this RMS level."""
    common = pink(random, frames, rate)
    noise = np.stack([(common + pink(random, frames, rate)) / 2**0.5 for _ in range(channels)], axis=1)
    seconds = np.arange(frames)[:, None] / rate
    phase = random.uniform(0, 2 * np.pi)
    hum = sum(np.sin(2 * np.pi * 50 * harmonic * seconds + phase) / harmonic for harmonic in (1, 2, 3))
    both = noise + hum / np.sqrt(np.mean(np.square(hum))) * 10 ** (-10 / 20)
    return np.asarray(both / np.sqrt(np.mean(np.square(both))) * 10 ** (dbfs / 20))


def pink(random: np.random.Generator, frames: int, rate: int) -> Samples:
    """Noise of RMS 1 that falls by 3 dB an octave."""
    length = 1 << (frames - 1).bit_length()  # of other lengths a transform may take minutes
    hz = np.fft.rfftfreq(length, 1 / rate)
    spectrum = random.normal(size=(2, len(hz)))
    shaped = (spectrum[0] + 1j * spectrum[1]) * np.where(hz >= 20, 1 / np.sqrt(np.maximum(hz, 20)), 0)
    noise = np.fft.irfft(shaped, length)[:frames]
    return np.asarray(noise / np.sqrt(np.mean(np.square(noise))))


def speech(random: np.random.Generator, frames: int, *, rate: int, channels: int) -> Samples:
    """From a random place on, in a room of -62 dBFS."""
    said, said_rate = soundfile.read(Path(__file__).parents[1] / "agent/owner/speech.flac")
    said = said[:: said_rate // rate]
    begin = random.integers(len(said))
    voice = np.resize(np.roll(said, -begin), frames)[:, None] / np.abs(said).max() * 10 ** (-12 / 20)
    return voice + room(random, frames, rate=rate, channels=channels, dbfs=-62.0)


def encoded(samples: Samples, sample_type: SampleType, random: np.random.Generator) -> bytes:
    """With triangular dither of one step, and cut at full scale as a converter does."""
    if sample_type == "f32":
        return np.clip(samples, -1, 1).astype("<f4").tobytes()
    steps = _STEPS[sample_type]
    dither = random.uniform(-0.5, 0.5, samples.shape) + random.uniform(-0.5, 0.5, samples.shape)
    whole = np.clip(np.round(samples * steps + dither), -steps, steps - 1).astype("<i4")
    if sample_type == "s24":
        return whole.view("u1").reshape(-1, 4)[:, :3].tobytes()
    return whole.astype("<i2" if sample_type == "s16" else "<i4").tobytes()


@dataclass
class Listener:
    """A meter and a watch over made samples, as an owner has them, as fast as they come."""

    format: PcmFormat

    def __post_init__(self) -> None:
        self.events = Events()
        self._meter = LevelMeter(self.format)
        self._watch = SignalWatch(self.format.channels, self.format.sample_rate_hz, self.events)
        self._frame = 0

    def hear(self, pcm: bytes) -> list[OwnerEvent]:
        """In periods of a device. All that is known by then."""
        rate = self.format.sample_rate_hz
        for period in _periods(pcm, PERIOD_FRAMES * self.format.frame_bytes):
            self._meter.push(period, self._frame * 1_000_000_000 // rate, self._frame)
            self._frame += len(period) // self.format.frame_bytes
            for window in self._meter.windows():
                self._watch.observe(window)
        return self.events.newest()


def _periods(pcm: bytes, size: int) -> Iterator[bytes]:
    return (pcm[begin : begin + size] for begin in range(0, len(pcm), size))
