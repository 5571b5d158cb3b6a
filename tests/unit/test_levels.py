"""Levels of a take that is being written, against numpy."""

from pathlib import Path

import numpy as np
import pytest

from core_rs import ChannelLevels, PcmFormat, TakeWriter, tone_pcm
from tests.unit.pcm import SAMPLE_TYPES, STEPS, SampleType, encode, random_samples

SECOND_NS = 1_000_000_000


def levels_of(folder: Path, format: PcmFormat, *pushes: bytes) -> list[ChannelLevels]:
    writer = TakeWriter.create(folder, format, facts="{}")
    for pcm in pushes:
        writer.push(pcm, SECOND_NS)
    writer.close("stopped")
    return writer.levels()


@pytest.mark.parametrize("sample_type", SAMPLE_TYPES)
@pytest.mark.parametrize("channels", [1, 2, 7, 64])
def test_peak_and_rms_are_those_of_numpy(tmp_path: Path, sample_type: SampleType, channels: int) -> None:
    samples = random_samples(np.random.default_rng(channels), 5000, channels, sample_type)
    samples *= np.linspace(0.1, 0.9, channels)
    samples = samples.astype(np.float32).astype(np.float64) if sample_type == "f32" else np.trunc(samples)
    pcm = encode(samples, sample_type)
    measured = levels_of(tmp_path / "take", PcmFormat(channels, 48_000, sample_type), pcm)
    scaled = samples / STEPS[sample_type]
    peaks = [channel.peak_dbfs for channel in measured]
    np.testing.assert_allclose(peaks, 20 * np.log10(np.abs(scaled).max(axis=0)), atol=1e-4)
    rms = [channel.rms_dbfs for channel in measured]
    np.testing.assert_allclose(rms, 10 * np.log10((scaled**2).mean(axis=0)), atol=1e-4)


@pytest.mark.parametrize("sample_type", SAMPLE_TYPES)
def test_digital_silence_is_minus_infinity_never_full_scale(tmp_path: Path, sample_type: SampleType) -> None:
    format = PcmFormat(2, 48_000, sample_type)
    for channel in levels_of(tmp_path / "take", format, bytes(format.frame_bytes * 777)):
        assert (channel.peak_dbfs, channel.rms_dbfs, channel.zero_frames) == (float("-inf"), float("-inf"), 777)


def test_a_full_scale_sine_reads_minus_3_01_dbfs_rms(tmp_path: Path) -> None:
    format = PcmFormat(1, 48_000, "s24")
    (level,) = levels_of(tmp_path / "take", format, tone_pcm(0, 48_000, format, 1000.0, 0.0))
    assert level.rms_dbfs == pytest.approx(-3.0103, abs=0.0005)
    assert level.peak_dbfs == pytest.approx(0.0, abs=0.0005)


def test_zeros_are_counted_for_each_channel_up_to_the_newest_frame(tmp_path: Path) -> None:
    format = PcmFormat(2, 48_000, "s16")
    noisy_left = np.array([[1, 0]] * 10, "<i2").tobytes()
    left, right = levels_of(tmp_path / "take", format, noisy_left, bytes(4 * 5000))
    assert (left.zero_frames, right.zero_frames) == (5000, 5010)
