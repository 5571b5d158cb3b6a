"""One listening connection a controller: who waits for a node, and who watches pages, hears of changes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from web.domain.live import MAILBOX_LIMIT, RESYNC, LiveEvent, Mailbox
from web.store.database import Session

_NODE = "reelkeeper_node"
_PAGE = "reelkeeper_page"
_METERS = "reelkeeper_meters"
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 10.0
_log = logging.getLogger(__name__)


class Notifications:
    """Listens on its own connection and connects again for ever; after each connect it wakes everybody."""

    def __init__(self, url: str, *, retry_after: float = 0.5, look_every: float = 10.0) -> None:
        """`look_every` so many seconds the connection is tried out."""
        self._url = url
        self._retry_after = retry_after
        self._look_every = look_every
        self._waiting: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._watching: set[Mailbox] = set()
        self.id = uuid4()
        """Of this controller, so that it knows what it said itself."""

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
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
    def watching_pages(
        self, wants: Callable[[LiveEvent], bool] = lambda _: True, limit: int = MAILBOX_LIMIT
    ) -> Iterator[Mailbox]:
        """A mailbox that gets every event it wants; it has no `resync` until something was missed."""
        mailbox = Mailbox(wants, limit=limit)
        self._watching.add(mailbox)
        try:
            yield mailbox
        finally:
            self._watching.discard(mailbox)

    @property
    def pages(self) -> int:
        """How many are looked at."""
        return len(self._watching)

    def deliver(self, event: LiveEvent) -> None:
        """Put it into every mailbox that wants it; those of other controllers hear nothing of it."""
        for mailbox in self._watching:
            mailbox.put(event)

    def ring_pages(self) -> None:
        """Ends the wait of every mailbox."""
        for mailbox in self._watching:
            mailbox.ring()

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
            await connection.add_listener(_METERS, self._on_meters)
            self._wake_everybody()
            while not connection.is_closed():
                async with asyncio.timeout(_ANSWER_SECONDS):  # a silent peer is no listener
                    await connection.execute("SELECT")
                await _closed_within(connection, self._look_every)
        finally:
            connection.terminate()

    def _wake_everybody(self) -> None:
        """Whatever was notified while nobody listened is lost."""
        for node_id in self._waiting:
            self.wake(node_id)
        self.deliver(RESYNC)

    def _on_node(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        self.wake(UUID(payload))

    def _on_page(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        said = json.loads(payload)
        about, node_id = said.get("id"), said.get("node_id")
        self.deliver(
            LiveEvent(
                said["name"],
                about and UUID(about),
                node_id and UUID(node_id),
                said.get("data", ""),
                said.get("folder"),
                said.get("kind"),
            )
        )

    def _on_meters(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        said = json.loads(payload)
        if said["from"] != str(self.id):
            self.deliver(LiveEvent("meters", UUID(said["id"]), UUID(said["node_id"]), said["data"]))


async def tell_meters(session: Session, events: list[LiveEvent], *, by: UUID) -> None:
    """Other controllers than `by` deliver them to their pages. Each is one notification of less than 8000 bytes."""
    payloads = [
        json.dumps({"from": str(by), "id": str(event.id), "node_id": str(event.node_id), "data": event.data})
        for event in events
    ]
    await session.rows("tell_meters", payloads=payloads)


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
