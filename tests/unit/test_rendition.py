"""WAV renditions: what they hold, what their seals say, and that other programs read them."""

import hashlib
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from core_rs import (
    HEAD_BYTES,
    AudioError,
    ChannelMap,
    ChannelMapError,
    PcmFormat,
    Rendition,
    SegmentMismatchError,
    Take,
    TakeWriter,
    Waveform,
    keyed_pcm,
    scan_wav,
)
from tests.unit.dat import read_dat
from tests.unit.pcm import SAMPLE_TYPES, SampleType, encode, random_samples

SECOND_NS = 1_000_000_000


def recorded(folder: Path, format: PcmFormat, pcm: bytes) -> Take:
    writer = TakeWriter.create(folder, format, facts="{}", segment_seconds=1, waveform=False)
    assert writer.push(pcm, SECOND_NS) == len(pcm) // format.frame_bytes
    writer.close("stopped")
    return Take.open(folder)


@pytest.fixture(scope="module", params=SAMPLE_TYPES)
def take(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Take:
    """20,000 frames of 3 channels at 8 kHz: three segments."""
    sample_type: SampleType = request.param
    pcm = encode(random_samples(np.random.default_rng(4), 20_000, 3, sample_type), sample_type)
    return recorded(tmp_path_factory.mktemp("take") / sample_type, PcmFormat(3, 8000, sample_type), pcm)


def rendered(
    path: Path, take: Take, channel_map: ChannelMap, sample_type: SampleType, cuts: tuple[int, ...] = (0, 20_000)
) -> Rendition:
    rendition = Rendition.wav(path, PcmFormat(channel_map.outputs, take.format.sample_rate_hz, sample_type))
    for start, end in pairwise(cuts):
        rendition.append(take, start, end, channel_map)
    return rendition


@pytest.mark.parametrize("sample_type", SAMPLE_TYPES)
@pytest.mark.parametrize(
    "channel_map", [ChannelMap.identity(3), ChannelMap.mono(inputs=3), ChannelMap.select([2, 0], inputs=3)]
)
def test_the_body_is_the_mapped_range_and_the_seal_tells_its_digests(
    tmp_path: Path, take: Take, channel_map: ChannelMap, sample_type: SampleType
) -> None:
    path = tmp_path / "a.wav"
    seal = rendered(path, take, channel_map, sample_type, (777, 778, 9_001, 19_998)).finish()
    data = path.read_bytes()
    expected = take.read(777, 19_998, channel_map, sample_type)
    assert data[HEAD_BYTES:] == expected + bytes(len(expected) % 2)
    assert (seal.bytes, seal.frames, seal.head) == (len(data), 19_998 - 777, data[:HEAD_BYTES])
    assert seal.head_sha256 == hashlib.sha256(data[:HEAD_BYTES]).hexdigest()
    assert seal.body_sha256 == hashlib.sha256(data[HEAD_BYTES:]).hexdigest()


@pytest.mark.parametrize("sample_type", SAMPLE_TYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 32])
@pytest.mark.parametrize("frames", [0, 1, 4001])
def test_soundfile_reads_the_very_samples(tmp_path: Path, sample_type: SampleType, channels: int, frames: int) -> None:
    samples = random_samples(np.random.default_rng(6), frames + 1, channels, sample_type)
    take = recorded(tmp_path / "take", PcmFormat(channels, 48_000, sample_type), encode(samples, sample_type))
    path = tmp_path / "a.wav"
    assert rendered(path, take, ChannelMap.identity(channels), sample_type, (0, frames)).finish().frames == frames
    read, rate = soundfile.read(path, dtype="float64" if sample_type == "f32" else "int32", always_2d=True)
    justified = samples[:frames] * {"s16": 2**16, "s24": 2**8, "s32": 1, "f32": 1}[sample_type]
    np.testing.assert_array_equal(read.astype(np.float64), justified)
    assert rate == 48_000


