"""Files to measure with: noise that is the same on every machine."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from core_rs import PcmFormat, keyed_pcm

if TYPE_CHECKING:
    from core_rs import SampleType

SAMPLE_RATE_HZ = 48_000
HEAD_BYTES = 44


def noise_wav(path: Path, channels: int, sample_type: SampleType, seconds: int) -> Path:
    """A WAV file of up to 4 GiB, its samples from byte 44 on, at 48 kHz."""
    format = PcmFormat(channels, SAMPLE_RATE_HZ, sample_type)
    data_bytes = seconds * SAMPLE_RATE_HZ * format.frame_bytes
    with path.open("wb") as file:
        file.write(_head(format, data_bytes))
        for second in range(seconds):
            file.write(noise_pcm(format, second))
    return path


def noise_pcm(format: PcmFormat, second: int) -> bytes:
    """One second; the bits of a keyed hash, whatever the sample type."""
    words = format.sample_rate_hz * format.frame_bytes // 4
    return keyed_pcm(second * words, words, 1, key=1)


def _head(format: PcmFormat, data_bytes: int) -> bytes:
    frame, bits = format.frame_bytes, format.frame_bytes // format.channels * 8
    fmt = struct.pack("<HHIIHH", 1, format.channels, format.sample_rate_hz, format.sample_rate_hz * frame, frame, bits)
    sizes = struct.pack("<I", data_bytes + 36), struct.pack("<I", data_bytes)
    return b"RIFF" + sizes[0] + b"WAVEfmt \x10\0\0\0" + fmt + b"data" + sizes[1]
