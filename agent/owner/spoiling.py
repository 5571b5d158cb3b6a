"""Faults of a signal, made on purpose: what a broken microphone, cable or driver delivers."""

import struct
from collections.abc import Callable, Mapping

from core_rs import PcmFormat

FAULTS = ("zeros", "freeze", "repeat", "mute_channel", "clip")
"""Exact zeros; one value for ever; the same buffer for ever; zeros on the last channel; half of it at full scale."""

_LARGEST = {"s16": b"\xff\x7f", "s24": b"\xff\xff\x7f", "s32": b"\xff\xff\xff\x7f", "f32": struct.pack("<f", 1.0)}


class Spoiler:
    """Spoils buffers of one stream."""

    def __init__(self, format: PcmFormat) -> None:
        self._format = format
        self._kept: dict[str, bytes] = {}
        """What stands still or comes again, as it was when that began."""
        self._acts: Mapping[str, Callable[[bytes], bytes]] = {
            "zeros": lambda buffer: bytes(len(buffer)),
            "freeze": self._freeze,
            "repeat": self._repeat,
            "mute_channel": self._mute,
            "clip": self._clip,
        }

    def spoil(self, buffer: bytes, faults: set[str]) -> bytes:
        """Whole frames, with each of these faults."""
        self._kept = {fault: kept for fault, kept in self._kept.items() if fault in faults}
        for fault in faults:
            buffer = self._acts[fault](buffer)
        return buffer

    def _freeze(self, buffer: bytes) -> bytes:
        frame = self._kept.setdefault("freeze", buffer[: self._format.frame_bytes])
        return frame * (len(buffer) // len(frame))

    def _repeat(self, buffer: bytes) -> bytes:
        return self._kept.setdefault("repeat", buffer)[: len(buffer)]

    def _mute(self, buffer: bytes) -> bytes:
        muted, frame_bytes = bytearray(buffer), self._format.frame_bytes
        for byte in range(frame_bytes - frame_bytes // self._format.channels, frame_bytes):
            muted[byte::frame_bytes] = bytes(len(buffer) // frame_bytes)
        return bytes(muted)

    def _clip(self, buffer: bytes) -> bytes:
        frame_bytes = self._format.frame_bytes
        frames = len(buffer) // frame_bytes // 2
        return _LARGEST[self._format.sample_type] * self._format.channels * frames + buffer[frames * frame_bytes :]
