"""The files beside the audio, written while it grows: waveform, seek index, ledger."""

import base64
import os
from hashlib import sha256
from pathlib import Path

from agent.files import write_bytes
from agent.renderer.encoders import output_format
from agent.states import RenderTask
from core_rs import Digest, Waveform
from protocol.messages import HEAD_BYTES_OF, PartSeal


class WaveformFile:
    """`waveform.dat`. Its header counts the bins once it is finished."""

    def __init__(self, path: Path, task: RenderTask) -> None:
        self.drawing = Waveform(output_format(task.encoding, task.capture, task.channel_map))
        self._file = _GrowingFile(path, self.drawing.header())

    def append(self, bins: bytes) -> None:
        self._file.append(bins)

    def finish(self) -> PartSeal:
        """Draws the last bin, writes the final header and makes the file durable."""
        self.append(self.drawing.finish())
        header = self.drawing.header()
        assert len(header) == HEAD_BYTES_OF["waveform"]
        return self._file.finish(header)

    def close(self) -> None:
        self._file.close()


class SeekFile:
    """`seek`: entries of `protocol.messages.SEEK_ENTRY`, each once the audio that it speaks of is written."""

    def __init__(self, path: Path) -> None:
        self._file = _GrowingFile(path, b"")

    def append(self, entries: bytes) -> None:
        self._file.append(entries)

    def finish(self) -> PartSeal:
        return self._file.finish(b"")

    def close(self) -> None:
        self._file.close()


def write_ledger(path: Path, text: bytes) -> PartSeal:
    """The ledger is whole from its first byte on."""
    write_bytes(path, text)
    return _seal(len(text), b"", sha256(text).hexdigest())


class _GrowingFile:
    """A head, then a body that is digested as it grows."""

    def __init__(self, path: Path, head: bytes) -> None:
        self._body = Digest()
        self._file = path.open("wb", buffering=0)
        self._write(head)

    def append(self, body: bytes) -> None:
        self._write(body)
        self._body.update(body)

    def finish(self, head: bytes) -> PartSeal:
        """With this head in the end; durable before it returns."""
        os.pwrite(self._file.fileno(), head, 0)
        os.fsync(self._file.fileno())
        length = self._file.tell()
        self.close()
        return _seal(length, head, self._body.hexdigest())

    def close(self) -> None:
        self._file.close()

    def _write(self, content: bytes) -> None:
        """A disk that is nearly full takes a part of it."""
        while content:
            content = content[self._file.write(content) :]


def _seal(length: int, head: bytes, body_sha256: str) -> PartSeal:
    return PartSeal(
        bytes=length,
        head=base64.b64encode(head).decode(),
        head_sha256=sha256(head).hexdigest(),
        body_sha256=body_sha256,
    )
