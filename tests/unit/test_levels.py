"""Levels of a live stream, against numpy."""

import numpy as np
import pytest

from core_rs import ChannelLevels, LevelMeter, PcmFormat, tone_pcm
from tests.unit.pcm import SAMPLE_TYPES, STEPS, SampleType, encode, random_samples


def levels_of(format: PcmFormat, *pushes: bytes) -> list[ChannelLevels]:
    meter = LevelMeter(format)
    for pcm in pushes:
        meter.push(pcm)
    return meter.levels()


@pytest.mark.parametrize("sample_type", SAMPLE_TYPES)
@pytest.mark.parametrize("channels", [1, 2, 7, 64])
def test_peak_and_rms_are_those_of_numpy(sample_type: SampleType, channels: int) -> None:
    samples = random_samples(np.random.default_rng(channels), 5000, channels, sample_type)
    samples *= np.linspace(0.1, 0.9, channels)
    samples = samples.astype(np.float32).astype(np.float64) if sample_type == "f32" else np.trunc(samples)
    pcm = encode(samples, sample_type)
    measured = levels_of(PcmFormat(channels, 48_000, sample_type), pcm)
    scaled = samples / STEPS[sample_type]
    peaks = [channel.peak_dbfs for channel in measured]
    np.testing.assert_allclose(peaks, 20 * np.log10(np.abs(scaled).max(axis=0)), atol=1e-4)
    rms = [channel.rms_dbfs for channel in measured]
    np.testing.assert_allclose(rms, 10 * np.log10((scaled**2).mean(axis=0)), atol=1e-4)


@pytest.mark.parametrize("sample_type", SAMPLE_TYPES)
def test_digital_silence_is_minus_infinity_never_full_scale(sample_type: SampleType) -> None:
    format = PcmFormat(2, 48_000, sample_type)
    for channel in levels_of(format, bytes(format.frame_bytes * 777)):
        assert (channel.peak_dbfs, channel.rms_dbfs, channel.zero_frames) == (float("-inf"), float("-inf"), 777)


def test_a_full_scale_sine_reads_minus_3_01_dbfs_rms() -> None:
    format = PcmFormat(1, 48_000, "s24")
    (level,) = levels_of(format, tone_pcm(0, 48_000, format, 1000.0, 0.0))
    assert level.rms_dbfs == pytest.approx(-3.0103, abs=0.0005)
    assert level.peak_dbfs == pytest.approx(0.0, abs=0.0005)


def test_zeros_are_counted_for_each_channel_up_to_the_newest_frame() -> None:
    format = PcmFormat(2, 48_000, "s16")
    noisy_left = np.array([[1, 0]] * 10, "<i2").tobytes()
    left, right = levels_of(format, noisy_left, bytes(4 * 5000))
    assert (left.zero_frames, right.zero_frames) == (5000, 5010)


def test_levels_are_since_the_last_asking_and_nothing_heard_is_no_silence() -> None:
    format = PcmFormat(2, 48_000, "s16")
    meter = LevelMeter(format)
    assert meter.levels() == []
    meter.push(tone_pcm(0, 48_000, format, 1000.0, -6.0))
    first, second = meter.levels()
    assert first == second
    assert (first.peak_dbfs, first.rms_dbfs) == (pytest.approx(-6.0, abs=0.01), pytest.approx(-9.01, abs=0.01))
    assert meter.levels() == []
    meter.push(bytes(4_000))
    assert [(level.peak_dbfs, level.zero_frames) for level in meter.levels()] == [(float("-inf"), 1_000)] * 2
