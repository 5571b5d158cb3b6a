"""A take through Python: what goes in, what comes out, and which fault is which exception."""

import json
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import core_rs
from core_rs import ChannelMap, EndMark, Gap, PcmFormat, Take, TakeWriter, counter_pcm

RATE = 48_000
STEREO = PcmFormat(2, RATE, "s16")
SECOND = 1_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "take"


@pytest.fixture
def writer(folder: Path) -> TakeWriter:
    return begun(folder)


def begun(folder: Path) -> TakeWriter:
    return TakeWriter.create(folder, STEREO, facts='{"backend": "synthetic"}', flush_interval_ms=1)


def wait_until_durable(writer: TakeWriter, frame: int) -> None:
    while writer.durable_frame < frame:
        assert writer.fault is None


def instant(frame: int) -> int:
    return 50 * SECOND + frame * SECOND // RATE


def test_a_take_tells_everything_that_went_in(folder: Path, writer: TakeWriter) -> None:
    pcm = counter_pcm(1, RATE)
    assert writer.push(pcm, instant(0)) == RATE
    writer.lost(480, "xrun", 24)
    assert writer.next_frame == RATE + 480
    assert writer.mark("start:a", 100) == 100
    writer.note_clock(instant(24_000), 5)
    writer.push(pcm[:40], instant(RATE + 480))
    end = writer.close("stopped")
    take = Take.open(folder)
    assert (take.format, json.loads(take.facts)) == (STEREO, {"backend": "synthetic"})
    assert (end.reason, end.end_frame, end.gap_frames, end.drained) == ("stopped", RATE + 490, 480, True)
    assert take.end == end
    [gap] = take.gaps
    assert (gap.start_frame, gap.frames, gap.cause, gap.uncertainty_frames) == (RATE, 480, "xrun", 24)
    assert take.marks == {"start:a": 100}
    [pair] = take.clock_pairs
    assert (pair.frame, pair.boottime_ns, pair.utc_ns) == (24_000, instant(24_000), 5)
    assert take.read(0, RATE + 490) == pcm + bytes(480 * 4) + pcm[:40]
    [segment] = take.segments
    assert segment.sha256 == core_rs.sha256_file(segment.path)
    assert (take.held_from_frame, take.tears, take.verify()) == (0, [], [])


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda pcm: np.frombuffer(pcm, "<i2").reshape(-1, 2)])
def test_any_buffer_goes_in(folder: Path, writer: TakeWriter, wrap: type) -> None:
    pcm = counter_pcm(1, 1000)
    assert writer.push(wrap(pcm), instant(0)) == 1000
    writer.close("stopped")
    assert Take.open(folder).read(0, 1000) == pcm


def test_a_buffer_that_is_not_contiguous_is_refused(writer: TakeWriter) -> None:
    with pytest.raises(ValueError, match="contiguous"):
        writer.push(np.zeros((100, 4), "<i2")[:, ::2], instant(0))
    with pytest.raises(core_rs.AudioError, match="whole frames"):
        writer.push(bytes(6), instant(0))
    assert writer.next_frame == 0


def test_an_instant_is_the_same_frame_for_everyone(writer: TakeWriter) -> None:
    assert writer.frame_at(instant(7)) == 0
    late_ns = [0, 30_000_000, 5_000_000, 12_000_000]
    for turn, late in enumerate(late_ns * 10):
        writer.push(bytes(4 * 1024), instant(turn * 1024) + late)
    assert writer.frame_at(instant(20_000)) == 20_000
    assert writer.frame_at(instant(90_000)) == 90_000
    assert writer.frame_at(0) == 0


def test_growth_is_seen_and_its_end_too(writer: TakeWriter) -> None:
    writer.push(bytes(4), instant(0))
    wait_until_durable(writer, 1)
    assert (writer.growth, writer.durable_bytes) == ("growing", 4)


def test_a_mapped_reading_has_the_asked_type(folder: Path, writer: TakeWriter) -> None:
    writer.push(np.tile(np.array([1000, -500], "<i2"), 10), instant(0))
    writer.close("stopped")
    take = Take.open(folder)
    mono = np.frombuffer(take.read(2, 5, ChannelMap.mono(inputs=2)), "<i2")
    assert mono.tolist() == [250, 250, 250]
    right = np.frombuffer(take.read(2, 5, ChannelMap.select([1], inputs=2), "f32"), "<f4")
    assert right.tolist() == [-500 / 2**15] * 3
    both = np.frombuffer(take.read(0, 1, None, "s32"), "<i4")
    assert both.tolist() == [1000 << 16, -500 << 16]
    with pytest.raises(core_rs.ChannelMapError):
        take.read(0, 1, ChannelMap.mono(inputs=3))


