"""MP3 and FLAC as other programs decode them: level, length, the place of every sound, every sample of FLAC."""

import json
import struct
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from core_rs import (
    HEAD_BYTES,
    AudioError,
    ChannelMap,
    PcmFormat,
    Rendition,
    RenditionSeal,
    SampleType,
    Take,
    TakeWriter,
    UnsupportedFormatError,
)
from protocol.messages import SEEK_ENTRY
from tests.unit.pcm import encode, random_samples

RATE = 48_000
SECOND_NS = 1_000_000_000
BURST_FRAMES = 480
BURST_AT = 5_000
"""Frames behind the start of each second."""
MP3_FRAME = 1152
DELAY = 576 + 529

Samples = NDArray[np.float64]
Make = Callable[[Path, PcmFormat], Rendition]
Decode = Callable[[Path, int], Samples]


def vbr(path: Path, format: PcmFormat) -> Rendition:
    return Rendition.mp3(path, format, vbr_quality=5)


def cbr(path: Path, format: PcmFormat) -> Rendition:
    return Rendition.mp3(path, format, bitrate_kbps=128)


def lowest_cbr(path: Path, format: PcmFormat) -> Rendition:
    """One in whose frames the tag has no room."""
    return Rendition.mp3(path, format, bitrate_kbps=32)


def ffmpeg(path: Path, channels: int) -> Samples:
    command = ["ffmpeg", "-v", "fatal", "-i", str(path), "-f", "f32le", "-c:a", "pcm_f32le", "-"]
    done = subprocess.run(command, check=True, capture_output=True)
    return np.frombuffer(done.stdout, "<f4").astype(np.float64).reshape(-1, channels)


def libsndfile(path: Path, channels: int) -> Samples:
    read: Samples = soundfile.read(path, dtype="float64", always_2d=True)[0]
    assert read.shape[1] == channels
    return read


MP3S: list[Make] = [vbr, cbr, lowest_cbr]
DECODERS: list[Decode] = [ffmpeg, libsndfile]


def recorded(folder: Path, format: PcmFormat, pcm: bytes) -> Take:
    writer = TakeWriter.create(folder, format, facts="{}", ring_seconds=60, waveform=False)
    assert writer.push(pcm, SECOND_NS) == len(pcm) // format.frame_bytes
    writer.close("stopped")
    return Take.open(folder)


def made(path: Path, make: Make, take: Take, cuts: tuple[int, ...] = ()) -> tuple[RenditionSeal, list[tuple[int, int]]]:
    """The seal, and the entries of the seek index."""
    rendition = make(path, take.format)
    seek = b""
    for start, end in pairwise((0, *cuts, take.durable_frame)):
        seek += rendition.append(take, start, end, ChannelMap.identity(take.format.channels))[1]
    seal = rendition.finish()
    return seal, list(struct.iter_unpack(SEEK_ENTRY, seek + seal.seek))


def music(frames: int, channels: int, rate: int = RATE) -> Samples:
    """Tones that every MP3 encoder keeps, other ones in each channel."""
    seconds = np.arange(frames)[:, None] / rate
    pitches = np.array([[300.0, 450.0, 710.0], [220.0, 530.0, 940.0]])[:channels]
    return np.stack([np.sin(2 * np.pi * seconds * tones).sum(axis=1) * 0.2 for tones in pitches], axis=1)


def with_bursts(frames: int) -> tuple[Samples, Samples]:
    """Faint noise with the same loud burst in each second, and that burst."""
    rng = np.random.default_rng(3)
    hann = np.hanning(16) / np.hanning(16).sum()
    burst = np.convolve(rng.standard_normal(BURST_FRAMES + 15), hann, "valid")
    samples = rng.standard_normal((frames, 2)) * 0.005
    for second in range(BURST_AT, frames - BURST_FRAMES, RATE):
        samples[second : second + BURST_FRAMES] += burst[:, None] * 0.5
    return samples, burst


