"""Reads audiowaveform `.dat` files, versions 1 and 2, from the published layout alone."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Dat:
    sample_rate_hz: int
    frames_per_bin: int
    bits: int
    pairs: NDArray[np.int16]
    """Shape (bins, channels, 2): minimum and maximum."""


def read_dat(data: bytes) -> Dat:
    """Raises ValueError for anything that the layout does not allow, bytes behind the last bin included."""
    version, flags, sample_rate_hz, frames_per_bin, bins = struct.unpack_from("<iIiiI", data)
    if version not in (1, 2):
        raise ValueError(f"version {version}")
    channels = struct.unpack_from("<i", data, 20)[0] if version == 2 else 1
    numbers = np.frombuffer(data, np.dtype("<i1" if flags & 1 else "<i2"), offset=24 if version == 2 else 20)
    if numbers.size != bins * channels * 2:
        raise ValueError(f"{numbers.size} numbers for {bins} bins of {channels} channels")
    pairs = numbers.astype(np.int16).reshape(bins, channels, 2)
    return Dat(sample_rate_hz, frames_per_bin, 8 if flags & 1 else 16, pairs)
