"""Disks of their own, to be broken: one in a file, whose power can be cut, and a small one in memory.

Both are mounted, which takes root; the first takes a loop device besides.
"""

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

_FS_IOC_SHUTDOWN = 0x8004587D
_UMOUNT_TRIES = 50
_UMOUNT_PAUSE_SECONDS = 0.02


class VolumeError(Exception):
    """No disk can be made here, or one cannot be mounted; the message says why."""


class Cut(IntEnum):
    """What a power cut leaves of what was not synced."""

    JOURNAL_WRITTEN = 1
    """Names and lengths, as far as the file system had noted them, but not the bytes."""
    JOURNAL_LOST = 2
    """Nothing."""


def why_no_power_cuts() -> str | None:
    """Why `power_volume` would fail on this machine, None where it works."""
    if os.geteuid() != 0:
        return "Power cuts mount a file system, and that takes root."
    if not Path("/dev/loop-control").exists():
        return "Power cuts need a loop device, and /dev/loop-control is missing."
    return None


class PowerVolume:
    """A mounted ext4 file system that forgets what was not synced when its power is cut."""

    def __init__(self, image: Path, path: Path) -> None:
        self.path = path
        """Where it is mounted."""
        self._image = image
        self._device = ""

    def cut_power(self, cut: Cut = Cut.JOURNAL_LOST) -> None:
        """From here on every write, sync and open answers EIO, until `restart`."""
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(folder, _FS_IOC_SHUTDOWN, struct.pack("I", cut))
        finally:
            os.close(folder)

    def restart(self) -> None:
        """Mounts it anew, as a machine does whose power is back: what is on the disk is all there is.

        Nobody may have a file of it open any more. Raises VolumeError.
        """
        self._unmount()
        self._mount()

    def check(self) -> None:
        """Looks through the whole file system. Raises VolumeError when it is not sound; it is mounted again after."""
        self._unmount()
        try:
            _run("e2fsck", "-f", "-n", self._device)
        finally:
            self._mount()

    def _open(self) -> None:
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        self._device = _run("losetup", "--find", "--show", str(self._image)).strip()
        try:
            self._mount()
        except VolumeError:
            _run("losetup", "--detach", self._device)
            raise

    def _close(self) -> None:
        try:
            self._unmount()
        except VolumeError:
            _run("umount", "--lazy", str(self.path))
            raise
        finally:
            _run("losetup", "--detach", self._device)

    def _mount(self) -> None:
        _run("mount", "-t", "ext4", self._device, str(self.path))

    def _unmount(self) -> None:
        """A process that was just killed may hold its files for a moment."""
        for _ in range(_UMOUNT_TRIES):
            try:
                _run("umount", str(self.path))
                return
            except VolumeError as fault:
                busy = fault
                time.sleep(_UMOUNT_PAUSE_SECONDS)
        raise busy


@contextmanager
def power_volume(folder: Path, mebibytes: int = 256) -> Iterator[PowerVolume]:
    """A file system in `folder`, mounted at `folder/disk` and gone in the end. Raises VolumeError."""
    why_not = why_no_power_cuts()
    if why_not is not None:
        raise VolumeError(why_not)
    path, image = folder / "disk", folder / "disk.ext4"
    path.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(mebibytes << 20)
    volume = PowerVolume(image, path)
    volume._open()
    try:
        yield volume
    finally:
        volume._close()
        image.unlink()


@contextmanager
def small_volume(path: Path, byte_count: int) -> Iterator[Path]:
    """A file system in memory that is full after so many bytes, mounted at `path` and gone in the end.

    Raises VolumeError.
    """
    if os.geteuid() != 0:
        raise VolumeError("A small disk is mounted, and that takes root.")
    path.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={byte_count}", "none", str(path))
    try:
        yield path
    finally:
        _run("umount", "--lazy", str(path))


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as cause:
        raise VolumeError(f"{command[0]} is not installed.") from cause
    if done.returncode != 0:
        raise VolumeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout
