"""What keeps a device from delivering, written down for the owner that follows this one."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.owner.clock import boot_id
from agent.owner.events import OwnerEvent
from agent.owner.state import write_atomically

log = logging.getLogger(__name__)

_NAME = "trouble.json"


@dataclass(frozen=True)
class Trouble:
    """A condition that lasts, and how many owners ended since it began because they could not mend it."""

    event: OwnerEvent
    processes: int = 0


def read_trouble(state_folder: Path) -> Trouble | None:
    """None without any of this boot. A broken one is as good as none: the loss itself stands in the take."""
    path = state_folder / _NAME
    try:
        fields = json.loads(path.read_bytes())
        if fields["boot_id"] != boot_id():
            return None
        return Trouble(OwnerEvent(**fields["event"]), int(fields["processes"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        log.exception("%s cannot be read; what it told begins anew", path)
        return None


def write_trouble(state_folder: Path, trouble: Trouble) -> None:
    """A disk that refuses costs only that the next owner tells of it as of a new one."""
    fields = {"boot_id": boot_id(), "event": asdict(trouble.event), "processes": trouble.processes}
    try:
        write_atomically(state_folder / _NAME, json.dumps(fields).encode())
    except OSError:
        log.exception("the trouble of this device is not written down")


def remove_trouble(state_folder: Path) -> None:
    try:
        (state_folder / _NAME).unlink(missing_ok=True)
    except OSError:
        log.exception("the trouble of this device stays written down")
