"""What an owner is told when it is started."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from protocol.timeouts import Timeouts

SampleType = Literal["s16", "s24", "s32", "f32"]


class InterfaceLike(Protocol):
    """One sound input of this node; `name` is stable over restarts."""

    @property
    def backend(self) -> str: ...
    @property
    def name(self) -> str: ...


class CaptureLike(Protocol):
    """The format in which an interface is captured."""

    @property
    def channels(self) -> int: ...
    @property
    def sample_rate_hz(self) -> int: ...
    @property
    def sample_type(self) -> SampleType: ...


@dataclass(frozen=True)
class Interface:
    backend: str
    name: str


@dataclass(frozen=True)
class Capture:
    channels: int
    sample_rate_hz: int
    sample_type: SampleType


@dataclass(frozen=True)
class OwnerConfig:
    interface: InterfaceLike
    capture: CaptureLike
    run_folder: Path
    """Private and short: it holds one state folder, with a socket, for each owner."""
    takes_folder: Path
    synthetic_folder: Path
    timeouts: Timeouts
    spill_folders: tuple[Path, ...] = ()
    """Where segments go when the takes folder takes none, in this order."""
    reserve_bytes: int = 0
    """What audio leaves free in each of these folders."""

    @property
    def state_folder(self) -> Path:
        """The same for every owner of this interface, so that its lock is the interface's."""
        key = f"{self.interface.backend}\0{self.interface.name}"
        return self.run_folder / f"owner-{hashlib.sha256(key.encode()).hexdigest()[:8]}"

    def to_json(self) -> str:
        return json.dumps(
            {
                "interface": interface_fields(self.interface),
                "capture": capture_fields(self.capture),
                "run_folder": str(self.run_folder),
                "takes_folder": str(self.takes_folder),
                "synthetic_folder": str(self.synthetic_folder),
                "timeouts": dataclasses.asdict(self.timeouts),
                "spill_folders": [str(folder) for folder in self.spill_folders],
                "reserve_bytes": self.reserve_bytes,
            }
        )

    @staticmethod
    def from_json(text: str) -> "OwnerConfig":
        """Raises ValueError, KeyError or TypeError for anything but the text of `to_json`."""
        fields = json.loads(text)
        return OwnerConfig(
            interface=Interface(**fields["interface"]),
            capture=Capture(**fields["capture"]),
            run_folder=Path(fields["run_folder"]),
            takes_folder=Path(fields["takes_folder"]),
            synthetic_folder=Path(fields["synthetic_folder"]),
            timeouts=Timeouts(**fields["timeouts"]),
            spill_folders=tuple(Path(folder) for folder in fields["spill_folders"]),
            reserve_bytes=fields["reserve_bytes"],
        )


def format_words(capture: CaptureLike) -> str:
    """The same words for the same format."""
    return f"{capture.channels} channels of {capture.sample_type} at {capture.sample_rate_hz} Hz"


def interface_fields(interface: InterfaceLike) -> dict[str, Any]:
    return {"backend": interface.backend, "name": interface.name}


def capture_fields(capture: CaptureLike) -> dict[str, Any]:
    return {
        "channels": capture.channels,
        "sample_rate_hz": capture.sample_rate_hz,
        "sample_type": capture.sample_type,
    }


SYNTHETIC_INTERFACES: dict[str, Capture] = {
    "counter": Capture(2, 48_000, "s16"),
    "counter-32": Capture(32, 48_000, "s32"),
    "tone": Capture(2, 48_000, "s16"),
    "speech": Capture(1, 48_000, "s16"),
}
"""The inputs of backend `synthetic`, each with the only format it has."""
