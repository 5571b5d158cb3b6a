"""One listening connection a controller: who waits for a node, and who watches pages, hears of changes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import asyncpg

_NODE = "reelkeeper_node"
_PAGE = "reelkeeper_page"
_CONNECT_SECONDS = 5.0
_LOOK_SECONDS = 10.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PageEvent:
    """Something that pages show has changed. `resync`: anything may have."""

    noun: Literal["recording", "node", "health_event", "resync"]
    id: UUID | None


_RESYNC = PageEvent("resync", None)


class Notifications:
    """Listens on its own connection and connects again for ever; after each connect it wakes everybody."""

    def __init__(self, url: str, *, retry_after: float = 0.5) -> None:
        self._url = url
        self._retry_after = retry_after
        self._waiting: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._watching: set[asyncio.Queue[PageEvent]] = set()

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _log.warning("not listening to the database: %s; trying again", error or type(error).__name__)
            await asyncio.sleep(self._retry_after)

    @contextmanager
    def waiting_for(self, node_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set when the node's change number was raised. Enter before reading the number."""
        changed = asyncio.Event()
        self._waiting[node_id].add(changed)
        try:
            yield changed
        finally:
            self._waiting[node_id].discard(changed)
            if not self._waiting[node_id]:
                del self._waiting[node_id]

    @contextmanager
    def watching_pages(self, limit: int = 100) -> Iterator[asyncio.Queue[PageEvent]]:
        """A queue of page events; when more than `limit` wait, they are replaced by one `resync`."""
        queue: asyncio.Queue[PageEvent] = asyncio.Queue(limit)
        self._watching.add(queue)
        try:
            yield queue
        finally:
            self._watching.discard(queue)

    def waiting_nodes(self) -> list[UUID]:
        """The nodes that somebody waits for; for the periodic look at their change numbers."""
        return list(self._waiting)

    def wake(self, node_id: UUID) -> None:
        """Set the events of this node."""
        for changed in self._waiting.get(node_id, ()):
            changed.set()

    async def _listen(self) -> None:
        connection = await asyncpg.connect(
            self._url, timeout=_CONNECT_SECONDS, server_settings={"application_name": "reelkeeper listener"}
        )
        try:
            await connection.add_listener(_NODE, self._on_node)
            await connection.add_listener(_PAGE, self._on_page)
            self._wake_everybody()
            while not connection.is_closed():
                async with asyncio.timeout(_LOOK_SECONDS):  # a silent peer is no listener
                    await connection.execute("SELECT")
                await _closed_within(connection, _LOOK_SECONDS)
        finally:
            connection.terminate()

    def _wake_everybody(self) -> None:
        """Whatever was notified while nobody listened is lost."""
        for node_id in self._waiting:
            self.wake(node_id)
        for queue in self._watching:
            _put(queue, _RESYNC)

    def _on_node(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        self.wake(UUID(payload))

    def _on_page(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        said = json.loads(payload)
        event = PageEvent(said["noun"], UUID(said["id"]))
        for queue in self._watching:
            _put(queue, event)


def _put(queue: asyncio.Queue[PageEvent], event: PageEvent) -> None:
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        event = _RESYNC
    queue.put_nowait(event)


async def _closed_within(connection: Any, seconds: float) -> None:
    closed = asyncio.Event()

    def note(_connection: Any) -> None:
        closed.set()

    connection.add_termination_listener(note)
    if connection.is_closed():  # before anybody listened for it
        return
    try:
        async with asyncio.timeout(seconds):
            await closed.wait()
    except TimeoutError:
        return
    finally:
        connection.remove_termination_listener(note)
