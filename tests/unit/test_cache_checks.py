"""Heads of sealed renditions against their facts; the heads are those that the core writes."""

import struct
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_rs import PcmFormat, Rendition, SampleType, Waveform
from protocol.messages import (
    SEEK_ENTRY,
    CaptureFormat,
    EndReason,
    FlacEncoding,
    Mp3Encoding,
    RecordingFacts,
    WavEncoding,
)
from tests.encoded import encoded_bytes
from web.cache.checks import check_audio, check_facts, check_ledger, check_seek, check_waveform
from web.cache.errors import ContentError
from web.cache.wav import parse_wav_head

SAMPLE_TYPES: list[SampleType] = ["s16", "s24", "s32", "f32"]


def facts(frames: int = 0, channels: int = 2, sample_type: SampleType = "s16", **changes: Any) -> RecordingFacts:
    values: dict[str, Any] = {
        "take_id": UUID(int=1),
        "start_frame": 10,
        "end_frame": 10 + frames,
        "capture": CaptureFormat(channels=channels, sample_rate_hz=48_000, sample_type=sample_type),
        "channel_map": [[1.0] * channels] * channels,
        "encoding": WavEncoding(),
        "encoder_version": "1",
        "channels": channels,
        "sample_rate_hz": 48_000,
        "frames": frames,
        "gaps": [],
        "clock_pairs": [],
        "segments": [],
        "levels": [],
        "end_reason": EndReason.STOPPED,
    }
    return RecordingFacts(**(values | changes))


def core_head(folder: Path, channels: int, sample_type: SampleType) -> bytes:
    return Rendition.wav(folder / "a.wav", PcmFormat(channels, 48_000, sample_type)).finish().head


@pytest.mark.parametrize("sample_type", SAMPLE_TYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 64])
def test_heads_of_the_core_fit_their_facts(tmp_path: Path, channels: int, sample_type: SampleType) -> None:
    head = core_head(tmp_path, channels, sample_type)
    check_audio(head, 4096, facts(0, channels, sample_type))


def test_long_file_is_read_by_its_64_bit_length() -> None:
    data_bytes = 5 * 1024**3
    form = struct.pack("<HHIIHH", 1, 2, 48_000, 192_000, 4, 16)
    head = b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack(
        "<IQQQI", 28, data_bytes + 4088, data_bytes, data_bytes // 4, 0
    )
    head += b"fmt " + struct.pack("<I", 16) + form
    head += b"JUNK" + struct.pack("<I", 4096 - len(head) - 16) + bytes(4096 - len(head) - 16)
    head += b"data\xff\xff\xff\xff"
    assert len(head) == 4096
    check_audio(head, 4096 + data_bytes, facts(data_bytes // 4))


@pytest.mark.parametrize(
    "changes",
    [{"channels": 3, "channel_map": [[1.0]] * 3}, {"sample_type": "s24"}, {"sample_rate_hz": 44_100}, {"frames": 1}],
    ids=lambda changes: next(iter(changes)),
)
def test_head_of_another_format_or_length_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ContentError):
        check_audio(core_head(tmp_path, 2, "s16"), 4096, facts(**changes))


def test_file_longer_than_its_head_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContentError):
        check_audio(core_head(tmp_path, 2, "s16"), 4097, facts())


@given(st.integers(0, 4096), st.binary(min_size=1, max_size=8))
def test_no_change_of_a_head_does_worse_than_being_refused(place: int, change: bytes) -> None:
    form = struct.pack("<HHIIHH", 1, 2, 48_000, 192_000, 4, 16)
    head = b"RIFF\xff\x0f\0\0WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", 400)
    changed = head[:place] + change + head[place + len(change) :]
    try:
        parse_wav_head(changed)
    except ContentError:
        return


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_head(junk: bytes) -> None:
    with pytest.raises(ContentError):
        parse_wav_head(b"RIFX" + junk)


@pytest.mark.parametrize("frames", [0, 1, 511, 512, 513, 48_000])
def test_waveforms_of_the_core_fit_their_facts(frames: int) -> None:
    waveform = Waveform(PcmFormat(2, 48_000, "s16"))
    points = waveform.push(bytes(frames * 4)) + waveform.finish()
    check_waveform(waveform.header(), 24 + len(points), facts(frames))


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, 1), (4, 0), (8, 44_100), (12, 256), (16, 3), (20, 1)],
    ids=["version", "bits", "rate", "bin", "bins", "channels"],
)
def test_waveform_of_another_shape_is_refused(place: int, value: int) -> None:
    head = bytearray(struct.pack("<iIiiIi", 2, 1, 48_000, 512, 2, 2))
    check_waveform(bytes(head), 24 + 8, facts(1000))
    struct.pack_into("<i", head, place, value)
    with pytest.raises(ContentError):
        check_waveform(bytes(head), 24 + 8, facts(1000))


