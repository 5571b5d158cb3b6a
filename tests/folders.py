"""Folders of whole systems, that go when their test is over."""

import shutil
import time
from contextlib import suppress
from pathlib import Path

PATIENCE_SECONDS = 30.0


def remove(folder: Path) -> None:
    """A server that is just ending may write and remove its own files meanwhile. Raises OSError when it goes on so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        with suppress(OSError):
            shutil.rmtree(folder)
    if folder.exists():
        shutil.rmtree(folder)
