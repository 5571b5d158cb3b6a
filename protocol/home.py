"""Where Reelkeeper keeps its data when nobody said otherwise."""

import os
from pathlib import Path


def default_home() -> Path:
    """`/var/lib/reelkeeper` for root, else `reelkeeper` in the user's data folder (XDG)."""
    if os.geteuid() == 0:
        return Path("/var/lib/reelkeeper")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "reelkeeper"