@pytest.mark.parametrize("program", ["sox", "ffmpeg"])
@pytest.mark.parametrize("sample_type", SAMPLE_TYPES)
@pytest.mark.parametrize("channels", [2, 8])
@pytest.mark.parametrize("finished", [True, False])
def test_other_programs_decode_it_finished_or_growing(
    tmp_path: Path, program: str, sample_type: SampleType, channels: int, finished: bool
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    pcm = encode(random_samples(np.random.default_rng(7), 5001, channels, sample_type), sample_type)
    take = recorded(tmp_path / "take", PcmFormat(channels, 48_000, sample_type), pcm)
    path, raw = tmp_path / "a.wav", tmp_path / "a.raw"
    rendition = rendered(path, take, ChannelMap.identity(channels), sample_type, (0, 5001))
    if finished:
        rendition.finish()
    kind = {"s16": "signed-integer", "s24": "signed-integer", "s32": "signed-integer", "f32": "floating-point"}
    commands = {
        "sox": ["sox", "-V1", str(path), "-t", "raw", "-e", kind[sample_type], str(raw)],
        "ffmpeg": [
            "ffmpeg",
            "-v",
            "error",
            "-i",
            str(path),
            "-f",
            f"{sample_type}le",
            "-c:a",
            f"pcm_{sample_type}le",
            str(raw),
        ],
    }
    subprocess.run(commands[program], check=True, capture_output=True)
    if program == "sox" and sample_type == "f32":
        decoded = np.frombuffer(raw.read_bytes(), "<f4")
        np.testing.assert_allclose(decoded, np.frombuffer(pcm, "<f4").clip(-1, 1), atol=1e-6)
        return
    assert raw.read_bytes() == pcm


def test_a_growing_file_reads_as_the_frames_that_are_there(tmp_path: Path, take: Take) -> None:
    path = tmp_path / "a.wav"
    rendition = rendered(path, take, ChannelMap.identity(3), "s16", (0, 1000))
    assert scan_wav(path).frames == 1000
    rendition.append(take, 1000, 1500, ChannelMap.identity(3))
    assert scan_wav(path).frames == 1500
    assert rendition.frames == 1500


def test_the_file_does_not_depend_on_how_it_was_followed(tmp_path: Path, take: Take) -> None:
    channel_map = ChannelMap.mono(inputs=3)
    whole = rendered(tmp_path / "whole.wav", take, channel_map, "s24").finish()
    pieces = rendered(tmp_path / "pieces.wav", take, channel_map, "s24", (0, 1, 1, 7999, 8000, 8001, 20_000)).finish()
    assert (tmp_path / "whole.wav").read_bytes() == (tmp_path / "pieces.wav").read_bytes()
    assert whole.body_sha256 == pieces.body_sha256


def test_the_waveform_is_drawn_from_the_mapped_frames(tmp_path: Path, take: Take) -> None:
    path = tmp_path / "a.wav"
    format = PcmFormat(1, 8000, "s16")
    waveform = Waveform(format, 100)
    rendition = Rendition.wav(path, format)
    channel_map = ChannelMap.mono(inputs=3)
    bins = rendition.append(take, 50, 7321, channel_map, waveform)[0]
    bins += rendition.append(take, 7321, 19_999, channel_map, waveform)[0]
    rendition.finish()
    bins += waveform.finish()
    assert waveform.header() + bins == scan_wav(path, frames_per_bin=100).waveform
    assert read_dat(waveform.header() + bins).pairs.shape == (200, 1, 2)


def test_levels_are_those_of_the_mapped_frames(tmp_path: Path, take: Take) -> None:
    silent_right = ChannelMap([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    rendition = rendered(tmp_path / "a.wav", take, silent_right, "s16")
    left, right = rendition.levels()
    assert left.peak_dbfs == pytest.approx(0.0, abs=0.001)
    assert (right.peak_dbfs, right.rms_dbfs, right.zero_frames) == (float("-inf"), float("-inf"), 20_000)


def test_gaps_of_the_take_are_silence_of_their_length(tmp_path: Path) -> None:
    format = PcmFormat(1, 48_000, "s32")
    writer = TakeWriter.create(tmp_path / "take", format, facts="{}")
    writer.push(keyed_pcm(0, 1000, 1, 5), SECOND_NS)
    writer.lost(300, "xrun")
    writer.push(keyed_pcm(1300, 1000, 1, 5), SECOND_NS + 1300 * SECOND_NS // 48_000)
    writer.close("stopped")
    path = tmp_path / "a.wav"
    rendered(path, Take.open(tmp_path / "take"), ChannelMap.identity(1), "s32", (0, 2300)).finish()
    body = path.read_bytes()[HEAD_BYTES:]
    assert body == keyed_pcm(0, 1000, 1, 5) + bytes(1200) + keyed_pcm(1300, 1000, 1, 5)


def test_what_does_not_fit_is_refused_and_leaves_the_file_as_it_was(tmp_path: Path, take: Take) -> None:
    path = tmp_path / "a.wav"
    rendition = rendered(path, take, ChannelMap.identity(3), "s16", (0, 10))
    before = path.read_bytes()
    with pytest.raises(ChannelMapError, match="1 outputs for a file of 3"):
        rendition.append(take, 10, 20, ChannelMap.mono(inputs=3))
    with pytest.raises(ChannelMapError, match="waveform"):
        rendition.append(take, 10, 20, ChannelMap.identity(3), Waveform(PcmFormat(2, 8000, "s16")))
    with pytest.raises(SegmentMismatchError):
        rendition.append(take, 20_000, 20_001, ChannelMap.identity(3))
    with pytest.raises(SegmentMismatchError):
        rendition.append(take, 20, 10, ChannelMap.identity(3))
    assert (path.read_bytes(), rendition.frames) == (before, 10)


def test_nothing_is_appended_behind_the_seal(tmp_path: Path, take: Take) -> None:
    rendition = rendered(tmp_path / "a.wav", take, ChannelMap.identity(3), "s16", (0, 10))
    seal = rendition.finish()
    with pytest.raises(AudioError, match="finished"):
        rendition.append(take, 10, 20, ChannelMap.identity(3))
    assert rendition.finish().body_sha256 == seal.body_sha256


def test_a_folder_that_is_not_there_is_an_os_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone/a\.wav"):
        Rendition.wav(tmp_path / "gone" / "a.wav", PcmFormat(1, 8000, "s16"))
