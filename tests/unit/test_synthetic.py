"""Known signals, made again in numpy."""

import numpy as np
import pytest
from numpy.typing import NDArray

from core_rs import AudioError, PcmFormat, counter_pcm, keyed_pcm, tone_pcm
from tests.unit.pcm import SAMPLE_TYPES, STEPS, SampleType, decode


def splitmix64(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One step of the generator, by its definition (Steele, Lea and Flood, 2014)."""
    mixed = state + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@pytest.mark.parametrize("start", [1, 65_530, 2**32 - 5])
def test_counter_frames_carry_their_own_number(start: int) -> None:
    frames = (np.arange(start, start + 10, dtype=np.uint64) & np.uint64(2**32 - 1)).astype("<u4")
    assert counter_pcm(start, 10) == frames.tobytes()
    left, right = np.frombuffer(counter_pcm(0x0002_0001, 1), "<u2")
    assert (left, right) == (1, 2)


def test_only_frame_0_of_the_counter_is_silent() -> None:
    frames = np.frombuffer(counter_pcm(0, 200_000), "<u4")
    assert np.flatnonzero(frames == 0).tolist() == [0]


@pytest.mark.parametrize("key", [0, 1, 2**64 - 1])
@pytest.mark.parametrize("start", [0, 10**12])
def test_keyed_samples_are_the_upper_half_of_a_known_hash(key: int, start: int) -> None:
    frames = np.arange(start, start + 50, dtype=np.uint64)[:, None]
    channels = np.arange(7, dtype=np.uint64)
    state: NDArray[np.uint64] = (frames * np.uint64(64) + channels) ^ np.uint64(key)
    expected = (splitmix64(state) >> np.uint64(32)).astype("<u4").tobytes()
    assert keyed_pcm(start, 50, 7, key) == expected


def test_a_piece_of_a_signal_is_the_same_as_that_piece_of_the_whole() -> None:
    whole = keyed_pcm(5, 100, 3, 42)
    assert keyed_pcm(30, 20, 3, 42) == whole[25 * 12 : 45 * 12]
    format = PcmFormat(2, 44_100, "s24")
    tone = tone_pcm(5, 100, format, 440.0, -6.0)
    assert tone_pcm(30, 20, format, 440.0, -6.0) == tone[25 * 6 : 45 * 6]


@pytest.mark.parametrize("sample_type", SAMPLE_TYPES)
def test_a_tone_is_a_sine_of_its_peak_on_all_channels(sample_type: SampleType) -> None:
    samples = decode(tone_pcm(0, 4800, PcmFormat(3, 48_000, sample_type), 1000.0, -6.0), 3, sample_type)
    sine = 10 ** (-6.0 / 20) * np.sin(2 * np.pi * 1000.0 * np.arange(4800) / 48_000)
    tolerance = 1e-6 if sample_type == "f32" else 0.51
    np.testing.assert_allclose(
        samples, np.repeat(sine[:, None], 3, axis=1) * STEPS[sample_type], atol=tolerance, rtol=1e-7
    )


def test_impossible_requests_are_refused_not_attempted() -> None:
    with pytest.raises(AudioError):
        keyed_pcm(0, 1, 65, 0)
    with pytest.raises(AudioError, match="memory"):
        counter_pcm(0, 2**62)
