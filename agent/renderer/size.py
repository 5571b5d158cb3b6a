"""How far a rendition may go so that its file never gets longer than a limit (I20)."""

from dataclasses import dataclass
from pathlib import Path

from agent.renderer.encoders import output_format
from agent.states import RenderTask
from protocol.messages import FlacEncoding, Mp3Encoding, WavEncoding

STEP_FRAMES = 4608
"""The file ends at a multiple of this: where it does hangs on the frames alone, not on how they came."""
MP3_BYTES_PER_SECOND = 40_000
"""Of its highest bitrate."""
MP3_HELD_FRAMES = 6 * 1152
"""More than LAME holds back and pads."""
FLAC_BLOCK_FRAMES = 4608
"""More than libFLAC puts into one frame."""


@dataclass(frozen=True)
class Worst:
    """What frames cost at most, in bytes of the file."""

    bytes_per_frame: float
    more_bytes: int
    """Besides: what the encoder holds back by now, and what its end adds."""


class SizeGate:
    """Opens a piece at a time, as long as the worst that these frames can become fits."""

    def __init__(self, most_bytes: int | None, start_frame: int, worst: Worst) -> None:
        self._most_bytes = most_bytes
        self._open_until = start_frame
        self._is_shut = False
        self._worst = worst

    @classmethod
    def of(cls, task: RenderTask) -> "SizeGate":
        return cls(task.size_limit_bytes, task.start_frame, _worst(task))

    def open_until(self, frame: int, audio: Path) -> int:
        """The frame up to which may be encoded, when this is the next one and `audio` all that was written."""
        if self._most_bytes is None:
            return 1 << 62
        if frame == self._open_until and not self._is_shut:
            left = self._most_bytes - audio.stat().st_size - self._worst.more_bytes
            steps = int(left / self._worst.bytes_per_frame) // STEP_FRAMES
            self._is_shut = steps <= 0
            self._open_until += max(0, steps) * STEP_FRAMES
        return self._open_until

    def is_shut_at(self, frame: int) -> bool:
        """Whether the file is full, and this is the first frame that it does not hold."""
        return self._is_shut and frame == self._open_until


def _worst(task: RenderTask) -> Worst:
    frame_bytes = output_format(task.encoding, task.capture, task.channel_map).frame_bytes
    channels = len(task.channel_map)
    match task.encoding:
        case WavEncoding():
            return Worst(frame_bytes, 1)
        case FlacEncoding():
            block_bytes = 32 + 8 * channels
            return Worst(frame_bytes + block_bytes / 1024, FLAC_BLOCK_FRAMES * frame_bytes + 2 * block_bytes)
        case Mp3Encoding():
            per_frame = MP3_BYTES_PER_SECOND / task.capture.sample_rate_hz
            return Worst(per_frame, int(MP3_HELD_FRAMES * per_frame))