@pytest.mark.parametrize("ledger", [b"", b"{", b"[]", b"1", b"\xff", b'"a"', b"[" * 100_000])
def test_ledger_that_is_no_object_is_refused(ledger: bytes) -> None:
    with pytest.raises(ContentError):
        check_ledger(ledger)


@pytest.mark.parametrize(
    "changes",
    [{"end_frame": 9}, {"channel_map": [[1.0, 0.0]]}, {"sample_rate_hz": 44_100}],
    ids=lambda changes: next(iter(changes)),
)
def test_facts_that_contradict_themselves_are_refused(changes: dict[str, Any]) -> None:
    check_facts(facts(100))
    with pytest.raises(ContentError):
        check_facts(facts(100, **changes))


MP3 = {"encoding": Mp3Encoding(vbr_quality=5)}
FLAC = {"encoding": FlacEncoding(bits=16)}


@pytest.mark.parametrize("frames", [1151, 60_000])
@pytest.mark.parametrize(("channels", "rate"), [(2, 48_000), (1, 44_100), (1, 22_050), (2, 16_000), (1, 8_000)])
def test_mp3_heads_of_lame_fit_their_facts(tmp_path: Path, frames: int, channels: int, rate: int) -> None:
    made = encoded_bytes(tmp_path, "mp3", frames, channels, rate, "-q:a", "5")
    wanted = facts(frames, channels, **MP3, sample_rate_hz=rate)
    check_audio(made[:4096], len(made), wanted)


@pytest.mark.parametrize(
    "changes",
    [{"channels": 1, "channel_map": [[1.0, 0.0]]}, {"sample_rate_hz": 44_100}, {"frames": 60_001}],
    ids=lambda changes: next(iter(changes)),
)
def test_mp3_of_another_format_or_length_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    made = encoded_bytes(tmp_path, "mp3", 60_000, 2, 48_000)
    with pytest.raises(ContentError):
        check_audio(made[:4096], len(made), facts(**{**MP3, "frames": 60_000, **changes}))
    with pytest.raises(ContentError):
        check_audio(made[:4096], len(made) - 1, facts(60_000, **MP3))


def test_mp3_without_a_tag_is_refused(tmp_path: Path) -> None:
    made = encoded_bytes(tmp_path, "mp3", 60_000, 2, 48_000, "-write_xing", "0")
    with pytest.raises(ContentError):
        check_audio(made[:4096], len(made), facts(60_000, **MP3))


@pytest.mark.parametrize(("channels", "rate"), [(1, 8_000), (2, 48_000), (8, 96_000)])
def test_flac_heads_fit_their_facts(tmp_path: Path, channels: int, rate: int) -> None:
    made = encoded_bytes(tmp_path, "flac", 60_000, channels, rate)
    check_audio(made[:4096], len(made), facts(60_000, channels, **FLAC, sample_rate_hz=rate))


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": 1, "channel_map": [[1.0, 0.0]]},
        {"sample_rate_hz": 44_100},
        {"frames": 59_999},
        {"encoding": FlacEncoding(bits=24)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_flac_of_another_format_or_length_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    made = encoded_bytes(tmp_path, "flac", 60_000, 2, 48_000)
    with pytest.raises(ContentError):
        check_audio(made[:4096], len(made), facts(**{**FLAC, "frames": 60_000, **changes}))


@pytest.mark.parametrize("encoding", [MP3, FLAC, {}], ids=["mp3", "flac", "wav"])
@given(head=st.binary(max_size=300))
def test_arbitrary_bytes_do_no_worse_than_being_refused(encoding: dict[str, Any], head: bytes) -> None:
    for start in (b"", b"fLaC\0\0\0\x22", b"\xff\xfb\x90\x64"):
        with pytest.raises(ContentError):
            check_audio(start + head, 5000, facts(60_000, **encoding))


def index(*entries: tuple[int, int]) -> bytes:
    return b"".join(struct.pack(SEEK_ENTRY, *entry) for entry in entries)


@pytest.mark.parametrize("entries", [[], [(0, 0)], [(0, 0), (700, 47_999), (1400, 96_000)]])
def test_seek_index_of_places_in_order_is_good(tmp_path: Path, entries: list[tuple[int, int]]) -> None:
    (tmp_path / "seek").write_bytes(index(*entries))
    check_seek(tmp_path / "seek", 1401, facts(96_001))


@pytest.mark.parametrize(
    "content",
    [
        index((0, 0))[:-1],
        index((0, 1)),
        index((0, 0), (0, 48_000)),
        index((0, 0), (700, 0)),
        index((0, 0), (700, 48_001)),
        index((0, 0), (1401, 48_000)),
        index((0, 0), (700, 48_000), (800, 96_000), (900, 144_000)),
    ],
    ids=["cut", "first", "same byte", "same frame", "late", "behind the end", "too many"],
)
def test_seek_index_that_leads_astray_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "seek").write_bytes(content)
    with pytest.raises(ContentError):
        check_seek(tmp_path / "seek", 1401, facts(96_001))
