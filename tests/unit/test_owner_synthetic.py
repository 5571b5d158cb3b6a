import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.owner.config import SYNTHETIC_INTERFACES, Capture, Interface, OwnerConfig
from agent.owner.paced import PERIOD_FRAMES, DeviceClock
from agent.owner.sources import DeviceError, DeviceGoneError, FormatRefusedError, HookRefusedError
from agent.owner.synthetic import COUNTER_KEY, SyntheticBackend
from agent.owner.unpacked import pcm_path, sound_file, unpack
from core_rs import counter_pcm, keyed_pcm
from protocol.timeouts import Timeouts


class FakeSink:
    """Notes what it is given as (what, frames or cause)."""

    def __init__(self) -> None:
        self.seen: queue.SimpleQueue[tuple[str, bytes | int | str]] = queue.SimpleQueue()
        self.instants: list[int] = []

    def captured(self, buffer: bytes, frames: int, boottime_ns: int) -> None:
        self.instants.append(boottime_ns)
        self.seen.put(("captured", buffer))

    def lost(self, frames: int, cause: str) -> None:
        self.seen.put((cause, frames))

    def skipped(self, cause: str) -> None:
        self.seen.put(("skipped", cause))

    def failed(self, cause: str) -> None:
        self.seen.put(("failed", cause))

    def next(self, what: str) -> bytes | int | str:
        """The next of this kind; fails after a while."""
        while True:
            kind, value = self.seen.get(timeout=10)
            if kind == what:
                return value


def config(folder: Path, name: str = "counter") -> OwnerConfig:
    return OwnerConfig(
        Interface("synthetic", name), SYNTHETIC_INTERFACES[name], folder, folder, folder / "synthetic", Timeouts()
    )


@contextmanager
def opened(backend: SyntheticBackend) -> Iterator[FakeSink]:
    sink = FakeSink()
    source = backend.open(sink)
    try:
        yield sink
    finally:
        source.close()


def test_device_clock_gives_every_frame_its_instant() -> None:
    clock = DeviceClock(epoch_ns=5_000, sample_rate_hz=48_000)
    assert clock.boottime_of(1) == 5_000
    assert clock.boottime_of(48_001) == 1_000_005_000
    assert clock.frame_at(5_000) == 1
    assert clock.frame_at(1_000_005_000) == 48_001


def test_first_frame_ever_is_frame_one(tmp_path: Path) -> None:
    with opened(SyntheticBackend(config(tmp_path))) as sink:
        assert sink.next("captured") == counter_pcm(1, PERIOD_FRAMES)
        assert sink.next("captured") == counter_pcm(1 + PERIOD_FRAMES, PERIOD_FRAMES)


def test_clock_runs_on_while_the_device_is_closed(tmp_path: Path) -> None:
    with opened(SyntheticBackend(config(tmp_path))) as before:
        before.next("captured")
    with opened(SyntheticBackend(config(tmp_path))) as after:
        buffer = after.next("captured")
    assert isinstance(buffer, bytes)
    elapsed_ns = after.instants[0] - before.instants[0]
    left, right = np.frombuffer(buffer, "<u2")[:2].astype(int)
    assert (left | right << 16) == 1 + round(elapsed_ns * 48_000 / 1e9)


def test_clock_of_another_boot_begins_anew_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    backend = SyntheticBackend(config(tmp_path))
    path = tmp_path / "synthetic" / "counter.clock"
    path.parent.mkdir()
    path.write_text(json.dumps({"boot_id": "long ago", "epoch_ns": 1}))
    with opened(backend) as sink:
        assert sink.next("captured")
    assert json.loads(path.read_text())["boot_id"] != "long ago"
    path.write_text("{")
    with pytest.raises(DeviceError, match=r"counter\.clock is damaged"):
        backend.open(FakeSink())


def test_32_channels_carry_the_keyed_hash(tmp_path: Path) -> None:
    with opened(SyntheticBackend(config(tmp_path, "counter-32"))) as sink:
        assert sink.next("captured") == keyed_pcm(1, PERIOD_FRAMES, 32, COUNTER_KEY)


def test_tone_is_continuous(tmp_path: Path) -> None:
    with opened(SyntheticBackend(config(tmp_path, "tone"))) as sink:
        heard = [sink.next("captured") for _ in range(2)]
    left = np.frombuffer(b"".join(part for part in heard if isinstance(part, bytes)), "<i2")[::2].astype(float)
    assert abs(left).max() == pytest.approx(32768 * 10 ** (-18 / 20), rel=0.01)
    assert abs(np.diff(left)).max() < abs(left).max() * 2 * np.pi * 1000 / 48_000 + 2


def test_speech_is_unpacked_once_and_loops(tmp_path: Path) -> None:
    speech = config(tmp_path, "speech")
    flac = sound_file(speech.interface)
    assert flac
    target = pcm_path(speech.synthetic_folder, flac, speech.capture)
    unpack(flac, target, "s16")
    pcm = target.read_bytes()
    assert 5 < len(pcm) / 2 / 48_000 < 60
    with opened(SyntheticBackend(speech)) as sink:
        assert sink.next("captured") == pcm[: PERIOD_FRAMES * 2]


def test_overrun_is_told_to_the_frame(tmp_path: Path) -> None:
    backend = SyntheticBackend(config(tmp_path))
    with opened(backend) as sink:
        sink.next("captured")
        backend.hook("overrun", 777)
        assert sink.next("overrun") == 777


def test_unplugged_device_says_so_and_cannot_be_opened(tmp_path: Path) -> None:
    backend = SyntheticBackend(config(tmp_path))
    with opened(backend) as sink:
        backend.hook("disconnect", 60)
        assert sink.next("failed") == "device_lost"
    with pytest.raises(DeviceGoneError):
        backend.open(FakeSink())


def test_short_stall_loses_nothing_since_the_device_holds_it(tmp_path: Path) -> None:
    backend = SyntheticBackend(config(tmp_path))
    with opened(backend) as sink:
        backend.hook("stall", 0.2)
        buffers = [sink.next("captured") for _ in range(12)]
    heard = b"".join(part for part in buffers if isinstance(part, bytes))
    assert heard == counter_pcm(1, 12 * PERIOD_FRAMES)


def test_unknown_input_format_or_hook_is_refused_in_words(tmp_path: Path) -> None:
    known = config(tmp_path)
    with pytest.raises(DeviceGoneError, match="counter-32"):
        SyntheticBackend(replace(known, interface=Interface("synthetic", "default")))
    with pytest.raises(FormatRefusedError, match="2 channels of s16"):
        SyntheticBackend(replace(known, capture=Capture(8, 48_000, "s16")))
    with pytest.raises(HookRefusedError):
        SyntheticBackend(known).hook("explode", 1)
