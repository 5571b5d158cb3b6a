"""Heads of sealed renditions against their facts; the heads are those that the core writes."""

import struct
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_rs import PcmFormat, SampleType, Waveform, WavRendition
from protocol.messages import CaptureFormat, EndReason, RecordingFacts, WavEncoding
from web.cache.checks import (
    ContentError,
    check_audio,
    check_facts,
    check_ledger,
    check_waveform,
    parse_wav_head,
)

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
    return WavRendition(folder / "a.wav", PcmFormat(channels, 48_000, sample_type)).finish().head


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
    [(0, 1), (8, 44_100), (12, 256), (16, 3), (20, 1)],
    ids=["version", "rate", "bin", "bins", "channels"],
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
