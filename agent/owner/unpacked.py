"""Sound files, unpacked for owners.

An owner imports no codec, so the agent's side runs `python -m agent.owner.unpacked` once before it starts one.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

from agent.owner.config import Capture, CaptureLike, InterfaceLike, SampleType, format_words

REFUSED = 2
"""Exit code: the file has another format than was asked for."""
_SPEECH = Path(__file__).with_name("speech.flac")
_SAMPLE_TYPES: dict[str, SampleType] = {"PCM_24": "s24", "PCM_32": "s32", "FLOAT": "f32", "DOUBLE": "f32"}
_READ_AS = {"s16": "int16", "s24": "int32", "s32": "int32", "f32": "float32"}
_BLOCK_FRAMES = 65_536


def sound_file(interface: InterfaceLike) -> Path | None:
    """The file that this input plays; None for an input that needs none."""
    if interface.backend == "file":
        return Path(interface.name)
    return _SPEECH if (interface.backend, interface.name) == ("synthetic", "speech") else None


def pcm_path(folder: Path, file: Path, capture: CaptureLike) -> Path:
    """Where the samples of a file lie once they are unpacked; another one as soon as the file changed.

    Raises OSError.
    """
    found = file.stat()
    facts = json.dumps([found.st_size, found.st_mtime_ns, capture.channels, capture.sample_rate_hz])
    return folder / f"{file_key(file)}-{_digest(facts)}.{capture.sample_type}"


def file_key(file: Path) -> str:
    """What the names of everything begin with that is kept for this file."""
    return _digest(str(file))


def capture_of(file: Path) -> Capture:
    """The format of a file as it is. Raises OSError or soundfile.SoundFileError for one that cannot be read."""
    import soundfile

    info = soundfile.info(file)
    return Capture(info.channels, info.samplerate, _SAMPLE_TYPES.get(info.subtype, "s16"))


def unpack(file: Path, target: Path, sample_type: SampleType) -> None:
    """Writes the samples of a file, whole or not at all, in place of what was unpacked before it changed."""
    import soundfile

    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    half = target.with_suffix(f".{os.getpid()}.half")
    try:
        with soundfile.SoundFile(file) as sound, half.open("wb") as pcm:
            while block := bytes(sound.buffer_read(_BLOCK_FRAMES, dtype=_READ_AS[sample_type])):
                pcm.write(_upper_three_bytes(block) if sample_type == "s24" else block)
        half.replace(target)
    finally:
        half.unlink(missing_ok=True)
    for earlier in target.parent.glob(f"{target.name.partition('-')[0]}-*"):
        if earlier != target:
            earlier.unlink(missing_ok=True)  # an owner that still plays it keeps what it has open


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _upper_three_bytes(words: bytes) -> bytes:
    samples = bytearray(len(words) // 4 * 3)
    for byte in range(3):
        samples[byte::3] = words[byte + 1 :: 4]
    return bytes(samples)


def main(file: Path, target: Path, asked: Capture) -> int:
    """An exit code; what went wrong is printed."""
    found = capture_of(file)
    if found != asked:
        print(f"{file} has {format_words(found)}. Set the interface to that.")
        return REFUSED
    unpack(file, target, asked.sample_type)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), Capture(**json.loads(sys.argv[3]))))
