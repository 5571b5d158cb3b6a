"""Digests against hashlib, and the one pass over a WAV file against numpy and ffmpeg."""

import hashlib
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from core_rs import (
    AudioError,
    CorruptSegmentError,
    Digest,
    PcmFormat,
    UnsupportedFormatError,
    Waveform,
    scan_wav,
    sha256_file,
    tone_pcm,
)
from tests.unit.dat import read_dat
from tests.unit.pcm import SAMPLE_TYPES, SampleType, encode, random_samples

SUBTYPES = {"s16": "PCM_16", "s24": "PCM_24", "s32": "PCM_32", "f32": "FLOAT"}


def wav(chunks: list[tuple[bytes, bytes]], magic: bytes = b"RIFF") -> bytes:
    body = b"".join(name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks)
    return magic + struct.pack("<I", len(body) + 4) + b"WAVE" + body


def fmt(tag: int, channels: int, rate: int, bits: int) -> bytes:
    frame = channels * bits // 8
    return struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits)


@given(data=st.binary(max_size=300), cut=st.integers(0, 300))
@settings(deadline=None)
def test_digest_is_that_of_hashlib_however_the_bytes_arrive(data: bytes, cut: int) -> None:
    digest = Digest()
    digest.update(data[:cut])
    assert digest.hexdigest() == hashlib.sha256(data[:cut]).hexdigest()
    digest.update(data[cut:])
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()


def test_digest_takes_anything_with_the_buffer_protocol() -> None:
    samples = np.arange(1000, dtype=np.int32)
    digest = Digest()
    digest.update(samples.data)
    assert digest.hexdigest() == hashlib.sha256(samples.tobytes()).hexdigest()


@pytest.mark.parametrize(("start", "end"), [(0, None), (4096, None), (1, 7), (5, 5), (600_000, None), (0, 262_144)])
def test_a_range_of_a_file_has_the_digest_of_its_bytes(tmp_path: Path, start: int, end: int | None) -> None:
    data = np.random.default_rng(1).integers(0, 256, 600_000, dtype=np.uint8).tobytes()
    path = tmp_path / "data"
    path.write_bytes(data)
    assert sha256_file(path, start, end) == hashlib.sha256(data[start:end]).hexdigest()


def test_a_file_that_ends_before_the_range_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(bytes(10))
    with pytest.raises(AudioError, match="byte 10"):
        sha256_file(tmp_path / "short", 0, 11)


def test_a_missing_file_is_an_os_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.wav"):
        scan_wav(tmp_path / "gone.wav")


@pytest.mark.parametrize("sample_type", SAMPLE_TYPES)
@pytest.mark.parametrize("channels", [1, 2, 7, 32])
def test_one_pass_finds_digest_frames_and_waveform(tmp_path: Path, sample_type: SampleType, channels: int) -> None:
    pcm = encode(random_samples(np.random.default_rng(2), 20_011, channels, sample_type), sample_type)
    tag, bits = (3, 32) if sample_type == "f32" else (1, int(sample_type[1:]))
    data = wav([(b"LIST", b"odd"), (b"fmt ", fmt(tag, channels, 44_100, bits)), (b"data", pcm), (b"LIST", b"tail")])
    path = tmp_path / "a.wav"
    path.write_bytes(data)

    scan = scan_wav(path, frames_per_bin=100, bits=16)

    assert scan.sha256 == hashlib.sha256(data).hexdigest()
    assert (scan.bytes, scan.frames, scan.integrated_lufs) == (len(data), 20_011, None)
    waveform = Waveform(PcmFormat(channels, 44_100, sample_type), 100, 16)
    bins = waveform.push(pcm) + waveform.finish()
    assert scan.waveform == waveform.header() + bins
    assert read_dat(scan.waveform).pairs.shape == (201, channels, 2)


