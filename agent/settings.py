"""What an operator can set for the agent. Read once; only this module looks at the environment."""

import os
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent.errors import RunFolderError
from protocol.home import default_home, default_run_folder, make_private
from protocol.timeouts import Timeouts

SPILL_FOLDERS_LIMIT = 7


class AgentSettings(BaseSettings):
    """Settings of the form `REELKEEPER_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="REELKEEPER_", frozen=True, extra="ignore")

    home: Path = Field(default_factory=default_home)
    run_folder: Path | None = None
    """Where sockets and states of owners lie; short, since a socket path has 107 bytes."""
    controller_url: str | None = None
    """Overrides the address that the node was enrolled with."""
    allow_plain_http: bool = False
    """Speak HTTP without TLS to other machines too: everybody on the way can read and change what is said."""
    ca_file: Path | None = None
    """PEM: the only authority that is trusted, in place of those of the system."""
    client_certificate: Path | None = None
    """PEM: shown to a controller that asks for one."""
    client_key: Path | None = None
    """PEM; without it the key stands in the file of the certificate."""
    synthetic: bool = True
    """Whether the node offers the synthetic inputs."""
    portaudio: bool = True
    """Whether the node offers the sound devices of this machine."""
    file_inputs: tuple[Path, ...] = ()
    """Sound files, and folders of them, that the node offers as inputs: a JSON list of paths."""
    spill_folders: tuple[Path, ...] = ()
    """Folders on other disks where a capture goes on when the one of this node has no room: a JSON list of paths."""
    reserve_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024
    """Held back on each of these disks, but at most 1 % of it, to end things well when it is full."""
    disk_full_ends_after_seconds: Annotated[float, Field(gt=0)] | None = None
    """A recording without any room ends after so long; None: it stays in the gap for as long as it lasts."""
    uploads_limit: Annotated[int, Field(ge=1, le=64)] = 4
    """Requests that send content at the same time."""
    time_scale: Annotated[float, Field(gt=0)] = 1.0

    @cached_property
    def timeouts(self) -> Timeouts:
        return Timeouts().scaled(self.time_scale)

    @property
    def node_folder(self) -> Path:
        return self.home / "node"

    @property
    def takes_folder(self) -> Path:
        return self.node_folder / "takes"

    @model_validator(mode="after")
    def _keep_key_with_certificate(self) -> "AgentSettings":
        if self.client_key is not None and self.client_certificate is None:
            raise ValueError("client_key needs REELKEEPER_CLIENT_CERTIFICATE")
        return self

    @field_validator("spill_folders")
    @classmethod
    def _absolute(cls, folders: tuple[Path, ...]) -> tuple[Path, ...]:
        if len(folders) > SPILL_FOLDERS_LIMIT or not all(folder.is_absolute() for folder in folders):
            raise ValueError(f"at most {SPILL_FOLDERS_LIMIT} absolute paths")
        return folders

    @property
    def capture_folders(self) -> tuple[Path, ...]:
        """Where audio is written, in the order in which they are filled."""
        return (self.takes_folder, *self.spill_folders)

    @property
    def synthetic_folder(self) -> Path:
        """Where synthetic inputs keep what they were told to do."""
        return self.node_folder / "synthetic"

    @property
    def enrolled(self) -> bool:
        """Whether this node belongs to a controller."""
        return (self.node_folder / "node.json").exists()

    def private_run_folder(self) -> Path:
        """The run folder, made 0700. Raises RunFolderError when it belongs to somebody else."""
        folder = (self.run_folder or default_run_folder(self.home)).absolute()
        try:
            return make_private(folder)
        except OSError as cause:
            raise RunFolderError(f"{cause}. Set REELKEEPER_RUN_FOLDER to a short folder of your own.") from cause


def sound_environment() -> dict[str, str]:
    """Where the sound of this user is, for owners and whoever lists inputs. Nothing here is a secret."""
    kept = (
        "HOME",
        "XDG_RUNTIME_DIR",
        "XDG_CONFIG_HOME",
        "ALSA_CONFIG_PATH",
        "ALSA_CONFIG_DIR",
        "PULSE_SERVER",
        "PULSE_COOKIE",
        "PULSE_RUNTIME_PATH",
        "PULSE_CLIENTCONFIG",
        "PIPEWIRE_REMOTE",
        "PIPEWIRE_RUNTIME_DIR",
        "JACK_DEFAULT_SERVER",
        "JACK_PROMISCUOUS_SERVER",
    )
    return {name: os.environ[name] for name in kept if name in os.environ}


def child_environment() -> dict[str, str]:
    """What a renderer gets to see: enough to start Python, and none of the agent's secrets."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONHASHSEED", "TZ", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ}
