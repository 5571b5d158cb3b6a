import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.owner.config import SYNTHETIC_INTERFACES, Capture, Interface, OwnerConfig
from agent.owner.paced import PERIOD_FRAMES, SHORT_READS, DeviceClock
from agent.owner.sources import DeviceError, DeviceGoneError, FormatRefusedError, HookRefusedError
from agent.owner.spoiling import Spoiler
from agent.owner.synthetic import COUNTER_KEY, SyntheticBackend
from agent.owner.unpacked import pcm_path, sound_file, unpack
from core_rs import PcmFormat, counter_pcm, keyed_pcm
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

    def next_buffer(self) -> bytes:
        buffer = self.next("captured")
        assert isinstance(buffer, bytes)
        return buffer


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


@pytest.mark.parametrize("ppm", [200, -200])
def test_drifting_clock_is_where_it_was_at_first_and_then_runs_off_by_its_ppm(ppm: int) -> None:
    clock = DeviceClock(epoch_ns=5_000, sample_rate_hz=48_000)
    drifting = clock.drifting(ppm, 10_000_005_000)
    assert drifting.frame_at(10_000_005_000) == clock.frame_at(10_000_005_000) == 480_001
    hour_later = 3_610_000_005_000
    assert drifting.frame_at(hour_later) - clock.frame_at(hour_later) == ppm * 48 * 3_600 // 1_000
    assert abs(drifting.boottime_of(drifting.frame_at(hour_later)) - hour_later) < 21_000


def test_drift_loses_and_doubles_no_frame_and_is_known_to_the_next_owner(tmp_path: Path) -> None:
    backend = SyntheticBackend(config(tmp_path))
    with opened(backend) as sink:
        backend.hook("drift", 200)
        heard = b"".join(sink.next_buffer() for _ in range(8))
    assert heard == counter_pcm(1, 8 * PERIOD_FRAMES)
    with opened(SyntheticBackend(config(tmp_path))) as after:
        first = np.frombuffer(after.next_buffer(), "<u2")[:2].astype(int)
    known = json.loads((tmp_path / "synthetic" / "counter.clock").read_text())
    clock = DeviceClock(known["epoch_ns"], 48_000, known["first_frame"], known["drift_ppm"])
    assert clock.drift_ppm == 200
    assert clock.boottime_of(first[0] | first[1] << 16) == after.instants[0]


def test_short_reads_deliver_every_frame_in_odd_lengths(tmp_path: Path) -> None:
    backend = SyntheticBackend(config(tmp_path))
    backend.hook("short_reads", 60)
    with opened(backend) as sink:
        buffers = [sink.next_buffer() for _ in range(2 * len(SHORT_READS) + 1)]
    assert {len(buffer) // 4 for buffer in buffers[1:]} == set(SHORT_READS)
    heard = b"".join(buffers)
    assert heard == counter_pcm(1, len(heard) // 4)


@pytest.mark.parametrize(
    ("hook", "value", "words"),
    [("format", 44_100, "2 channels of s16 at 44100 Hz"), ("channels", 1, "1 channels of s16 at 48000 Hz")],
)
def test_device_that_returns_in_another_format_names_both_until_it_is_back_in_the_old_one(
    tmp_path: Path, hook: str, value: int, words: str
) -> None:
    backend = SyntheticBackend(config(tmp_path))
    with opened(backend) as sink:
        sink.next("captured")
        backend.hook(hook, value)
        assert sink.next("failed") == "device_lost"
    with pytest.raises(FormatRefusedError, match=f"{words} and was captured with 2 channels of s16 at 48000 Hz"):
        backend.open(FakeSink())
    backend.hook(hook, 0)
    with opened(backend) as back:
        assert back.next("captured")


@pytest.mark.parametrize(("depth", "cure"), [(1, "restart"), (2, "reopen")])
def test_wedged_stream_is_silent_until_it_is_cured_as_deep_as_it_is_wedged(
    tmp_path: Path, depth: int, cure: str
) -> None:
    backend = SyntheticBackend(config(tmp_path))
    sink = FakeSink()
    source = backend.open(sink)
    sink.next("captured")
    backend.hook("wedge", depth)
    assert source.restart()
    assert source.is_wedged == (cure == "reopen")
    source.close()
    with opened(backend) as again:
        assert again.next("captured")


def test_unknown_input_format_or_hook_is_refused_in_words(tmp_path: Path) -> None:
    known = config(tmp_path)
    with pytest.raises(DeviceGoneError, match="counter-32"):
        SyntheticBackend(replace(known, interface=Interface("synthetic", "default")))
    with pytest.raises(FormatRefusedError, match="2 channels of s16"):
        SyntheticBackend(replace(known, capture=Capture(8, 48_000, "s16")))
    with pytest.raises(HookRefusedError):
        SyntheticBackend(known).hook("explode", 1)


def test_signal_is_spoiled_as_told_and_whole_again_afterwards() -> None:
    format = PcmFormat(2, 48_000, "s16")
    spoiler = Spoiler(format)
    first, second = counter_pcm(1, 480), counter_pcm(481, 480)
    frozen = np.frombuffer(spoiler.spoil(first, {"freeze"}) + spoiler.spoil(second, {"freeze"}), "<u4")
    assert set(frozen) == {1}
    assert spoiler.spoil(first, {"repeat"}) == spoiler.spoil(second, {"repeat"}) == first
    muted = np.frombuffer(spoiler.spoil(counter_pcm(70_000, 480), {"mute_channel"}), "<u2").reshape(-1, 2)
    assert muted[:, 0].all()
    assert not muted[:, 1].any()
    clipped = np.frombuffer(spoiler.spoil(first, {"clip"}), "<i2").reshape(-1, 2)
    assert (clipped[:240] == 32_767).all()
    assert spoiler.spoil(first, {"zeros"}) == bytes(len(first))
    assert spoiler.spoil(second, set()) == second
