"""What pages are told while they are looked at."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args
from uuid import UUID

from web.domain.access import Permission

Topic = Literal["recording", "job", "node", "health", "settings", "audit"]
TOPICS: frozenset[str] = frozenset(get_args(Topic))
TO_HEAR: Mapping[str, Permission] = {
    "recording": Permission.RECORDING_READ,
    "job": Permission.RECORDING_READ,
    "node": Permission.NODE_READ,
    "health": Permission.HEALTH_READ,
    "settings": Permission.SETTINGS_READ,
    "audit": Permission.AUDIT_READ,
    "meters": Permission.NODE_READ,
}
"""What lets somebody hear of a thing's changes; of settings it hangs on their kind."""
SETTINGS: Mapping[str, Permission] = {
    "profile": Permission.SETTINGS_READ,
    "webhook": Permission.SETTINGS_READ,
    "user": Permission.USER_READ,
    "group": Permission.USER_READ,
    "role": Permission.USER_READ,
    "node": Permission.NODE_READ,
}
"""Kinds of things that people change by forms, with what lets somebody see one."""
SAVED: frozenset[str] = frozenset(
    {
        *("profile.edit", "profile.prefer", "profile.delete"),
        *("webhook.edit", "webhook.enable", "webhook.disable", "webhook.renew_secret", "webhook.delete"),
        *("user.disable", "user.enable", "user.delete", "grant.create", "grant.delete"),
        *("group.edit", "group.join", "group.leave", "group.delete", "role.edit", "role.delete"),
        *("node.describe", "node.edit", "node.name_interface", "node.enable_interface", "node.disable_interface"),
        *("node.drain", "node.end_drain", "node.remove"),
    }
)
"""Acts after which an open form shows what no longer is."""
MAILBOX_LIMIT = 100


@dataclass(frozen=True)
class LiveEvent:
    """Something that pages show has changed."""

    name: Topic | Literal["meters", "session", "access", "resync"]
    """`session`: that one has ended. `access`: what people hold has changed. `resync`: anything may have changed."""
    id: UUID | None
    """Of the thing; of the interface for meters."""
    node_id: UUID | None
    """Whose thing it is; None for what is nobody's."""
    data: str
    """Ids and states, never names; the levels of meters."""
    folder: str | None = None
    """Where the recording lies that it is about."""
    kind: str | None = None
    """Of the settings that were saved."""

    @property
    def to_hear(self) -> Permission:
        """What lets somebody hear of it."""
        return SETTINGS[self.kind] if self.kind else TO_HEAR[self.name]

    @cached_property
    def wire(self) -> bytes:
        """As an event stream carries it; made once for all streams."""
        return f"event: {self.name}\ndata: {self.data}\n\n".encode()


RESYNC = LiveEvent("resync", None, None, "")


class Mailbox:
    """What one page has yet to be told: of each thing the newest only, so that a slow reader costs no more.

    When more things wait than the limit, everything but meters is replaced by one `resync`.
    """

    def __init__(self, wants: Callable[[LiveEvent], bool], *, limit: int = MAILBOX_LIMIT) -> None:
        """`resync` is always wanted."""
        self._wants = wants
        self._limit = limit
        self._waiting: dict[tuple[str, UUID | None], LiveEvent] = {}
        self._meters: dict[UUID | None, LiveEvent] = {}
        self._filled = asyncio.Event()

    def put(self, event: LiveEvent) -> None:
        if event is not RESYNC and not self._wants(event):
            return
        if event.name == "meters":
            self._meters[event.id] = event
        else:
            self._keep(event)
        self._filled.set()

    def ring(self) -> None:
        """Ends a wait although there is nothing new."""
        self._filled.set()

    async def filled_within(self, seconds: float) -> None:
        """Returns once there is something to take or it was rung, and at the latest after this time."""
        try:
            async with asyncio.timeout(seconds):
                await self._filled.wait()
        except TimeoutError:
            return

    def take(self) -> list[LiveEvent]:
        """All that waits, things in the order in which they first changed; meters last."""
        self._filled.clear()
        found = [*self._waiting.values(), *self._meters.values()]
        self._waiting.clear()
        self._meters.clear()
        return found

    def _keep(self, event: LiveEvent) -> None:
        if event is RESYNC or (len(self._waiting) >= self._limit and (event.name, event.id) not in self._waiting):
            self._waiting = {key: one for key, one in self._waiting.items() if one.name == "session"}
            event = event if event.name == "session" else RESYNC
        self._waiting[event.name, event.id] = event