def test_segments_are_released_when_nobody_needs_them(folder: Path) -> None:
    writer = TakeWriter.create(folder, STEREO, facts="{}", flush_interval_ms=1, segment_seconds=1)
    writer.push(counter_pcm(1, 3 * RATE), instant(0))
    wait_until_durable(writer, 3 * RATE)
    assert writer.release(2 * RATE + 100) == 2 * RATE
    take = Take.open(folder)
    assert take.held_from_frame == 2 * RATE
    assert len(list(folder.glob("*.wav"))) == 1
    assert take.read(2 * RATE, 3 * RATE) == counter_pcm(2 * RATE + 1, RATE)
    with pytest.raises(core_rs.SegmentMismatchError):
        take.read(0, 1)


def test_a_resumed_take_goes_on_at_the_instant_of_its_first_push(folder: Path) -> None:
    writer = begun(folder)
    writer.push(counter_pcm(1, RATE), instant(0))
    wait_until_durable(writer, RATE)
    del writer
    resumed = TakeWriter.resume(folder, cause="owner_died", flush_interval_ms=20)
    resumed.push(counter_pcm(2 * RATE + 1, 100), instant(2 * RATE))
    assert resumed.next_frame == 2 * RATE + 100
    resumed.close("stopped")
    take = Take.open(folder)
    [gap] = take.gaps
    assert (gap.start_frame, gap.frames, gap.cause, gap.uncertainty_frames) == (RATE, RATE, "owner_died", 960)
    assert take.read(2 * RATE, 2 * RATE + 100) == counter_pcm(2 * RATE + 1, 100)
    assert take.verify() == []


def test_what_was_closed_stays_closed(folder: Path, writer: TakeWriter) -> None:
    end = writer.close("stopped")
    assert writer.close("again") == end
    with pytest.raises(core_rs.TakeClosedError):
        writer.push(bytes(4), 0)
    with pytest.raises(core_rs.TakeClosedError):
        TakeWriter.resume(folder, cause="owner_died")


def test_every_fault_has_its_class(folder: Path, writer: TakeWriter) -> None:
    with pytest.raises(FileExistsError, match=str(folder)):
        TakeWriter.create(folder, STEREO, facts="{}")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Take.open(folder / "nowhere")
    with pytest.raises(core_rs.AudioError, match="JSON object"):
        TakeWriter.create(folder / "other", STEREO, facts="[]")
    with pytest.raises(core_rs.UnsupportedFormatError):
        PcmFormat(65, RATE, "s16")
    writer.close("stopped")
    ledger = folder / "ledger"
    ledger.write_bytes(b"x" + ledger.read_bytes()[1:])
    with pytest.raises(core_rs.CorruptSegmentError, match="ledger at byte 0"):
        Take.open(folder)


def test_a_writer_that_was_only_dropped_is_a_crash_with_everything_on_disk(folder: Path) -> None:
    writer = begun(folder)
    writer.push(counter_pcm(1, 500), instant(0))
    del writer
    take = Take.open(folder)
    assert take.end is None
    assert take.read(0, 500) == counter_pcm(1, 500)


def test_dropping_a_writer_lets_other_threads_run_while_it_waits_for_the_disk(tmp_path: Path) -> None:
    """A busy machine may give the other thread its turn too late, once and again, but not always."""
    assert any(runs_beside_a_drop(tmp_path / str(number)) for number in range(30))


def runs_beside_a_drop(folder: Path) -> bool:
    """Whether another thread got its turn before the drop of a writer was over."""
    writer = TakeWriter.create(folder, PcmFormat(64, RATE, "s32"), facts="{}", flush_interval_ms=3_600_000)
    writer.push(bytes(64 * 4 * RATE), 0)
    asked, ran = threading.Event(), threading.Event()

    def run_once_asked() -> None:
        asked.wait()
        ran.set()

    other = threading.Thread(target=run_once_asked)
    other.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1_000)  # so that the interpreter changes hands only when it is let go
    try:
        asked.set()
        del writer
        has_run = ran.is_set()
    finally:
        sys.setswitchinterval(interval)
    other.join()
    return has_run


def test_arguments_beyond_reason_are_errors_and_nothing_worse(folder: Path, writer: TakeWriter) -> None:
    with pytest.raises(core_rs.AudioError, match="ring"):
        TakeWriter.create(folder / "other", STEREO, facts="{}", ring_seconds=2**32 - 1)
    with pytest.raises(core_rs.AudioError, match="channels"):
        core_rs.coarser_waveform(b"", 2**60, 8)
    with pytest.raises(core_rs.AudioError, match="lost frames"):
        writer.lost(2**63, "xrun")
    writer.lost(2**49, "device_lost")
    writer.push(bytes(4), 0)
    wait_until_durable(writer, 2**49 + 1)
    with pytest.raises(core_rs.SegmentMismatchError, match="memory"):
        Take.open(folder).read(0, 2**49)
    assert writer.close("stopped", drain_seconds=1e19).drained


def test_what_a_take_says_is_frozen(writer: TakeWriter) -> None:
    end = writer.close("stopped")
    with pytest.raises(AttributeError):
        end.reason = "changed"  # type: ignore[misc]
    assert isinstance(end, EndMark)
    assert not isinstance(end, Gap)
    assert "stopped" in repr(end)