def place_of(burst: Samples, heard: Samples, expected: int) -> int:
    """Frames between where it is and where it should be."""
    around = heard[expected - 300 : expected + BURST_FRAMES + 300, 0]
    return int(np.correlate(around, burst, "valid").argmax()) - 300


def s16(samples: Samples) -> bytes:
    return encode((samples * 2**15).round().clip(-(2**15), 2**15 - 1), "s16")


def rms(samples: Samples) -> float:
    return float(np.sqrt((samples**2).mean()))


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("make", [vbr, cbr, lambda path, format: Rendition.mp3(path, format, vbr_quality=2)])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sample_type", ["s16", "s24", "f32"])
def test_mp3_keeps_level_and_length(
    tmp_path: Path, decode: Decode, make: Make, channels: int, sample_type: SampleType
) -> None:
    samples = music(RATE * 2 + 77, channels)
    steps = {"s16": 2**15 - 1, "s24": 2**23 - 1, "f32": 1}[sample_type]
    pcm = encode((samples * steps).round() if steps > 1 else samples, sample_type)
    take = recorded(tmp_path / "take", PcmFormat(channels, RATE, sample_type), pcm)
    seal, _ = made(tmp_path / "a.mp3", make, take)
    decoded = decode(tmp_path / "a.mp3", channels)
    assert (seal.frames, len(decoded)) == (len(samples), len(samples))
    for channel in range(channels):
        assert rms(decoded[:, channel]) == pytest.approx(rms(samples[:, channel]), rel=0.01)


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("rate", [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_of_every_sample_rate_keeps_its_length(tmp_path: Path, decode: Decode, rate: int, channels: int) -> None:
    samples = music(rate + 321, channels, rate) * 0.5
    take = recorded(tmp_path / "take", PcmFormat(channels, rate, "s16"), s16(samples))
    for make in (vbr, lowest_cbr):
        made(tmp_path / "a.mp3", make, take)
        assert len(decode(tmp_path / "a.mp3", channels)) == len(samples)


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("make", MP3S)
@pytest.mark.parametrize("frames", [1, 100, 1151, 1152, 1153])
def test_the_shortest_mp3s_have_every_frame(tmp_path: Path, decode: Decode, make: Make, frames: int) -> None:
    take = recorded(tmp_path / "take", PcmFormat(2, RATE, "s16"), s16(music(frames, 2)))
    seal, seek = made(tmp_path / "a.mp3", make, take)
    assert len(decode(tmp_path / "a.mp3", 2)) == frames
    assert seek == [(0, 0)]
    assert seal.head == (tmp_path / "a.mp3").read_bytes()[:HEAD_BYTES]


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("make", [vbr, cbr])
def test_mp3_has_every_sound_in_its_place(tmp_path: Path, decode: Decode, make: Make) -> None:
    samples, burst = with_bursts(RATE * 5 + 99)
    take = recorded(tmp_path / "take", PcmFormat(2, RATE, "s16"), s16(samples))
    made(tmp_path / "a.mp3", make, take)
    heard = decode(tmp_path / "a.mp3", 2)
    for second in range(5):
        assert abs(place_of(burst, heard, second * RATE + BURST_AT)) <= 1


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("make", [vbr, cbr])
def test_mp3_that_begins_at_a_seek_entry_has_every_sound_in_its_place(
    tmp_path: Path, decode: Decode, make: Make
) -> None:
    samples, burst = with_bursts(RATE * 5 + 99)
    take = recorded(tmp_path / "take", PcmFormat(2, RATE, "s16"), s16(samples))
    _, seek = made(tmp_path / "a.mp3", make, take)
    whole = (tmp_path / "a.mp3").read_bytes()
    for second, (byte, frame) in list(enumerate(seek))[1:5]:
        (tmp_path / "later.mp3").write_bytes(whole[byte:])
        heard = decode(tmp_path / "later.mp3", 2)
        assert abs(place_of(burst, heard, second * RATE + BURST_AT - frame)) <= 1


@pytest.mark.parametrize("make", MP3S)
def test_the_seek_index_of_mp3_names_the_last_frame_before_each_second(tmp_path: Path, make: Make) -> None:
    take = recorded(tmp_path / "take", PcmFormat(2, RATE, "s16"), s16(music(RATE * 4, 2)))
    _, seek = made(tmp_path / "a.mp3", make, take)
    assert seek[0] == (0, 0)
    assert [frame for _, frame in seek[1:]] == [
        (second * RATE + DELAY) // MP3_FRAME * MP3_FRAME - DELAY for second in (1, 2, 3)
    ]
    data = (tmp_path / "a.mp3").read_bytes()
    assert all(data[byte : byte + 2] == b"\xff\xfb" for byte, _ in seek[1:])


def test_an_independent_reader_finds_the_length_in_the_tag(tmp_path: Path) -> None:
    take = recorded(tmp_path / "take", PcmFormat(2, RATE, "s16"), s16(music(RATE * 7, 2)))
    for make in MP3S:
        path = tmp_path / "a.mp3"
        seal, _ = made(path, make, take)
        command = ["ffprobe", "-v", "error", "-show_entries", "format=duration,size", "-of", "json", str(path)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["format"]
        assert int(found["size"]) == seal.bytes
        assert 7 <= float(found["duration"]) < 7 + 3 * MP3_FRAME / RATE
        kind = b"Xing" if make is vbr else b"Info"
        tag = seal.head.index(kind)
        mp3_frames, file_bytes = struct.unpack(">II", seal.head[tag + 8 : tag + 16])
        gap = int.from_bytes(seal.head[tag + 141 : tag + 144], "big")
        assert file_bytes == seal.bytes
        assert mp3_frames * MP3_FRAME - (gap >> 12) - (gap & 0xFFF) == RATE * 7


def test_hundredths_of_a_varying_bitrate_are_where_the_tag_says(tmp_path: Path) -> None:
    """A loud second half takes most of the bytes."""
    samples = music(RATE * 20, 2)
    samples[: RATE * 10] *= 0
    samples[RATE * 10 :] += np.random.default_rng(1).standard_normal((RATE * 10, 2)) * 0.1
    take = recorded(tmp_path / "take", PcmFormat(2, RATE, "s16"), s16(samples))
    seal, seek = made(tmp_path / "a.mp3", vbr, take)
    at = seal.head.index(b"Xing") + 16
    hundredths = seal.head[at : at + 100]
    for second in range(1, 20):
        assert hundredths[second * 5] == pytest.approx(seek[second][0] * 256 / seal.bytes, abs=2.5)


@pytest.mark.parametrize("make", [vbr, cbr])
def test_a_growing_mp3_plays_from_its_first_frame(tmp_path: Path, make: Make) -> None:
    samples, burst = with_bursts(RATE * 3)
    take = recorded(tmp_path / "take", PcmFormat(2, RATE, "s16"), s16(samples))
    rendition = make(tmp_path / "a.mp3", take.format)
    rendition.append(take, 0, RATE * 3, ChannelMap.identity(2))
    heard = ffmpeg(tmp_path / "a.mp3", 2)
    assert RATE * 3 - 8 * MP3_FRAME <= len(heard) <= RATE * 3
    for second in range(3):
        assert abs(place_of(burst, heard, second * RATE + BURST_AT)) <= 1


@pytest.mark.parametrize(("sample_type", "bits"), [("s16", 16), ("s24", 24)])
@pytest.mark.parametrize("channels", [1, 2, 3, 8])
@pytest.mark.parametrize(
    ("frames", "rate"), [(1, 8_000), (4_095, 44_100), (4_096, 44_101), (4_097, 96_000), (50_000, 48_000)]
)
def test_flac_is_bit_exact(
    tmp_path: Path, sample_type: SampleType, bits: int, channels: int, frames: int, rate: int
) -> None:
    samples = random_samples(np.random.default_rng(8), frames, channels, sample_type)
    take = recorded(tmp_path / "take", PcmFormat(channels, rate, sample_type), encode(samples, sample_type))
    seal, _ = made(tmp_path / "a.flac", Rendition.flac, take)
    read, found_rate = soundfile.read(tmp_path / "a.flac", dtype="int32", always_2d=True)
    np.testing.assert_array_equal(read >> (32 - bits), samples)
    assert (found_rate, seal.frames) == (rate, frames)
    subprocess.run(["flac", "--test", "--silent", str(tmp_path / "a.flac")], check=True)


def test_flac_begins_anywhere_in_the_seek_index_behind_its_first_42_bytes(tmp_path: Path) -> None:
    samples = random_samples(np.random.default_rng(8), RATE * 3 + 5, 2, "s16")
    take = recorded(tmp_path / "take", PcmFormat(2, RATE, "s16"), encode(samples, "s16"))
    _, seek = made(tmp_path / "a.flac", Rendition.flac, take, (1, 70_000))
    whole = (tmp_path / "a.flac").read_bytes()
    assert [frame for _, frame in seek] == [second * RATE // 4096 * 4096 for second in range(4)]
    for byte, frame in seek:
        growing_head = whole[:4] + b"\x80" + whole[5:21] + bytes([whole[21] & 0xF0]) + bytes(20)
        (tmp_path / "later.flac").write_bytes(growing_head + whole[byte:])
        np.testing.assert_array_equal(ffmpeg(tmp_path / "later.flac", 2) * 2**15, samples[frame:])


def test_a_growing_flac_plays_what_is_there(tmp_path: Path) -> None:
    samples = random_samples(np.random.default_rng(8), RATE, 2, "s16")
    take = recorded(tmp_path / "take", PcmFormat(2, RATE, "s16"), encode(samples, "s16"))
    rendition = Rendition.flac(tmp_path / "a.flac", take.format)
    rendition.append(take, 0, RATE, ChannelMap.identity(2))
    heard = ffmpeg(tmp_path / "a.flac", 2) * 2**15
    assert len(heard) >= RATE - 2 * 4096
    np.testing.assert_array_equal(heard, samples[: len(heard)])


def test_the_seek_index_of_wav_is_a_frame_for_each_second(tmp_path: Path) -> None:
    take = recorded(tmp_path / "take", PcmFormat(2, RATE, "s16"), s16(music(RATE * 3, 2)))
    _, seek = made(tmp_path / "a.wav", Rendition.wav, take, (1, RATE - 1, RATE, RATE + 1, RATE * 2))
    assert seek == [(HEAD_BYTES + second * RATE * 4, second * RATE) for second in range(3)]


def test_an_entry_is_told_once_its_encoded_frame_is_in_the_file(tmp_path: Path) -> None:
    take = recorded(tmp_path / "take", PcmFormat(2, RATE, "s16"), s16(music(RATE * 4, 2)))
    for make in (*MP3S, Rendition.flac, Rendition.wav):
        path = tmp_path / "growing"
        rendition = make(path, take.format)
        for start in range(0, RATE * 4, 500):
            told = rendition.append(take, start, start + 500, ChannelMap.identity(2))[1]
            assert all(byte < path.stat().st_size for byte, _ in struct.iter_unpack(SEEK_ENTRY, told))


def test_what_a_codec_does_not_have_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with pytest.raises(UnsupportedFormatError, match="3 channels"):
        vbr(path, PcmFormat(3, RATE, "s16"))
    with pytest.raises(UnsupportedFormatError, match="96000 Hz"):
        vbr(path, PcmFormat(2, 96_000, "s16"))
    with pytest.raises(UnsupportedFormatError, match="9 channels"):
        Rendition.flac(path, PcmFormat(9, RATE, "s16"))
    with pytest.raises(UnsupportedFormatError, match="f32"):
        Rendition.flac(path, PcmFormat(2, RATE, "f32"))
    with pytest.raises(AudioError, match="either"):
        Rendition.mp3(path, PcmFormat(2, RATE, "s16"), vbr_quality=2, bitrate_kbps=128)
    assert not path.exists()


def test_a_full_disk_is_an_os_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot write /dev/full.*No space left"):
        Rendition.flac("/dev/full", PcmFormat(2, RATE, "s16"))
