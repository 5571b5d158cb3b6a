"""Sound as other programs encode it, and where they say that its encoded frames lie. Shares no code with ours."""

import random
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

RATE = 48_000
_DECODER_AND_ENCODER_DELAY = 1105


@dataclass(frozen=True)
class Encoded:
    """A file of noise with its heads as ours have them, and its seek index."""

    codec: str
    frames: int
    audio: bytes
    packets: list[tuple[int, int]]
    """Byte and first frame of every encoded frame; the tag of MP3 is none."""

    @property
    def seek(self) -> bytes:
        starts = range(0, self.frames, RATE)
        return b"".join(struct.pack("<QQ", *self.entry(frame)) for frame in starts)

    def entry(self, frame: int) -> tuple[int, int]:
        """The last place at or before this frame; the start of the file stands for what lies before frame 0."""
        byte, first = [packet for packet in self.packets if packet[1] <= frame][-1]
        return (byte, first) if first >= 0 else (0, 0)


def encode(
    folder: Path, codec: str, frames: int, channels: int = 2, rate: int = RATE, options: tuple[str, ...] = ()
) -> Encoded:
    """Encodes noise."""
    audio = encoded_bytes(folder, codec, frames, channels, rate, *options)
    return Encoded(codec, frames, audio, _packets(folder / f"made.{codec}", codec))


def encoded_bytes(folder: Path, codec: str, frames: int, channels: int, rate: int, *options: str) -> bytes:
    raw, made = folder / "samples.raw", folder / f"made.{codec}"
    raw.write_bytes(random.Random(1).randbytes(frames * channels * 2))
    source = ["-f", "s16le", "-ar", str(rate), "-ac", str(channels), "-i", str(raw)]
    plain = ["-id3v2_version", "0", "-write_id3v1", "0"] if codec == "mp3" else []
    command = ["ffmpeg", "-v", "error", *source, "-fflags", "+bitexact", *plain, *options, "-y", str(made)]
    subprocess.run(command, check=True)
    return made.read_bytes()


def decoded(sound: bytes, codec: str) -> bytes:
    """As s16, by the same program; padding and all."""
    command = ["ffmpeg", "-v", "error", "-f", codec, "-i", "pipe:0", "-f", "s16le", "pipe:1"]
    return subprocess.run(command, input=sound, check=True, stdout=subprocess.PIPE).stdout


def _packets(path: Path, codec: str) -> list[tuple[int, int]]:
    command = ["ffprobe", "-v", "error", "-show_entries", "packet=pos,duration", "-of", "csv=p=0", str(path)]
    rows = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    positions = sorted(int(row.split(",")[1]) for row in rows)
    step, first = (1152, -_DECODER_AND_ENCODER_DELAY) if codec == "mp3" else (int(rows[0].split(",")[0]), 0)
    return [(byte, first + number * step) for number, byte in enumerate(positions)]
