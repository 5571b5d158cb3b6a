"""`docs/take-format.md` is enough to read a take: the reader here knows that page and nothing else."""

import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, assert_never

import pytest

from core_rs import PcmFormat, Take, TakeWriter

RATE = 8_000
SECOND = 1_000_000_000
SAMPLE_BYTES = {"s16": 2, "s24": 3, "s32": 4, "f32": 4}


# ---- the reader, by the page ----


class CorruptLedgerError(Exception):
    """A bad line stands before a good one."""


@dataclass
class Segment:
    index: int
    start_frame: int
    file: str
    frames: int = 0
    is_open: bool = True


@dataclass
class TakeByThePage:
    folder: Path
    frame_bytes: int = 0
    segments: list[Segment] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    held_from_frame: int = 0
    end: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for entry in entries(self.folder / "ledger"):
            self.add(entry)
        if self.segments and self.segments[-1].is_open:
            self.segments[-1].frames = self.proved_frames(self.folder / self.segments[-1].file)

    def add(self, entry: dict[str, Any]) -> None:
        match entry["entry"]:
            case "take":
                assert entry["version"] == 1
                self.frame_bytes = entry["format"]["channels"] * SAMPLE_BYTES[entry["format"]["sample_type"]]
            case "segment_opened":
                self.segments.append(Segment(entry["index"], entry["start_frame"], entry["file"]))
            case "segment_closed":
                assert self.segments[-1].index == entry["index"]
                self.segments[-1].frames, self.segments[-1].is_open = entry["frames"], False
            case "gap":
                self.gaps.append((entry["start_frame"], entry["frames"]))
            case "mark":
                self.marks.setdefault(entry["key"], entry["frame"])
            case "released":
                before = self.held_from_frame = entry["before_frame"]
                self.segments = [one for one in self.segments if one.is_open or self.end_of(one) > before]
            case "resumed":
                at = entry["frame"]
                self.gaps = [gap for gap in self.gaps if gap[0] < at or gap == (at, 0)]
            case "end":
                self.end = entry
            case "clock" | "torn":
                pass
            case other:
                assert_never(other)

    def proved_frames(self, path: Path) -> int:
        end_byte = 0
        sums = Path(f"{path}.sums")
        for record in struct.iter_unpack("<IIQqII", sums.read_bytes()) if sums.exists() else ():
            if record[0] != zlib.crc32(struct.pack("<IQqII", *record[1:])) or record[2] <= end_byte:
                break
            end_byte = record[2]
        held_bytes = path.stat().st_size - 112 if path.exists() else 0
        return max(0, min(end_byte, held_bytes)) // self.frame_bytes

    def runs(self, segment: Segment) -> Iterator[tuple[int, int, int]]:
        """(place in the take, place in the file, length) of frames that lie together."""
        place, n = segment.start_frame, 0
        for gap_start, gap_frames in self.gaps:
            if gap_start >= place and n < segment.frames:
                length = min(gap_start - place, segment.frames - n)
                yield place, n, length
                place, n = place + length, n + length
                if place == gap_start:
                    place += gap_frames
        if n < segment.frames:
            yield place, n, segment.frames - n

    def end_of(self, segment: Segment) -> int:
        return max((place + length for place, _, length in self.runs(segment) if length), default=segment.start_frame)

    @property
    def durable_frame(self) -> int:
        frame = self.end_of(self.segments[-1]) if self.segments else self.held_from_frame
        for gap_start, gap_frames in self.gaps:
            if gap_start == frame:
                frame += gap_frames
        return frame

    def read(self) -> bytes:
        """Everything that is held."""
        pcm = bytearray((self.durable_frame - self.held_from_frame) * self.frame_bytes)
        for segment in self.segments:
            if not segment.frames:
                continue
            with (self.folder / segment.file).open("rb") as file:
                for place, n, length in self.runs(segment):
                    file.seek(112 + n * self.frame_bytes)
                    at = (place - self.held_from_frame) * self.frame_bytes
                    pcm[at : at + length * self.frame_bytes] = file.read(length * self.frame_bytes)
        return bytes(pcm)


def entries(ledger: Path) -> Iterator[dict[str, Any]]:
    is_torn = False
    *lines, _unfinished = ledger.read_bytes().split(b"\n")
    for line in lines:
        is_good = line[8:9] == b" " and b"%08x" % zlib.crc32(line[9:]) == line[:8]
        if is_good and is_torn:
            raise CorruptLedgerError
        is_torn = is_torn or not is_good
        if is_good:
            batch = json.loads(line[9:])
            yield from batch if isinstance(batch, list) else [batch]


# ---- takes that the core wrote ----


