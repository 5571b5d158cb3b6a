"""Small files that replace one another: written aside, synced, renamed. The last good one always survives."""

import errno
import itertools
import os
import re
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import BaseModel, ValidationError

log = structlog.get_logger()
Model = TypeVar("Model", bound=BaseModel)

_numbers = itertools.count()
_ASIDE = re.compile(r"\..+\.(\d+)-\d+")
"""The name of a file that is being written, with the process that writes it."""
_FAULTS_OF_THE_PROCESS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN}
"""They say nothing of the file that could not be opened."""


class BrokenFileError(Exception):
    """A file of the spool does not say what it should. It was moved aside."""


def write_model(path: Path, model: BaseModel, *, mode: int = 0o600) -> None:
    """Replaces the file, durably before this returns. Its predecessor stays beside it as `<name>.last`."""
    write_bytes(path, model.model_dump_json(indent=1).encode(), mode=mode)


def write_bytes(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replaces the file, durably before this returns. Its predecessor stays beside it as `<name>.last`."""
    aside = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _keep_last(path)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def read_model(path: Path, kind: type[Model]) -> Model:
    """The file, or its predecessor when it is broken.

    Raises FileNotFoundError, BrokenFileError when neither can be read: then what is broken was moved aside, and OSError
    when this process can open nothing at the moment.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise
    except (ValidationError, OSError) as cause:
        if isinstance(cause, OSError) and cause.errno in _FAULTS_OF_THE_PROCESS:
            raise
        aside = move_aside(path)
        try:
            last = kind.model_validate_json(_last(path).read_bytes())
        except (ValidationError, OSError):
            raise BrokenFileError(f"{path} cannot be read and was moved to {aside.name}: {cause}") from cause
        write_model(path, last)
        return last


def read_kept(path: Path, kind: type[Model], *, lost: str) -> Model | None:
    """The file, None where there is none. For one that is broken the log says what is `lost`."""
    try:
        return read_model(path, kind)
    except FileNotFoundError:
        return None
    except BrokenFileError as broken:
        log.error(lost, fault=str(broken))
        return None


def move_aside(path: Path) -> Path:
    """Renames what is broken; nothing is removed."""
    aside = path.with_name(f"{path.name}.broken-{os.getpid()}-{next(_numbers)}")
    path.rename(aside)
    return aside


def remove(path: Path) -> None:
    """Removes the file and its predecessor, if they are there."""
    _last(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Removes what processes that are gone left of files that they were writing; this one must not be writing there."""
    for aside in folder.glob(".*"):
        found = _ASIDE.fullmatch(aside.name)
        if found and (int(found[1]) == os.getpid() or not Path(f"/proc/{found[1]}").exists()):
            aside.unlink(missing_ok=True)


def forget_last(path: Path) -> None:
    """From now on a broken file is not replaced by its predecessor."""
    _last(path).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes names in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _last(path: Path) -> Path:
    return path.with_name(f"{path.name}.last")


def _keep_last(path: Path) -> None:
    aside = path.with_name(f".{path.name}.last.{os.getpid()}-{next(_numbers)}")
    try:
        os.link(path, aside)
    except FileNotFoundError:
        return
    try:
        aside.replace(_last(path))
    except OSError:
        aside.unlink()
        raise
