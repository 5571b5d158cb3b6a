"""A PostgreSQL server of our own: our child, on a private socket, never on the network."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from web.domain.errors import ControllerError

Role = Literal["owner", "app", "postgres"]


class EmbeddedPostgresError(ControllerError):
    """The embedded server cannot do what was asked. The text is one line and says what to do."""


class EmbeddedPostgres:
    """`async with EmbeddedPostgres(data_folder, socket_folder) as server:` - running inside, stopped outside."""

    def __init__(self, data_folder: Path, socket_folder: Path) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> EmbeddedPostgres:
        raise NotImplementedError

    async def __aexit__(self, *_: object) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Make the cluster if there is none, end what a dead controller left, and answer queries.

        From then on a server that dies is started again.
        """
        raise NotImplementedError

    async def stop(self) -> None:
        """Fast shutdown, at most 3 s; then immediate, which costs no committed data."""
        raise NotImplementedError

    def url(self, role: Role = "app", database: str = "reelkeeper") -> str:
        raise NotImplementedError
