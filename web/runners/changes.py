"""Look at the change numbers of the nodes that wait, since a notification may have been lost."""

from uuid import UUID

from web.services.work import jobs
from web.store.database import Database
from web.store.notifications import Notifications


class ChangeWatch:
    """What was seen at the last look. One a controller."""

    def __init__(self) -> None:
        self._seen: dict[UUID, int] = {}

    async def tick(self, db: Database, notifications: Notifications) -> None:
        """Wakes every waiting node whose number is another than at the last look: one query for all of them."""
        waiting = notifications.waiting_nodes()
        numbers = await jobs.change_nos_of(db, waiting) if waiting else {}
        for node_id, change_no in numbers.items():
            if self._seen.get(node_id) != change_no:
                notifications.wake(node_id)
        self._seen = numbers
