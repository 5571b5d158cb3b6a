"""What an owner leaves on disk for its agent: who it is, and the secret with which to talk to it.

Knows nothing but files and `/proc`. In a state folder lie `lock` (held by the living owner, released by
the kernel), `state.json`, `socket` and `log`. The state is there as long as the owner has something to close.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.owner.clock import boot_id
from agent.owner.config import Capture, Interface

_MOST_STATE_BYTES = 65_536


class StateError(Exception):
    """A state file holds something else than an owner writes."""


@dataclass(frozen=True)
class Process:
    """One process of one boot: a pid alone may belong to somebody else tomorrow."""

    pid: int
    start_ticks: int
    boot_id: str

    @staticmethod
    def of(pid: int) -> "Process | None":
        """The process that has this pid now, or None."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        after_name = stat[stat.rindex(")") + 2 :].split()
        return None if after_name[0] in "ZX" else Process(pid, int(after_name[19]), boot_id())

    def is_alive(self) -> bool:
        return self == Process.of(self.pid)


@dataclass(frozen=True)
class OwnerState:
    """`state.json`. `folder` is where it was read."""

    folder: Path
    process: Process
    token: str
    interface: Interface
    capture: Capture

    @property
    def socket_path(self) -> Path:
        return self.folder / "socket"


def write_state(state: OwnerState) -> None:
    """Puts the state on disk and reads it back. Raises OSError or StateError when it is not there as written."""
    fields: dict[str, Any] = {
        "process": asdict(state.process),
        "token": state.token,
        "interface": asdict(state.interface),
        "capture": asdict(state.capture),
    }
    write_atomically(state.folder / "state.json", json.dumps(fields).encode())
    if read_state(state.folder) != state:
        raise StateError(f"{state.folder / 'state.json'} does not read back as it was written.")


def read_state(folder: Path) -> OwnerState | None:
    """The state in this folder, or None when there is none. Raises StateError for what is none of ours."""
    path = folder / "state.json"
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_STATE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as cause:
        raise StateError(f"{path} cannot be read: {cause}.") from cause
    try:
        fields = json.loads(text)
        state = OwnerState(
            folder=folder,
            process=Process(**fields["process"]),
            token=fields["token"],
            interface=Interface(**fields["interface"]),
            capture=Capture(**fields["capture"]),
        )
        _check(state)
    except (ValueError, KeyError, TypeError, RecursionError) as cause:
        raise StateError(f"{path} is not the state of an owner.") from cause
    return state


def remove_state(folder: Path) -> None:
    """Durably; a missing state is fine."""
    (folder / "state.json").unlink(missing_ok=True)
    _sync_folder(folder)


def list_states(run_folder: Path) -> list[OwnerState]:
    """The states of all owners, living or dead. One that cannot be read shows when its interface is next started."""
    states = []
    for path in sorted(run_folder.glob("owner-*/state.json")):
        try:
            state = read_state(path.parent)
        except StateError:
            continue
        if state:
            states.append(state)
    return states


@contextmanager
def owner_lock(folder: Path) -> Iterator[bool]:
    """Whether the lock of this folder could be taken; held inside the block, and by the kernel's word until death."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def holds_lock(process: Process, folder: Path) -> bool:
    """Whether this process lives and has our lock file open, unlinked or not: no foreign process does."""
    lock = str((folder / "lock").resolve())
    return process.is_alive() and not {lock, f"{lock} (deleted)"}.isdisjoint(_opened_paths(process.pid))


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces a file by a synced one (0600); whoever reads sees the old or the new one, also after a power cut."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _check(state: OwnerState) -> None:
    texts = (state.token, state.process.boot_id, *asdict(state.interface).values(), state.capture.sample_type)
    numbers = (state.process.pid, state.process.start_ticks, state.capture.channels, state.capture.sample_rate_hz)
    if not all(isinstance(text, str) and text for text in texts):
        raise ValueError("a text is missing")
    if not all(isinstance(number, int) and number > 0 for number in numbers):
        raise ValueError("a number is missing")


def _opened_paths(pid: int) -> Iterator[str]:
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            yield str(entry.readlink())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return  # it ended, or belongs to somebody else; what was seen so far counts


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
