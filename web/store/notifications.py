"""One listening connection a controller: who waits for a node, and who watches pages, hears of changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal
from uuid import UUID


@dataclass(frozen=True)
class PageEvent:
    """Something that pages show has changed. `resync`: anything may have."""

    noun: Literal["recording", "node", "health_event", "resync"]
    id: UUID | None


class Notifications:
    """Listens on its own connection and connects again for ever; after each connect it wakes everybody."""

    def __init__(self, url: str, *, retry_after: float = 0.5) -> None:
        raise NotImplementedError

    async def run(self) -> None:
        """Listen until cancelled."""
        raise NotImplementedError

    @contextmanager
    def waiting_for(self, node_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set when the node's change number was raised. Enter before reading the number."""
        raise NotImplementedError

    @contextmanager
    def watching_pages(self, limit: int = 100) -> Iterator[asyncio.Queue[PageEvent]]:
        """A queue of page events; when more than `limit` wait, they are replaced by one `resync`."""
        raise NotImplementedError

    def waiting_nodes(self) -> list[UUID]:
        """The nodes that somebody waits for; for the periodic look at their change numbers."""
        raise NotImplementedError

    def wake(self, node_id: UUID) -> None:
        """Set the events of this node."""
        raise NotImplementedError
