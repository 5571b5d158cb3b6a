"""X15: MP3 and FLAC renditions of a take, against lame and flac. Ours also draw, measure, digest and sync."""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

import agent.owner
from bench import measure, sources
from core_rs import ChannelMap, PcmFormat, Rendition, Take, TakeWriter, Waveform

FORMAT = PcmFormat(2, sources.SAMPLE_RATE_HZ, "s16")
SPEECH = Path(agent.owner.__file__).with_name("speech.flac")

Make = Callable[[Path], Rendition]
Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Source:
    """The same sound for everybody."""

    folder: Path
    samples: Samples
    wav: Path
    take: Take

    @property
    def seconds(self) -> float:
        return len(self.samples) / FORMAT.sample_rate_hz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=120)
    seconds = parser.parse_args().seconds
    claims: list[measure.Claim] = []
    figures: dict[str, object] = {"seconds of audio": seconds}
    with tempfile.TemporaryDirectory() as name:
        source = made(Path(name), seconds)
        compare_mp3(source, claims, figures)
        compare_flac(source, claims, figures)
    measure.report("encoding", claims, figures)


def made(folder: Path, seconds: int) -> Source:
    samples, wav = room_sound(seconds), folder / "source.wav"
    soundfile.write(wav, samples, FORMAT.sample_rate_hz, subtype="PCM_16")
    return Source(folder, samples, wav, recorded(folder / "take", samples))


def room_sound(seconds: int) -> Samples:
    """Speech on one side, tones that swell, a little noise: what an encoder has to work for."""
    rate = sources.SAMPLE_RATE_HZ
    speech = np.resize(soundfile.read(SPEECH)[0], seconds * rate)
    times = np.arange(seconds * rate) / rate
    pitches = (220.0, 277.2, 329.6, 440.0, 880.0, 1760.0, 3520.0)
    tones = sum(0.03 * np.sin(2 * math.pi * hz * times) for hz in pitches) * (0.5 + 0.5 * np.sin(times))
    noise = np.random.default_rng(1).standard_normal((seconds * rate, 2)) * 0.005
    sides = np.stack([0.5 * speech + tones, 0.35 * np.roll(speech, 300) + 0.8 * tones], axis=1)
    return ((sides + noise).clip(-1, 1) * 32_767).astype(np.int16)


def recorded(folder: Path, samples: Samples) -> Take:
    writer = TakeWriter.create(folder, FORMAT, facts="{}", ring_seconds=30, waveform=False)
    for start in range(0, len(samples), FORMAT.sample_rate_hz):
        block = samples[start : start + FORMAT.sample_rate_hz]
        while writer.next_frame - writer.durable_frame > 20 * FORMAT.sample_rate_hz:
            pass
        writer.push(block.tobytes(), 10**9 + start * 10**9 // FORMAT.sample_rate_hz)
    writer.close("stopped")
    return Take.open(folder)


def compare_mp3(source: Source, claims: list[measure.Claim], figures: dict[str, object]) -> None:
    ours, theirs = source.folder / "ours.mp3", source.folder / "theirs.mp3"
    contenders = {
        "mp3": lambda: measure.call(
            lambda: render(source.take, ours, lambda p: Rendition.mp3(p, FORMAT, vbr_quality=2))
        )
    }
    has_lame = shutil.which("lame") is not None
    if has_lame:
        contenders["lame"] = lambda: measure.run(["lame", "--quiet", "-V2", source.wav, theirs])
    costs = measure.in_turn(contenders)
    if has_lame:
        speed = measure.ratio(costs["mp3"], costs["lame"], by="cpu_seconds")
        size = ours.stat().st_size / theirs.stat().st_size
        claims.append(measure.at_most("MP3 V2 ÷ lame -V2, CPU", speed, 1.1))
        claims.append(measure.at_most("MP3 V2: size against lame's, %", abs(size - 1) * 100, 0.5))
    else:
        claims.append(measure.not_measured("MP3 V2 ÷ lame -V2, CPU", "≤ 1.1", "lame"))
    decoded = soundfile.read(ours)[0] * 32_768
    assert len(decoded) == len(source.samples), "frames are missing"
    claims.append(measure.at_most("MP3 V2: decoded RMS, % off", abs(rms(decoded) / rms(source.samples) - 1) * 100, 1.0))
    note_speeds(costs, source, figures)


def compare_flac(source: Source, claims: list[measure.Claim], figures: dict[str, object]) -> None:
    ours, theirs = source.folder / "ours.flac", source.folder / "theirs.flac"
    contenders = {"flac": lambda: measure.call(lambda: render(source.take, ours, lambda p: Rendition.flac(p, FORMAT)))}
    has_flac = shutil.which("flac") is not None
    if has_flac:
        contenders["flac -5"] = lambda: measure.run(["flac", "--silent", "--force", "-5", source.wav, "-o", theirs])
    costs = measure.in_turn(contenders)
    if has_flac:
        speed = measure.ratio(costs["flac"], costs["flac -5"], by="cpu_seconds")
        claims.append(measure.at_most("FLAC ÷ flac -5, CPU", speed, 1.0))
        figures["FLAC: size against flac -5"] = ours.stat().st_size / theirs.stat().st_size
    else:
        claims.append(measure.not_measured("FLAC ÷ flac -5, CPU", "≤ 1", "flac"))
    assert np.array_equal(soundfile.read(ours, dtype="int16")[0], source.samples), "FLAC is not bit-exact"
    note_speeds(costs, source, figures)


def render(take: Take, target: Path, make: Make) -> None:
    """What a renderer does, the sync to disk included."""
    waveform, rendition = Waveform(FORMAT), make(target)
    rendition.append(take, 0, take.durable_frame, ChannelMap.identity(FORMAT.channels), waveform)
    waveform.finish()
    rendition.finish()


def rms(samples: NDArray[np.generic]) -> float:
    return float(np.sqrt((samples.astype(np.float64) ** 2).mean()))


def note_speeds(costs: dict[str, list[measure.Cost]], source: Source, figures: dict[str, object]) -> None:
    for name, runs in costs.items():
        fastest = min(run.cpu_seconds for run in runs)
        figures[f"{name}: times faster than real time, on one core"] = source.seconds / fastest


if __name__ == "__main__":
    main()
