"""The cache store: lengths are offsets, places are made from ids, and every step can be repeated."""

import errno
import hashlib
import os
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_rs import Digest
from protocol.messages import HEAD_BYTES_OF, PartName
from web.cache.folder import CacheFolder, PartBusyError, PartWriter, is_disk_full

ID = UUID("01a1fd37-815d-706d-9547-b882eb3f4ccc")
PARTS: tuple[PartName, ...] = ("audio", "waveform", "ledger")


@pytest.fixture
def folder(tmp_path: Path) -> CacheFolder:
    folder = CacheFolder(tmp_path)
    folder.prepare()
    return folder


def grown(folder: CacheFolder, part: PartName, data: bytes) -> None:
    writer = folder.open_part(ID, part)
    writer.append(data, Digest())
    writer.sync()
    writer.close()


def test_part_begins_empty_and_its_length_is_the_offset(folder: CacheFolder) -> None:
    assert folder.length(ID, "audio") == 0
    grown(folder, "audio", b"12345")
    grown(folder, "audio", b"678")
    assert folder.length(ID, "audio") == 8


def test_only_one_writer_opens_a_part(folder: CacheFolder) -> None:
    writer = folder.open_part(ID, "audio")
    with pytest.raises(PartBusyError):
        folder.open_part(ID, "audio")
    writer.close()
    writer.close()
    folder.open_part(ID, "audio").close()


@given(st.lists(st.integers(0, 3000), max_size=8), st.sampled_from(PARTS))
def test_digest_holds_what_lies_behind_the_head_however_it_arrived(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], part: PartName
) -> None:
    folder = CacheFolder(tmp_path_factory.mktemp("cache"))
    folder.prepare()
    data = os.urandom(sum(lengths))
    digest, position = Digest(), 0
    writer = folder.open_part(ID, part)
    for length in lengths:
        writer.append(data[position : position + length], digest)
        position += length
    read_again = Digest()
    writer.add_to(read_again, 0, len(data) // 2)
    writer.add_to(read_again, len(data) // 2, len(data))
    writer.close()
    wanted = hashlib.sha256(data[HEAD_BYTES_OF[part] :]).hexdigest()
    assert digest.hexdigest() == read_again.hexdigest() == wanted


def test_reading_more_than_is_stored_is_a_fault(folder: CacheFolder) -> None:
    grown(folder, "ledger", b"12")
    writer = folder.open_part(ID, "ledger")
    with pytest.raises(OSError, match="ends at byte 2"):
        writer.add_to(Digest(), 0, 3)
    writer.close()


def test_installed_parts_have_their_final_heads_and_leave_nothing_behind(folder: CacheFolder, tmp_path: Path) -> None:
    for part in PARTS:
        grown(folder, part, bytes(5000))
    heads: dict[PartName, bytes] = {"audio": b"a" * 4096, "waveform": b"w" * 24, "ledger": b""}

    for _ in range(2):
        folder.install(ID, heads, dict.fromkeys(PARTS, 5000))

    for part in PARTS:
        path = folder.installed_path(ID, part)
        assert path.read_bytes() == heads[part] + bytes(5000 - len(heads[part]))
        assert path.parent.relative_to(tmp_path) == Path("files", "cc", str(ID))
        assert folder.length(ID, part) == 5000
    assert list((tmp_path / "incoming").iterdir()) == []


def test_part_that_is_written_or_grew_meanwhile_is_not_installed(folder: CacheFolder) -> None:
    grown(folder, "ledger", b"12")
    writer = folder.open_part(ID, "ledger")
    with pytest.raises(PartBusyError):
        folder.install(ID, {"ledger": b""}, {"ledger": 2})
    writer.append(b"3", Digest())
    writer.close()
    with pytest.raises(PartBusyError):
        folder.install(ID, {"ledger": b""}, {"ledger": 2})
    assert not folder.installed_path(ID, "ledger").exists()


def test_writer_knows_that_the_part_was_installed_before_it_had_it_alone(folder: CacheFolder) -> None:
    grown(folder, "ledger", b"12")
    early = folder.open_part(ID, "ledger")
    early.close()
    assert not early.is_installed
    folder.install(ID, {"ledger": b""}, {"ledger": 2})
    late = folder.open_part(ID, "ledger")
    late.close()
    assert late.is_installed


def test_emptied_part_begins_anew(folder: CacheFolder) -> None:
    grown(folder, "audio", b"wrong")
    folder.empty(ID, "audio")
    folder.empty(ID, "audio")
    assert folder.length(ID, "audio") == 0
    grown(folder, "audio", b"right")
    assert folder.length(ID, "audio") == 5


def test_folders_are_for_this_user_only(folder: CacheFolder, tmp_path: Path) -> None:
    grown(folder, "audio", b"1")
    assert {entry.stat().st_mode & 0o077 for entry in tmp_path.rglob("*")} == {0}


def test_write_to_a_full_disk_leaves_offset_and_digest_at_what_was_written() -> None:
    writer, digest = PartWriter(Path("/dev/full"), head_bytes=0), Digest()
    with pytest.raises(OSError) as full:
        writer.append(b"12345", digest)
    writer.close()
    assert is_disk_full(full.value)
    assert writer.offset == 0
    assert digest.hexdigest() == Digest().hexdigest()


def test_full_disk_is_told_from_other_faults() -> None:
    assert is_disk_full(OSError(errno.ENOSPC, "full"))
    assert is_disk_full(OSError(errno.EDQUOT, "quota"))
    assert not is_disk_full(OSError(errno.EIO, "broken"))