@dataclass
class Captured:
    """A take and all that was pushed into it, silence where frames are missing."""

    folder: Path
    format: PcmFormat
    pcm: bytearray = field(default_factory=bytearray)

    @property
    def frames(self) -> int:
        return len(self.pcm) // self.format.frame_bytes

    def begin(self) -> TakeWriter:
        return TakeWriter.create(self.folder, self.format, facts="{}", flush_interval_ms=1, segment_seconds=1)

    def resume(self) -> TakeWriter:
        return TakeWriter.resume(self.folder, cause="owner_died", flush_interval_ms=1, segment_seconds=1)

    def push(self, writer: TakeWriter, frames: int, *, gap_frames: int = 0) -> None:
        """Pushes at the nominal instant, so many frames later than the last ones."""
        self.pcm += bytes(gap_frames * self.format.frame_bytes)
        pcm = os.urandom(frames * self.format.frame_bytes)
        assert writer.push(pcm, self.frames * SECOND // RATE) == frames
        self.pcm += pcm

    def lose(self, writer: TakeWriter, frames: int) -> None:
        writer.lost(frames, "xrun")
        self.pcm += bytes(frames * self.format.frame_bytes)

    def wait(self, writer: TakeWriter) -> None:
        while writer.durable_frame < self.frames:
            assert writer.fault is None

    def check(self) -> TakeByThePage:
        by_the_page, by_the_core = TakeByThePage(self.folder), Take.open(self.folder)
        assert (by_the_page.held_from_frame, by_the_page.durable_frame, by_the_page.marks) == (
            by_the_core.held_from_frame,
            by_the_core.durable_frame,
            by_the_core.marks,
        )
        assert by_the_page.durable_frame == self.frames
        held = bytes(self.pcm[by_the_page.held_from_frame * self.format.frame_bytes :])
        assert by_the_page.read() == held
        assert by_the_core.read(by_the_core.held_from_frame, by_the_core.durable_frame) == held
        return by_the_page


@pytest.fixture(params=[(2, "s16"), (1, "s24"), (3, "s24"), (5, "f32"), (64, "s32")], ids=str)
def captured(request: pytest.FixtureRequest, tmp_path: Path) -> Captured:
    channels, sample_type = request.param
    return Captured(tmp_path / "take", PcmFormat(channels, RATE, sample_type))


def test_finished_take_with_many_gaps_is_read_by_the_page(captured: Captured) -> None:
    writer = captured.begin()
    for turn in range(60):
        captured.push(writer, 301)
        captured.lose(writer, turn % 3)
    writer.interrupted("device_lost")
    captured.push(writer, 20, gap_frames=5_000)
    writer.mark("a", 7)
    writer.note_clock(0, 0)
    writer.close("stopped")
    take = captured.check()
    assert take.end is not None
    assert take.end["end_frame"] == captured.frames == sum(one.frames for one in take.segments) + take.end["gap_frames"]


def test_unfinished_take_is_read_up_to_its_last_flush(captured: Captured) -> None:
    writer = captured.begin()
    captured.push(writer, RATE + 500)
    captured.lose(writer, 30)
    captured.push(writer, 333)
    captured.wait(writer)
    take = captured.check()
    assert [one.is_open for one in take.segments] == [False, True]
    assert take.end is None


def test_gap_at_the_end_counts_and_one_that_no_audio_reached_does_not(captured: Captured) -> None:
    writer = captured.begin()
    captured.push(writer, 100)
    captured.lose(writer, 50)
    captured.wait(writer)
    captured.check()
    enter(captured.folder, {"entry": "gap", "start_frame": 200, "frames": 9, "cause": "x", "uncertainty_frames": 0})
    captured.check()


def torn_ledger(folder: Path) -> None:
    with (folder / "ledger").open("ab") as file:
        file.write(b'00000000 {"entry":"gap","start_fr')


def torn_segment(folder: Path) -> None:
    with sorted(folder.glob("*.wav"))[-1].open("ab") as file:
        file.write(b"not flushed")


def torn_record(folder: Path) -> None:
    [sums] = folder.glob("*.sums")
    with sums.open("r+b") as file:
        file.seek(32 * sum(any(record) for record in struct.iter_unpack("<32B", sums.read_bytes())))
        file.write(b"torn")


@pytest.mark.parametrize("tear", [torn_ledger, torn_segment, torn_record])
def test_take_that_crashed_and_went_on_is_read_by_the_page(captured: Captured, tear: Callable[[Path], None]) -> None:
    writer = captured.begin()
    captured.push(writer, RATE + 333)
    captured.wait(writer)
    del writer
    tear(captured.folder)
    captured.check()
    writer = captured.resume()
    captured.push(writer, 77, gap_frames=RATE)
    captured.wait(writer)
    captured.check()
    writer.close("stopped")
    assert [one.is_open for one in captured.check().segments] == [False] * 3


def test_what_was_released_is_not_held_any_more(captured: Captured) -> None:
    writer = captured.begin()
    captured.push(writer, 2 * RATE + 10)
    captured.wait(writer)
    assert writer.release(RATE + 5) == RATE
    captured.check()
    writer.close("stopped")
    assert [one.start_frame for one in captured.check().segments] == [RATE, 2 * RATE]


def test_ledger_with_a_bad_line_before_a_good_one_is_refused(captured: Captured) -> None:
    captured.begin().close("stopped")
    ledger = captured.folder / "ledger"
    ledger.write_bytes(b"0" + ledger.read_bytes())
    with pytest.raises(CorruptLedgerError):
        TakeByThePage(captured.folder)


def enter(folder: Path, entry: dict[str, Any]) -> None:
    text = json.dumps(entry).encode()
    with (folder / "ledger").open("ab") as file:
        file.write(b"%08x %b\n" % (zlib.crc32(text), text))
