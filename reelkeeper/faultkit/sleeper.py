"""A Python of its own for a node whose machine can be suspended: whatever it starts hears of it."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from reelkeeper.faultkit import sleeping_clock
from reelkeeper.faultkit.sleeping_clock import FILE, WORD_BYTES

_CONFIG = "pyvenv.cfg"


def why_no_sleep() -> str | None:
    """Why `Sleeper` would fail here, None where it works."""
    if sys.platform != "linux" or not (Path(sys.prefix) / _CONFIG).exists():
        return "Suspends take Linux, and a virtual environment that can be copied."
    return None


class Sleeper:
    """Processes that `python` starts, and all that these start, are suspended together."""

    def __init__(self, folder: Path) -> None:
        """Makes a virtual environment in this new folder, with all that this one has."""
        self.python = str(folder / "bin" / "python")
        self._file = folder / FILE
        own = Path(sysconfig.get_path("purelib"))
        packages = folder / own.relative_to(sys.prefix)
        packages.mkdir(parents=True)
        (folder / "bin").mkdir()
        Path(self.python).symlink_to(Path(sys.executable).resolve())
        shutil.copy(Path(sys.prefix) / _CONFIG, folder / _CONFIG)
        shutil.copy(sleeping_clock.__file__, packages)
        self._file.write_bytes(bytes(WORD_BYTES))
        (packages / "sleeping.pth").write_text(
            f"import site; site.addsitedir({str(own)!r})\n"
            "import pathlib, sys; 'sleeping_clock' in sys.modules or "
            f"__import__('sleeping_clock').install(pathlib.Path({str(self._file)!r}))\n"
        )

    @property
    def ahead_ns(self) -> int:
        """For how long it was suspended in all."""
        return int.from_bytes(self._file.read_bytes(), "little")

    def sleep(self, seconds: float) -> None:
        """So long was it suspended just now; its processes stood still meanwhile."""
        ahead = (self.ahead_ns + round(seconds * 1e9)).to_bytes(WORD_BYTES, "little")
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, ahead, 0)
        finally:
            os.close(descriptor)
