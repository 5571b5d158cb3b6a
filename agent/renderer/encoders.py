"""What turns frames of a take into a rendition, by codec."""

import math
from pathlib import Path

from agent.errors import DoesNotFitError
from core_rs import (
    FLAC_VERSION,
    LAME_VERSION,
    ChannelMap,
    PcmFormat,
    Rendition,
    RenditionSeal,
    SampleType,
    Take,
    Waveform,
)
from protocol.fit import misfit
from protocol.messages import CaptureFormat, ChannelLevel, Encoding, FlacEncoding, Mp3Encoding, WavEncoding


class Encoder:
    """Writes one file that only grows, but for its head. The same frames give the same bytes, however cut."""

    def __init__(self, rendition: Rendition, channel_map: list[list[float]], waveform: Waveform) -> None:
        self._rendition = rendition
        self._map = ChannelMap(channel_map)
        self._waveform = waveform

    def feed(self, take: Take, start_frame: int, end_frame: int) -> tuple[bytes, bytes]:
        """Maps and encodes these frames; the bytes of the waveform and of the seek index that became complete."""
        return self._rendition.append(take, start_frame, end_frame, self._map, self._waveform)

    def finish(self) -> RenditionSeal:
        """Writes what was held back and the final head, and makes the file durable."""
        return self._rendition.finish()

    def levels(self) -> list[ChannelLevel]:
        """Of all frames so far, one an output channel."""
        return [
            ChannelLevel(
                peak_dbfs=_dbfs(one.peak_dbfs), rms_dbfs=_dbfs(one.rms_dbfs), clipped_frames=one.clipped_frames
            )
            for one in self._rendition.levels()
        ]

    def integrated_lufs(self) -> float | None:
        """Of all frames so far; None when nothing is above the gate."""
        return _dbfs(self._rendition.integrated_lufs())


def open_encoder(
    encoding: Encoding, capture: CaptureFormat, channel_map: list[list[float]], path: Path, waveform: Waveform
) -> Encoder:
    """Creates or empties the file."""
    format = output_format(encoding, capture, channel_map)
    match encoding:
        case WavEncoding():
            rendition = Rendition.wav(path, format)
        case FlacEncoding():
            rendition = Rendition.flac(path, format)
        case Mp3Encoding():
            rendition = Rendition.mp3(
                path, format, vbr_quality=encoding.vbr_quality, bitrate_kbps=encoding.bitrate_kbps
            )
    return Encoder(rendition, channel_map, waveform)


def output_format(encoding: Encoding, capture: CaptureFormat, channel_map: list[list[float]]) -> PcmFormat:
    """What one frame of the rendition looks like before it is encoded."""
    return PcmFormat(len(channel_map), capture.sample_rate_hz, _sample_type(encoding, capture))


def encoder_version(encoding: Encoding) -> str:
    """Names the encoder: another version may write other bytes."""
    match encoding:
        case WavEncoding():
            return "reelkeeper-wav 1"
        case FlacEncoding():
            return f"reelkeeper-flac 1, libFLAC {FLAC_VERSION}"
        case Mp3Encoding():
            return f"reelkeeper-mp3 1, LAME {LAME_VERSION}"


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
    why = misfit(encoding, len(channel_map), capture.sample_rate_hz)
    if why is not None:
        raise DoesNotFitError("encoding_does_not_fit", why)


def _sample_type(encoding: Encoding, capture: CaptureFormat) -> SampleType:
    match encoding:
        case WavEncoding():
            return encoding.sample_type or capture.sample_type
        case FlacEncoding():
            return "s16" if encoding.bits == 16 else "s24"
        case Mp3Encoding():
            return capture.sample_type


def _dbfs(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
