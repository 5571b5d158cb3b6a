"""Disks that are full, for a while or for good: what was captured before stays, the take goes on when there is room.

Small disks are mounted, which takes root. Others meet the same code through the core's own tests.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from core_rs import PcmFormat, Take, TakeWriter, disk_room, give_back_reserve, keep_reserve
from reelkeeper.faultkit.volume import small_volume

pytestmark = [
    pytest.mark.first_reliable_recording_baseline,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]

RATE = 8_000
FORMAT = PcmFormat(2, RATE, "s16")
BLOCK = 2_000
MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_volume(tmp_path / "disk", 4 * MIB) as disk:
        yield disk


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    with small_volume(tmp_path / "other disk", 4 * MIB) as disk:
        yield disk


def test_a_full_disk_is_a_gap_and_the_same_take_goes_on_when_there_is_room(disk: Path) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(2 * MIB))
    writer = begun(disk / "take", ring_seconds=1)
    durable = push_until_full(writer)
    take = Take.open(disk / "take")
    assert (take.durable_frame, take.verify()) == (durable, [])
    assert all(segment.sha256 for segment in take.segments)
    while writer.next_frame < durable + 5 * RATE:
        push(writer)
    assert writer.durable_frame == durable
    ballast.unlink()
    wait_until(lambda: writer.durable_frame > durable)  # so the ring has room, too
    push(writer)
    end = writer.close("stopped")
    take = Take.open(disk / "take")
    assert {gap.cause for gap in take.gaps} == {"disk_full"}
    missing = sum(gap.frames for gap in take.gaps)
    assert (end.drained, end.end_frame, end.gap_frames) == (True, writer.next_frame, missing)
    assert take.verify() == []
    expected = bytearray(counter(0, end.end_frame))
    frame_bytes = len(expected) // end.end_frame
    for gap in take.gaps:
        at = gap.start_frame * frame_bytes
        expected[at : at + gap.frames * frame_bytes] = bytes(gap.frames * frame_bytes)
    assert take.read(0, end.end_frame) == expected


def test_a_take_that_ends_on_a_full_disk_has_its_end_mark_and_says_what_is_missing(disk: Path) -> None:
    (disk / "ballast").write_bytes(bytes(2 * MIB))
    writer = begun(disk / "take")
    durable = push_until_full(writer)
    end = writer.close("stopped")
    take = Take.open(disk / "take")
    assert take.end == end
    assert (end.drained, end.end_frame) == (False, writer.next_frame)
    [gap] = take.gaps
    assert (gap.start_frame, gap.frames, gap.cause) == (durable, end.end_frame - durable, "disk_full")
    assert take.read(0, durable) == counter(0, durable)


def test_nothing_begins_on_a_full_disk(disk: Path) -> None:
    (disk / "ballast").write_bytes(bytes(3 * MIB))
    with pytest.raises(OSError, match="no room for audio") as refused:
        begun(disk / "take")
    assert refused.value.errno == 28
    assert not (disk / "take").exists()


def test_a_full_disk_loses_nothing_to_a_second_folder_and_is_used_again_later(disk: Path, other_disk: Path) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(2 * MIB))
    writer = begun(disk / "take", segment_seconds=10, spill_folders=[other_disk])
    while not list(other_disk.glob("take/*.wav")):
        push_durably(writer)
    ballast.unlink()
    came_back = writer.next_frame + 12 * RATE
    while writer.next_frame < came_back:
        push_durably(writer)
    end = writer.close("stopped")
    take = Take.open(disk / "take")
    folders = [Path(segment.path).parents[1] for segment in take.segments]
    assert folders[0] == folders[-1] == disk
    assert other_disk in folders
    assert (end.drained, end.gap_frames, take.verify()) == (True, 0, [])
    assert take.read(0, end.end_frame) == counter(0, end.end_frame)


def test_the_reserve_lets_the_ledger_be_written_when_others_fill_the_disk_to_the_last_byte(tmp_path: Path) -> None:
    with small_volume(tmp_path / "disk", 64 * MIB) as disk:
        assert keep_reserve(disk, 64 * MIB)
        assert 600_000 < disk_room(disk, 64 * MIB).reserved_bytes < 700_000
        writer = begun(disk / "take", reserve_bytes=64 * MIB)
        push_durably(writer)
        fill(disk / "ballast")
        # While it is full nobody counts on the reserve but the ledger.
        for mark in range(200):
            writer.mark(f"a name that takes some room in the ledger, number {mark}", mark)
        push(writer)
        wait_until(lambda: writer.standing == "full")
        assert disk_room(disk, 64 * MIB).reserved_bytes == 0
        (disk / "ballast").unlink()
        wait_until(lambda: writer.durable_frame == writer.next_frame)
        assert writer.close("stopped").drained
        take = Take.open(disk / "take")
        assert (take.verify(), len(take.marks)) == ([], 200)
        assert keep_reserve(disk, 64 * MIB)
        assert give_back_reserve(disk)


def begun(folder: Path, **options: object) -> TakeWriter:
    usual: dict[str, object] = {"flush_interval_ms": 5, "segment_seconds": 5, **options}
    return TakeWriter.create(folder, FORMAT, facts="{}", **usual)  # type: ignore[arg-type]


def push(writer: TakeWriter) -> None:
    frame = writer.next_frame
    writer.push(counter(frame, BLOCK), frame * 1_000_000_000 // RATE)


def push_durably(writer: TakeWriter) -> None:
    push(writer)
    wait_until(lambda: writer.durable_frame == writer.next_frame)


def push_until_full(writer: TakeWriter) -> int:
    """The frame that the disk was full at."""
    while writer.standing == "usable":
        push(writer)
        wait_until(lambda: writer.durable_frame == writer.next_frame or writer.standing == "full")
    assert writer.fault is None
    assert writer.durable_frame > 10 * RATE
    return writer.durable_frame


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as ballast, suppress(OSError):
        while ballast.write(bytes(4096)):
            pass


def wait_until(is_so: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.002)


def counter(start_frame: int, frames: int) -> bytes:
    return np.arange(start_frame + 1, start_frame + frames + 1, dtype="<u4").tobytes()