@pytest.mark.parametrize("sample_type", SAMPLE_TYPES)
@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
def test_files_of_libsndfile_are_understood(tmp_path: Path, sample_type: SampleType, container: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((1000, 3)), 48_000, SUBTYPES[sample_type], format=container)
    assert scan_wav(path).frames == 1000


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_64_bit_sizes_are_read_as_the_standard_says(tmp_path: Path, magic: bytes) -> None:
    """Written by hand from EBU Tech 3306: the true sizes stand in `ds64`."""
    sizes = struct.pack("<QQQI", 0, 4000, 0, 0)
    head = wav([(b"ds64", sizes), (b"fmt ", fmt(1, 2, 48_000, 16))], magic) + b"data\xff\xff\xff\xff"
    path = tmp_path / "long.wav"
    path.write_bytes(head + bytes(4000) + b"LIST\4\0\0\0tail")
    assert scan_wav(path).frames == 1000


def test_a_claim_beyond_the_file_means_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    path.write_bytes(wav([(b"fmt ", fmt(1, 2, 48_000, 16)), (b"data", bytes(4000))])[:-2001])
    assert scan_wav(path).frames == 499


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", CorruptSegmentError),
        (b"RIFF\0\0\0\0WAVE", CorruptSegmentError),
        (b"ID3" + bytes(100), CorruptSegmentError),
        (wav([(b"data", bytes(8))]), CorruptSegmentError),
        (wav([(b"fmt ", fmt(1, 2, 48_000, 8)), (b"data", bytes(8))]), UnsupportedFormatError),
        (wav([(b"fmt ", fmt(85, 2, 48_000, 16)), (b"data", bytes(8))]), UnsupportedFormatError),
        (wav([(b"fmt ", fmt(1, 65, 48_000, 16)), (b"data", bytes(8))]), UnsupportedFormatError),
        (wav([(b"junk", b"")] * 100), CorruptSegmentError),
    ],
)
def test_other_files_are_refused_by_kind(tmp_path: Path, data: bytes, fault: type[AudioError]) -> None:
    path = tmp_path / "other.wav"
    path.write_bytes(data)
    with pytest.raises(fault):
        scan_wav(path)


@given(
    data=st.binary(max_size=200), start=st.sampled_from([b"", b"RIFF\xff\xff\xff\xffWAVE", b"RF64\xff\xff\xff\xffWAVE"])
)
@settings(deadline=None)
def test_arbitrary_bytes_give_an_audio_error_or_a_result(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, start: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "arbitrary.wav"
    path.write_bytes(start + data)
    try:
        scan_wav(path, loudness=True)
    except AudioError:
        return


def ebur128_of_ffmpeg(path: Path) -> float:
    command = ["ffmpeg", "-nostats", "-i", str(path), "-filter_complex", "ebur128", "-f", "null", "-"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return float(re.findall(r"I:\s+(-?[\d.]+) LUFS", report)[-1])


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("sample_type", SAMPLE_TYPES)
@pytest.mark.parametrize("channels", [1, 2])
def test_loudness_agrees_with_ffmpeg(tmp_path: Path, sample_type: SampleType, channels: int) -> None:
    path = tmp_path / "noise.wav"
    noise = np.random.default_rng(5).normal(0, 0.1, (48_000 * 6, channels)).clip(-1, 1)
    noise[48_000 * 3 :] *= 0.02
    soundfile.write(path, noise, 48_000, SUBTYPES[sample_type])
    loudness = scan_wav(path, loudness=True).integrated_lufs
    assert loudness == pytest.approx(ebur128_of_ffmpeg(path), abs=0.1)


def test_a_tone_at_minus_20_dbfs_is_as_loud_as_the_norm_says(tmp_path: Path) -> None:
    """BS.1770: a 997-Hz sine in one channel at 0 dBFS reads −3.01 LUFS; two channels add 3.01."""
    path = tmp_path / "tone.wav"
    format = PcmFormat(2, 48_000, "s16")
    path.write_bytes(wav([(b"fmt ", fmt(1, 2, 48_000, 16)), (b"data", tone_pcm(0, 48_000 * 3, format, 997.0, -20.0))]))
    assert scan_wav(path, loudness=True).integrated_lufs == pytest.approx(-20.0, abs=0.1)


def test_silence_has_no_finite_loudness(tmp_path: Path) -> None:
    path = tmp_path / "silence.wav"
    path.write_bytes(wav([(b"fmt ", fmt(1, 2, 48_000, 16)), (b"data", bytes(4 * 48_000))]))
    assert scan_wav(path, loudness=True).integrated_lufs == float("-inf")
