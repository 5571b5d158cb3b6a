"""The words of input `speech`, unpacked for owners.

An owner imports no codec, so the agent's side runs `python -m agent.owner.speech <folder>` once before it starts one.
"""

import hashlib
import sys
from pathlib import Path

from agent.owner.state import write_atomically

_FLAC = Path(__file__).with_name("speech.flac")


def pcm_path(folder: Path) -> Path:
    """Where the samples lie (mono s16, 48 kHz) once they are unpacked; named for what they were unpacked from."""
    return folder / f"speech-{hashlib.sha256(_FLAC.read_bytes()).hexdigest()[:8]}.pcm"


def main(folder: Path) -> None:
    import soundfile  # here, since it brings numpy along and owners read this module for `pcm_path`

    with soundfile.SoundFile(_FLAC) as flac:
        pcm = bytes(flac.buffer_read(dtype="int16"))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(pcm_path(folder), pcm)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
