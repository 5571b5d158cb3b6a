"""Samples in numpy: made at random, written as PCM bytes and read back. Shares no code with the core."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

SampleType = Literal["s16", "s24", "s32", "f32"]
SAMPLE_TYPES: tuple[SampleType, ...] = ("s16", "s24", "s32", "f32")
STEPS: dict[SampleType, float] = {"s16": 2.0**15, "s24": 2.0**23, "s32": 2.0**31, "f32": 1.0}
"""How many steps of a sample make full scale."""


def random_samples(
    rng: np.random.Generator, frames: int, channels: int, sample_type: SampleType
) -> NDArray[np.float64]:
    """Steps of the sample type, shape (frames, channels), with both ends of the range among them."""
    if sample_type == "f32":
        samples = rng.uniform(-1.1, 1.1, (frames, channels)).astype(np.float32).astype(np.float64)
    else:
        full = int(STEPS[sample_type])
        samples = rng.integers(-full, full, (frames, channels)).astype(np.float64)
        samples.flat[: samples.size // 10 : 3] = -full
        samples.flat[1 : samples.size // 10 : 3] = full - 1
    return samples


def encode(samples: NDArray[np.float64], sample_type: SampleType) -> bytes:
    """Steps as interleaved little-endian PCM."""
    if sample_type == "f32":
        return samples.astype("<f4").tobytes()
    if sample_type == "s16":
        return samples.astype("<i2").tobytes()
    words = samples.astype("<i4").tobytes()
    if sample_type == "s32":
        return words
    return np.frombuffer(words, np.uint8).reshape(-1, 4)[:, :3].tobytes()


def decode(pcm: bytes, channels: int, sample_type: SampleType) -> NDArray[np.float64]:
    """Interleaved little-endian PCM as steps, shape (frames, channels)."""
    if sample_type == "s24":
        upper = np.zeros((len(pcm) // 3, 4), np.uint8)
        upper[:, 1:] = np.frombuffer(pcm, np.uint8).reshape(-1, 3)
        words = upper.reshape(-1).view("<i4") >> 8
    else:
        words = np.frombuffer(pcm, {"s16": "<i2", "s32": "<i4", "f32": "<f4"}[sample_type])
    return words.astype(np.float64).reshape(-1, channels)
