"""The channel map against the same arithmetic in numpy."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core_rs import AudioError, ChannelMap, ChannelMapError
from tests.unit.pcm import SAMPLE_TYPES, STEPS, SampleType, decode, encode, random_samples

PAIRS = list(product(SAMPLE_TYPES, SAMPLE_TYPES))


def mixed(
    samples: NDArray[np.float64], rows: list[list[float]], source: SampleType, target: SampleType
) -> NDArray[np.float64]:
    """Adds in the order that the core states, so that the sums agree to the last bit."""
    scale = STEPS[target] / STEPS[source]
    sums = np.zeros((4, len(samples), len(rows)))
    for output, row in enumerate(rows):
        for channel, gain in enumerate(row):
            sums[channel % 4, :, output] += samples[:, channel] * (gain * scale)
    out: NDArray[np.float64] = (sums[0] + sums[1]) + (sums[2] + sums[3])
    if target == "f32":
        return out.astype(np.float32).astype(np.float64)
    rounded: NDArray[np.float64] = np.rint(out).clip(-STEPS[target], STEPS[target] - 1)
    return rounded


@pytest.mark.parametrize(("source", "target"), PAIRS)
@pytest.mark.parametrize(
    ("inputs", "outputs"), [(1, 1), (1, 2), (2, 1), (2, 2), (5, 1), (7, 2), (32, 2), (3, 7), (64, 64)]
)
def test_gains_give_what_numpy_gives(source: SampleType, target: SampleType, inputs: int, outputs: int) -> None:
    rng = np.random.default_rng(inputs * 100 + outputs)
    samples = random_samples(rng, 500, inputs, source)
    rows = rng.uniform(-1.5, 1.5, (outputs, inputs)).tolist()
    rows[0][0] = 0.0
    result = ChannelMap(rows).apply(encode(samples, source), source, target)
    np.testing.assert_array_equal(decode(result, outputs, target), mixed(samples, rows, source, target))


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_identity_keeps_every_value_or_rounds_it_to_fewer_bits(source: SampleType, target: SampleType) -> None:
    samples = random_samples(np.random.default_rng(1), 500, 3, source)
    rows = np.eye(3).tolist()
    result = ChannelMap.identity(3).apply(encode(samples, source), source, target)
    np.testing.assert_array_equal(decode(result, 3, target), mixed(samples, rows, source, target))


def test_24_bits_stay_24_bits() -> None:
    samples = np.arange(-300, 300, dtype=np.float64).reshape(-1, 2)
    pcm = encode(samples, "s24")
    assert ChannelMap.identity(2).apply(pcm, "s24") == pcm
    widened = ChannelMap.identity(2).apply(pcm, "s24", "s32")
    np.testing.assert_array_equal(decode(widened, 2, "s32"), samples * 256)
    assert ChannelMap.identity(2).apply(widened, "s32", "s24") == pcm


@pytest.mark.parametrize("sample_type", SAMPLE_TYPES)
def test_selected_channels_are_copied_bit_for_bit(sample_type: SampleType) -> None:
    pcm = np.random.default_rng(2).integers(0, 256, 12 * 32 * 100, dtype=np.uint8).tobytes()
    width = {"s16": 2, "s24": 3, "s32": 4, "f32": 4}[sample_type]
    frames = np.frombuffer(pcm, np.uint8).reshape(-1, 32, width)
    for channels in ([7], [31, 0], [5, 5, 5], list(range(32))):
        result = ChannelMap.select(channels, inputs=32).apply(pcm, sample_type)
        assert result == frames[:, channels].tobytes()


def test_named_maps_are_the_matrices_they_name() -> None:
    assert ChannelMap.identity(2).rows == [[1, 0], [0, 1]]
    assert ChannelMap.select([2, 0], inputs=3).rows == [[0, 0, 1], [1, 0, 0]]
    assert ChannelMap.stereo(1, 3, inputs=4).rows == [[0, 1, 0, 0], [0, 0, 0, 1]]
    assert ChannelMap.mono(inputs=4).rows == [[0.25] * 4]
    assert ChannelMap.mono_to_stereo().rows == [[1], [1]]
    assert ChannelMap.mono_to_stereo(1, inputs=2).rows == [[0, 1], [0, 1]]
    assert (ChannelMap.mono(inputs=4).inputs, ChannelMap.mono(inputs=4).outputs) == (4, 1)


def test_maps_are_equal_by_their_gains() -> None:
    assert ChannelMap.stereo(0, 1, inputs=2) == ChannelMap.identity(2)
    assert hash(ChannelMap([[0.0, 1.0]])) == hash(ChannelMap([[-0.0, 1.0]]))
    assert ChannelMap.identity(2) != ChannelMap.identity(3)


def test_too_much_saturates_instead_of_wrapping() -> None:
    pcm = encode(np.array([[32767.0, 32767.0], [-32768.0, -32768.0]]), "s16")
    result = ChannelMap([[1.0, 1.0]]).apply(pcm, "s16")
    np.testing.assert_array_equal(decode(result, 1, "s16"), [[32767], [-32768]])


def test_halves_round_to_even() -> None:
    pcm = encode(np.array([[1.0], [3.0], [-1.0], [-3.0], [5.0]]), "s16")
    result = ChannelMap([[0.5]]).apply(pcm, "s16")
    np.testing.assert_array_equal(decode(result, 1, "s16").ravel(), [0, 2, 0, -2, 2])


def test_what_is_no_number_does_not_reach_other_channels() -> None:
    samples = np.array([[np.nan, 0.5], [np.inf, 0.25], [-np.inf, -0.5]])
    rows = [[0.0, 1.0], [1.0, 0.0]]
    result = decode(ChannelMap(rows).apply(encode(samples, "f32"), "f32", "s16"), 2, "s16")
    np.testing.assert_array_equal(result, [[16384, 0], [8192, 32767], [-16384, -32768]])


@given(cut=st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_cutting_the_input_between_frames_changes_nothing(cut: int) -> None:
    pcm = encode(random_samples(np.random.default_rng(3), 100, 3, "s24"), "s24")
    channel_map = ChannelMap([[0.3, 0.3, 0.3], [1, 0, 0]])
    parts = [channel_map.apply(part, "s24", "s16") for part in (pcm[: cut * 9], pcm[cut * 9 :])]
    assert b"".join(parts) == channel_map.apply(pcm, "s24", "s16")


@pytest.mark.parametrize("rows", [[], [[]], [[1.0], [1.0, 0.0]], [[float("nan")]], [[0.0] * 65], [[1.0]] * 65])
def test_maps_that_cannot_be_are_refused(rows: list[list[float]]) -> None:
    with pytest.raises(ChannelMapError):
        ChannelMap(rows)


def test_channels_that_are_not_there_are_refused() -> None:
    with pytest.raises(ChannelMapError, match="channel 2 of 2"):
        ChannelMap.select([2], inputs=2)
    with pytest.raises(ChannelMapError):
        ChannelMap.mono(inputs=0)


def test_torn_frames_and_unknown_sample_types_are_refused() -> None:
    with pytest.raises(ChannelMapError, match="whole frames"):
        ChannelMap.identity(2).apply(bytes(6), "s16")
    with pytest.raises(AudioError):
        ChannelMap.identity(2).apply(bytes(4), "u8")  # type: ignore[arg-type]
