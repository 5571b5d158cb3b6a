"""Tell open pages when a node falls silent, and when it is heard again: nobody writes that down."""

from uuid import UUID

from web.domain.access import EVERYTHING
from web.domain.live import LiveEvent
from web.store import nodes
from web.store.database import Database
from web.store.notifications import Notifications


class PresenceWatch:
    """Who was seen at the last look. One a controller: each tells its own pages."""

    def __init__(self) -> None:
        self._seen: dict[UUID, bool] | None = None

    async def tick(self, db: Database, notifications: Notifications) -> None:
        """Tells of every change since the last look. Nothing is asked while no page is open."""
        if not notifications.pages:
            self._seen = None
            return
        found = await nodes.by_name(db, scope=EVERYTHING, seen_within=db.timeouts.node_not_seen)
        seen = {node.id: node.is_seen for node in found}
        before = seen if self._seen is None else self._seen
        for node_id, is_seen in seen.items():
            if before.get(node_id, False) != is_seen:
                word = "online" if is_seen else "offline"
                notifications.deliver(LiveEvent("node", node_id, node_id, f"{node_id} {word}"))
        self._seen = seen
