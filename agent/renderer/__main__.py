"""`python -m agent.renderer JOB_FOLDER`: makes one rendition, alone on its folder by a kernel lock."""

import fcntl
import os
import sys
import time
from pathlib import Path

from agent.job_folder import JobFolder
from agent.renderer.follow import AbandonedError, follow
from agent.renderer.handle import NOT_WRITTEN

LOCK_TRIES = 10
LOCK_PAUSE_SECONDS = 0.02


def main(arguments: list[str]) -> int:
    folder = JobFolder(Path(arguments[0]))
    try:
        lock = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return 0
    if not _take(lock):
        return 0
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    if folder.rendition.exists():
        return 0
    try:
        follow(folder)
    except AbandonedError:
        return 0
    except OSError as fault:
        print(f"{NOT_WRITTEN}{fault.strerror or fault}", file=sys.stderr)
        return 1
    return 0


def _take(lock: int) -> bool:
    """Whether the lock could be had. Who only looks if it is held holds it for a moment, which is waited for."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_SECONDS)
        else:
            return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
