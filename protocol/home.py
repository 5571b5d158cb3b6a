"""Where Reelkeeper keeps its data when nobody said otherwise."""

import hashlib
import os
import stat
from pathlib import Path


def default_home() -> Path:
    """`/var/lib/reelkeeper` for root, else `reelkeeper` in the user's data folder (XDG)."""
    if os.geteuid() == 0:
        return Path("/var/lib/reelkeeper")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "reelkeeper"


def default_run_folder(home: Path) -> Path:
    """A short folder for the sockets of this home: a socket path has at most 107 bytes."""
    short = hashlib.sha256(os.fsencode(home.absolute())).hexdigest()[:8]
    if os.geteuid() == 0:
        return Path("/run/reelkeeper") / short
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "reelkeeper" / short
    return Path(f"/tmp/reelkeeper-{os.geteuid()}") / short


def make_private(folder: Path) -> Path:
    """Makes the folder, 0700. Raises OSError, also when it or the one above belongs to somebody else."""
    for part in (folder.parent, folder):
        part.mkdir(mode=0o700, exist_ok=True, parents=True)
    above, found = folder.parent.lstat(), folder.lstat()
    if above.st_uid not in {0, os.geteuid()} or found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
        raise PermissionError(f"{folder} belongs to another user")
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
    return folder
