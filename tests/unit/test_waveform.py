"""Waveforms against brute force in numpy, read back by an independent reader of the file layout."""

from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core_rs import AudioError, PcmFormat, Waveform, coarser_waveform
from tests.unit.dat import read_dat
from tests.unit.pcm import SAMPLE_TYPES, SampleType, encode, random_samples

Bits = Literal[8, 16]
WIDTHS = (1, 2, 3, 5, 8, 24, 31, 32, 33, 63, 64)


def to_16_bits(samples: NDArray[np.float64], sample_type: SampleType) -> NDArray[np.int64]:
    """As audiowaveform reads a file: libsndfile keeps the upper 16 bits, floats are multiplied and cut towards zero."""
    if sample_type == "f32":
        scaled = (samples.astype(np.float32) * np.float32(32767)).astype(np.float64)
        return np.clip(np.trunc(scaled), -32768, 32767).astype(np.int64)
    return samples.astype(np.int64) >> {"s16": 0, "s24": 8, "s32": 16}[sample_type]


def brute_force(values: NDArray[np.int64], frames_per_bin: int, bits: int) -> NDArray[np.int64]:
    bins = [values[at : at + frames_per_bin] for at in range(0, len(values), frames_per_bin)]
    pairs = np.array([np.stack([one.min(axis=0), one.max(axis=0)], axis=-1) for one in bins])
    return pairs if bits == 16 else np.trunc(pairs / 256).astype(np.int64)


def drawn(pcm: bytes, waveform: Waveform) -> bytes:
    bins = waveform.push(pcm) + waveform.finish()
    return waveform.header() + bins


@pytest.mark.parametrize("sample_type", SAMPLE_TYPES)
@pytest.mark.parametrize("channels", WIDTHS)
@pytest.mark.parametrize("bits", [8, 16])
def test_every_bin_holds_the_true_extremes(sample_type: SampleType, channels: int, bits: Bits) -> None:
    samples = random_samples(np.random.default_rng(channels), 1000, channels, sample_type)
    waveform = Waveform(PcmFormat(channels, 48_000, sample_type), 77, bits)
    dat = read_dat(drawn(encode(samples, sample_type), waveform))
    assert (dat.sample_rate_hz, dat.frames_per_bin, dat.bits) == (48_000, 77, bits)
    np.testing.assert_array_equal(dat.pairs, brute_force(to_16_bits(samples, sample_type), 77, bits))


@given(
    cuts=st.lists(st.integers(0, 1000), max_size=8),
    sample_type=st.sampled_from(SAMPLE_TYPES),
    channels=st.sampled_from(WIDTHS),
    frames_per_bin=st.integers(1, 1200),
)
@settings(deadline=None)
def test_the_waveform_does_not_depend_on_how_the_frames_arrive(
    cuts: list[int], sample_type: SampleType, channels: int, frames_per_bin: int
) -> None:
    format = PcmFormat(channels, 48_000, sample_type)
    pcm = encode(random_samples(np.random.default_rng(0), 1000, channels, sample_type), sample_type)
    pieces = Waveform(format, frames_per_bin)
    edges = [0, *sorted(cuts), 1000]
    frame = format.frame_bytes
    bins = b"".join(pieces.push(pcm[a * frame : b * frame]) for a, b in pairwise(edges))
    bins += pieces.finish()
    assert pieces.header() + bins == drawn(pcm, Waveform(format, frames_per_bin))


def test_small_negative_samples_are_drawn_as_zero_in_8_bits() -> None:
    """audiowaveform divides and cuts towards zero; a shift would draw a line at −1 through a silence with noise."""
    pcm = np.array([-1, -255, -256, -257, 255, 256, -32768, 32767], "<i2").tobytes()
    waveform = Waveform(PcmFormat(1, 8000, "s16"), 1)
    assert read_dat(drawn(pcm, waveform)).pairs[:, 0, 0].tolist() == [0, 0, -1, -1, 0, 1, -128, 127]


def test_the_header_counts_the_bins_so_far() -> None:
    waveform = Waveform(PcmFormat(2, 48_000, "s16"))
    bins = b""
    for done in range(5):
        assert waveform.bins == done
        assert read_dat(waveform.header() + bins).pairs.shape == (done, 2, 2)
        bins += waveform.push(bytes(512 * 4))
    assert waveform.push(bytes(511 * 4)) == b""
    assert len(waveform.finish()) == 4
    assert waveform.finish() == b""
    assert waveform.bins == 6


def test_floats_beyond_full_scale_saturate_and_what_is_no_number_draws_nothing() -> None:
    samples = np.array([2.0, -2.0, np.inf, -np.inf, np.nan, 0.25], "<f4")
    waveform = Waveform(PcmFormat(1, 48_000, "f32"), 2, 16)
    pairs = read_dat(drawn(samples.tobytes(), waveform)).pairs[:, 0].tolist()
    assert pairs == [[-32768, 32767], [-32768, 32767], [8191, 8191]]
    assert drawn(np.array([np.nan], "<f4").tobytes(), Waveform(PcmFormat(1, 48_000, "f32")))[24:] == bytes(2)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 32])
@pytest.mark.parametrize("factor", [2, 4, 7])
def test_a_coarser_level_is_what_coarser_bins_would_have_been(bits: Bits, channels: int, factor: int) -> None:
    format = PcmFormat(channels, 48_000, "s24")
    pcm = encode(random_samples(np.random.default_rng(9), 3001, channels, "s24"), "s24")
    fine = drawn(pcm, Waveform(format, 50, bits))
    coarse = drawn(pcm, Waveform(format, 50 * factor, bits))
    assert coarser_waveform(fine[24:], channels, bits, factor) == coarse[24:]


def test_nonsense_is_refused() -> None:
    format = PcmFormat(2, 48_000, "s16")
    for frames_per_bin in (0, 2**31):
        with pytest.raises(AudioError):
            Waveform(format, frames_per_bin)
    with pytest.raises(AudioError, match="8 or 16 bits"):
        Waveform(format, 512, 12)  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="whole frames"):
        Waveform(format).push(bytes(3))
    for bins, channels, factor in ((bytes(3), 2, 4), (bytes(4), 0, 4), (bytes(4), 2, 1)):
        with pytest.raises(AudioError):
            coarser_waveform(bins, channels, 8, factor)
