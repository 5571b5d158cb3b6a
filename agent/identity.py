"""`node.json`: who this node is. An agent and a command that joins the node again may both be at it."""

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import RejoinedError
from agent.files import read_model, write_model
from agent.states import NodeIdentity

_FILE = "node.json"


def read_identity(folder: Path) -> NodeIdentity:
    """Who the node of this spool is. Raises FileNotFoundError before it was enrolled."""
    return read_model(folder / _FILE, NodeIdentity)


def change_identity(folder: Path, before: NodeIdentity, after: NodeIdentity) -> None:
    """Raises RejoinedError when somebody else has changed it: the node joined again meanwhile."""
    with _held(folder):
        _require_own(folder, before)
        write_model(folder / _FILE, after)


def replace_identity(folder: Path, identity: NodeIdentity) -> None:
    """By what an enrolment gave."""
    with _held(folder):
        write_model(folder / _FILE, identity)


async def require_own_identity(folder: Path, known: NodeIdentity) -> None:
    """Raises RejoinedError when the node joined again meanwhile."""
    await asyncio.to_thread(_require_own, folder, known)


def _require_own(folder: Path, known: NodeIdentity) -> None:
    try:
        found = read_identity(folder)
    except FileNotFoundError:
        return
    if found.token != known.token:
        raise RejoinedError


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """One at a time, by a lock that the kernel releases."""
    descriptor = os.open(folder / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
