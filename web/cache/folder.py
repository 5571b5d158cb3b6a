"""The cache store as a folder.

`incoming/<cache file id>/<part>` grows by appends; its length is the offset an upload goes on at.
`files/<last two digits of the id>/<cache file id>/<part>` is whole; it appears there by a rename, synced before and
after.
Names are made here, from ids only. Everything blocks: callers use threads.
"""

import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from uuid import UUID

from core_rs import Digest
from protocol.messages import HEAD_BYTES_OF, PartName

BLOCK_BYTES = 256 * 1024


class PartBusyError(Exception):
    """Another controller is writing this part."""


class PartLostError(Exception):
    """The disk did not take what was written to this part; it was emptied and has to be sent again."""


class CacheFolder:
    """The folder of one cache store. Safe to share between threads and controllers."""

    def __init__(self, root: Path) -> None:
        self._incoming = root / "incoming"
        self._files = root / "files"

    def prepare(self) -> None:
        """Makes the two folders, for this user only."""
        for folder in (self._incoming, self._files):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def free_bytes(self) -> int:
        """What the file system still gives to this user."""
        return shutil.disk_usage(self._incoming).free

    def length(self, cache_file_id: UUID, part: PartName) -> int:
        """Bytes of the part, installed or not; 0 when there is nothing."""
        try:
            return self.path(cache_file_id, part).stat().st_size
        except FileNotFoundError:
            return 0

    def path(self, cache_file_id: UUID, part: PartName) -> Path:
        """Where the part lies now, or would begin to grow."""
        installed = self._home(cache_file_id) / part
        return installed if installed.exists() else self._incoming / str(cache_file_id) / part

    def installed_path(self, cache_file_id: UUID, part: PartName) -> Path:
        """Where the part lies once it is whole."""
        return self._home(cache_file_id) / part

    def open_for_reading(self, cache_file_id: UUID, part: PartName) -> int:
        """A descriptor of the part, wherever it lies. Raises FileNotFoundError."""
        try:
            return os.open(self.path(cache_file_id, part), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # it may have been given its final place in between
            return os.open(self.installed_path(cache_file_id, part), os.O_RDONLY | os.O_CLOEXEC)

    def open_part(self, cache_file_id: UUID, part: PartName) -> "PartWriter":
        """Opens the part for appending, and makes it if need be, durably. Raises PartBusyError."""
        path = self.path(cache_file_id, part)
        if not path.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.touch(mode=0o600)
            _sync_folder(path.parent)
            _sync_folder(self._incoming)
        return PartWriter(path, HEAD_BYTES_OF[part], self.installed_path(cache_file_id, part))

    def empty(self, cache_file_id: UUID, part: PartName) -> None:
        """Drops a part that is not what was sealed, so that it can be sent again from its first byte."""
        self.path(cache_file_id, part).unlink(missing_ok=True)

    def discard(self, cache_file_id: UUID) -> None:
        """Removes every part, wherever it lies. Raises PartBusyError when one is being written."""
        for folder in (self._incoming / str(cache_file_id), self._home(cache_file_id)):
            if folder.exists():
                for path in folder.iterdir():
                    with closing(PartWriter(path, head_bytes=0)):
                        path.unlink()
                folder.rmdir()
                _sync_folder(folder.parent)

    def install(self, cache_file_id: UUID, heads: Mapping[PartName, bytes], lengths: Mapping[PartName, int]) -> None:
        """Gives every part its final head and its final place; repeatable after a crash at any step.

        Raises PartBusyError when a part is being written or has not the length that was proved, PartLostError when
        one could not be synced.
        """
        home = self._home(cache_file_id)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part, head in heads.items():
            with closing(self.open_part(cache_file_id, part)) as alone:
                if alone.offset != lengths[part]:
                    raise PartBusyError
                source = self.path(cache_file_id, part)
                _write_head(source, head)
                source.rename(home / part)
        for folder in (home, home.parent, self._files):
            _sync_folder(folder)
        self._forget(self._incoming / str(cache_file_id))

    def _home(self, cache_file_id: UUID) -> Path:
        return self._files / cache_file_id.hex[-2:] / str(cache_file_id)

    def _forget(self, folder: Path) -> None:
        if folder.exists():
            folder.rmdir()
            _sync_folder(self._incoming)


class PartWriter:
    """One open part; the kernel lets nobody else write it until `close`. Calls may come from any thread."""

    def __init__(self, path: Path, head_bytes: int, installed_path: Path | None = None) -> None:
        self._path = path
        self._head_bytes = head_bytes
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as busy:
            os.close(self._file)
            raise PartBusyError from busy
        self.offset = os.fstat(self._file).st_size
        self.is_installed = installed_path is not None and installed_path.exists()
        """Whether it was given its final place before this writer had it alone."""

    def append(self, data: bytes | bytearray, digest: Digest) -> None:
        """Writes all of it and adds what lies behind the head to the digest.

        On OSError (a full disk) digest and offset hold exactly what was written.
        """
        with self._lock:
            rest = memoryview(data)
            while rest:
                written = os.write(self._file, rest)
                digest.update(rest[max(self._head_bytes - self.offset, 0) : written])
                self.offset += written
                rest = rest[written:]

    def add_to(self, digest: Digest, start: int, stop: int) -> None:
        """Adds what is stored from `start` to `stop`, as far as it lies behind the head, to the digest."""
        with self._lock:
            position = max(start, self._head_bytes)
            while position < stop:
                block = os.pread(self._file, min(BLOCK_BYTES, stop - position), position)
                if not block:
                    raise OSError(errno.EIO, f"{self._path} ends at byte {position}")
                digest.update(block)
                position += len(block)

    def sync(self) -> None:
        """Makes all of it durable. Raises PartLostError, the part emptied: a failed sync is never tried again."""
        with self._lock:
            _sync_or_lose(self._file, self._path)

    def close(self) -> None:
        """Lets the part go. A second call does nothing."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1


def is_disk_full(fault: OSError) -> bool:
    """Whether the write failed for want of room."""
    return fault.errno in (errno.ENOSPC, errno.EDQUOT)


def _write_head(path: Path, head: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        done = 0
        while done < len(head):
            done += os.pwrite(file, head[done:], done)
        _sync_or_lose(file, path)
    finally:
        os.close(file)


def _sync_or_lose(file: int, path: Path) -> None:
    try:
        os.fdatasync(file)
    except OSError as fault:
        path.unlink(missing_ok=True)
        raise PartLostError(f"{path.name}: {fault.strerror}") from fault


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
