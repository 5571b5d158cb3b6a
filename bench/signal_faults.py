"""C16: how many broken signals are found, how soon, and how often a good one is called broken.

Every case is good sound first and one fault after it, in all sample types, with seeds counted up from one. Found
means: the right kind, no later than ten seconds after the fault began. `--hours` of quiet rooms must raise nothing.
"""

import argparse
import statistics
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.measure import at_least, at_most, report
from bench.signals import PERIOD_FRAMES, Listener, Samples, encoded, room, speech
from core_rs import PcmFormat, SampleType

SAMPLE_TYPES: tuple[SampleType, ...] = ("s16", "s24", "s32", "f32")
FAULT_SECONDS = 12
ROOM_RATE = 8_000
"""Rooms of many hours: the watch counts seconds and levels, not frames."""


@dataclass(frozen=True)
class Case:
    """`spoil` makes the fault out of good sound: interleaved samples, or bytes where the device itself fails."""

    kind: str
    spoil: Callable[[Samples, np.random.Generator], Samples]
    repeat: int = 0
    """The device repeats so many periods instead."""
    from_start: bool = False


def _frozen(good: Samples, channels: slice = slice(None)) -> Samples:
    spoiled = good.copy()
    spoiled[:, channels] = good[np.argmax(np.abs(good).min(axis=1)), channels]
    return spoiled


def _muted(good: Samples, floor_dbfs: float | None, random: np.random.Generator) -> Samples:
    spoiled = good.copy()
    floor = np.zeros(len(good)) if floor_dbfs is None else random.normal(size=len(good)) * 10 ** (floor_dbfs / 20)
    spoiled[:, 1] = floor
    return spoiled


CASES: dict[str, Case] = {
    "exact zeros": Case("exact_zeros", lambda good, _: good * 0),
    "zeros from the start": Case("no_sound_yet", lambda good, _: good * 0, from_start=True),
    "one value on all channels": Case("frozen", lambda good, _: _frozen(good)),
    "one value on one channel": Case("frozen", lambda good, _: _frozen(good, slice(0, 1))),
    "one period again and again": Case("frozen", lambda good, _: good, repeat=1),
    "ring of four periods again and again": Case("frozen", lambda good, _: good, repeat=4),
    "dead channel, exact zeros": Case("dead_channel", lambda good, random: _muted(good, None, random)),
    "dead channel, noise at -90 dBFS": Case("dead_channel", lambda good, random: _muted(good, -90.0, random)),
    "all at -90 dBFS": Case("low_level", lambda good, random: random.normal(size=good.shape) * 10 ** (-90 / 20)),
    "overload by 12 dB": Case("clipping", lambda good, _: good * 10 ** ((12 + 12) / 20)),
}


@dataclass(frozen=True)
class Verdict:
    found: bool
    seconds: float
    """Of audio from the fault to the finding; beyond the end when there was none."""
    false_kinds: tuple[str, ...]


def judge(case: Case, seed: int, sample_type: SampleType, *, good_seconds: int = 20, rate: int = 48_000) -> Verdict:
    """One case."""
    random = np.random.default_rng(seed)
    good_frames = 0 if case.from_start else good_seconds * rate // PERIOD_FRAMES * PERIOD_FRAMES
    sound = speech(random, good_frames + FAULT_SECONDS * rate, rate=rate, channels=2)
    listener = Listener(PcmFormat(2, rate, sample_type))
    before = listener.hear(encoded(sound[:good_frames], sample_type, random))
    fault_pcm = _fault_pcm(case, sound[good_frames:], sample_type, random)
    frame_bytes, events, seconds = listener.format.frame_bytes, before, float(FAULT_SECONDS)
    for begin in range(0, len(fault_pcm), PERIOD_FRAMES * frame_bytes):
        events = listener.hear(fault_pcm[begin : begin + PERIOD_FRAMES * frame_bytes])
        if any(event.kind == case.kind for event in events):
            seconds = begin / frame_bytes / rate
            break
    false_kinds = tuple(event.kind for event in (*before, *events) if event.kind != case.kind)
    return Verdict(seconds <= 10.0, seconds, false_kinds)


def _fault_pcm(case: Case, good: Samples, sample_type: SampleType, random: np.random.Generator) -> bytes:
    if case.repeat:
        ring = encoded(good[: case.repeat * PERIOD_FRAMES], sample_type, random)
        return ring * (len(good) // PERIOD_FRAMES // case.repeat)
    spoiled = case.spoil(good, random)
    stands_still = not (spoiled != spoiled[0]).any(axis=0).all()
    if not stands_still:
        return encoded(spoiled, sample_type, random)
    # A converter that stands still makes no dither either.
    moving = np.frombuffer(encoded(spoiled, sample_type, random), "u1").reshape(len(good), 2, -1).copy()
    for channel in np.flatnonzero(~(spoiled != spoiled[0]).any(axis=0)):
        moving[:, channel] = 0 if spoiled[0, channel] == 0 else moving[0, channel]
    return moving.tobytes()


def false_alarms(hours: float, seed: int) -> list[str]:
    """Of quiet rooms at -70 to -55 dBFS in 16 bits, each for ten minutes."""
    random = np.random.default_rng(seed)
    found: list[str] = []
    minutes = round(hours * 60)
    for begin in range(0, minutes, 10):
        listener = Listener(PcmFormat(2, ROOM_RATE, "s16"))
        dbfs = random.uniform(-70.0, -55.0)
        for _ in range(min(10, minutes - begin)):
            minute = room(random, 60 * ROOM_RATE, rate=ROOM_RATE, channels=2, dbfs=dbfs)
            events = listener.hear(encoded(minute, "s16", random))
        found += [event.kind for event in events]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--hours", type=float, default=1.0, help="of quiet rooms")
    arguments = parser.parse_args()
    verdicts = {
        name: [judge(case, seed, kind) for seed in range(1, arguments.seeds + 1) for kind in SAMPLE_TYPES]
        for name, case in CASES.items()
    }
    found = sum(verdict.found for each in verdicts.values() for verdict in each)
    false_kinds = Counter(kind for each in verdicts.values() for verdict in each for kind in verdict.false_kinds)
    total = sum(map(len, verdicts.values()))
    alarms = false_alarms(arguments.hours, seed=1)
    figures: dict[str, object] = {
        f"{name}: found, seconds (median, most)": f"{sum(one.found for one in each)} of {len(each)}, "
        f"{statistics.median(one.seconds for one in each):.1f}, {max(one.seconds for one in each):.1f}"
        for name, each in verdicts.items()
    }
    figures["what was told besides"] = dict(false_kinds)
    figures["hours of quiet rooms"] = arguments.hours
    claims = [
        at_least("broken signals found within 10 s of audio (recall)", found / total, 1.0),
        at_least("findings that were right (precision)", found / (found + sum(false_kinds.values())), 1.0),
        at_most("false alarms in quiet rooms", len(alarms), 0),
    ]
    report("C16 signal faults", claims, figures)


if __name__ == "__main__":
    main()
