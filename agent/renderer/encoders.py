"""What turns frames of a take into a rendition, by codec."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.errors import DoesNotFitError
from core_rs import ChannelMap, PcmFormat, Take, Waveform, WavRendition
from protocol.messages import CaptureFormat, ChannelLevel, Encoding


@dataclass(frozen=True)
class Encoded:
    """A finished file. `head` is its final first bytes, of which the body digest knows nothing."""

    head: bytes
    head_sha256: str
    body_sha256: str
    bytes: int
    frames: int


class Encoder(Protocol):
    """Writes one file that only ever grows, but for its head. The same frames give the same bytes, however cut."""

    def feed(self, take: Take, start_frame: int, end_frame: int) -> bytes:
        """Maps and encodes these frames; the waveform bytes that became complete."""

    def finish(self) -> Encoded:
        """Writes the final head and makes the file durable."""

    def levels(self) -> list[ChannelLevel]:
        """Of all frames so far, one an output channel."""


def open_encoder(
    encoding: Encoding, capture: CaptureFormat, channel_map: list[list[float]], path: Path, waveform: Waveform
) -> Encoder:
    """Creates or empties the file."""
    return _ENCODERS[encoding.codec](path, output_format(encoding, capture, channel_map), channel_map, waveform)


def output_format(encoding: Encoding, capture: CaptureFormat, channel_map: list[list[float]]) -> PcmFormat:
    """What one frame of the rendition looks like before it is encoded."""
    return PcmFormat(len(channel_map), capture.sample_rate_hz, encoding.sample_type or capture.sample_type)


def encoder_version(encoding: Encoding) -> str:
    """Names the encoder: another version may write other bytes."""
    return _VERSIONS[encoding.codec]


def check_fit(encoding: Encoding, capture: CaptureFormat, channel_map: list[list[float]]) -> None:
    """Raises DoesNotFitError for what cannot be recorded, before anything is."""
    inputs = {len(row) for row in channel_map}
    if not channel_map or inputs != {capture.channels}:
        raise DoesNotFitError(
            "channel_map_does_not_fit",
            f"The channel map has rows of {sorted(inputs)} gains, but the interface is captured with "
            f"{capture.channels} channels. Choose a map for {capture.channels} channels, or set the interface to more.",
        )
    if len(channel_map) > 64:
        raise DoesNotFitError(
            "too_many_channels", f"{len(channel_map)} output channels do not fit. Choose a map with at most 64."
        )
    if encoding.codec not in _ENCODERS:
        raise DoesNotFitError(
            "codec_unknown", f"This node has no encoder for {encoding.codec}. Choose one of {', '.join(_ENCODERS)}."
        )


class _Wav:
    """WAV, RF64 when it is long."""

    def __init__(self, path: Path, format: PcmFormat, channel_map: list[list[float]], waveform: Waveform) -> None:
        self._rendition = WavRendition(path, format)
        self._map = ChannelMap(channel_map)
        self._waveform = waveform

    def feed(self, take: Take, start_frame: int, end_frame: int) -> bytes:
        return self._rendition.append(take, start_frame, end_frame, self._map, self._waveform)

    def finish(self) -> Encoded:
        seal = self._rendition.finish()
        return Encoded(seal.head, seal.head_sha256, seal.body_sha256, seal.bytes, seal.frames)

    def levels(self) -> list[ChannelLevel]:
        return [
            ChannelLevel(peak_dbfs=_dbfs(one.peak_dbfs), rms_dbfs=_dbfs(one.rms_dbfs))
            for one in self._rendition.levels()
        ]


def _dbfs(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


_ENCODERS: dict[str, Callable[[Path, PcmFormat, list[list[float]], Waveform], Encoder]] = {"wav": _Wav}
_VERSIONS = {"wav": "reelkeeper-wav 1"}
