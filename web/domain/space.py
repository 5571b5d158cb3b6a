"""How long a node's disk lasts at the rate at which it fills."""

from collections.abc import Iterable

from protocol.messages import CaptureFormat, Encoding, FlacEncoding, JobSettings, Mp3Encoding, WavEncoding

_SAMPLE_BYTES = {"s16": 2, "s24": 3, "s32": 4, "f32": 4}
_VBR_KBPS = (245, 225, 190, 175, 165, 130, 115, 100, 85, 65)
"""What LAME makes of stereo on average, by its quality."""


def capture_bytes_per_second(capture: CaptureFormat) -> int:
    """Of what a take writes."""
    return capture.channels * capture.sample_rate_hz * _SAMPLE_BYTES[capture.sample_type]


def rendition_bytes_per_second(encoding: Encoding, channels: int, capture: CaptureFormat) -> int:
    """Of the rendition beside it. What FLAC saves is not counted on."""
    match encoding:
        case Mp3Encoding():
            return usual_kbps(encoding) * 125
        case FlacEncoding():
            return channels * capture.sample_rate_hz * encoding.bits // 8
        case WavEncoding():
            return channels * capture.sample_rate_hz * _SAMPLE_BYTES[encoding.sample_type or capture.sample_type]


def usual_kbps(encoding: Mp3Encoding) -> int:
    """Of stereo: as it was chosen, or about what comes of the quality."""
    if encoding.vbr_quality is not None:
        return _VBR_KBPS[encoding.vbr_quality]
    return encoding.bitrate_kbps or 0


def bytes_per_second(captured: Iterable[JobSettings]) -> int:
    """Of everything that one node captures at once. Recordings of one interface share its take."""
    jobs = list(captured)
    takes = {job.interface: job.capture for job in jobs}
    return sum(capture_bytes_per_second(capture) for capture in takes.values()) + sum(
        rendition_bytes_per_second(job.encoding, len(job.channel_map), job.capture) for job in jobs
    )


def seconds_left(free_bytes: int | None, filling: float) -> float | None:
    """None when nothing fills the disk, or its space is not known. `filling` is in bytes a second."""
    return None if free_bytes is None or filling <= 0 else free_bytes / filling
