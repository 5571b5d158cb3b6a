"""Say that the controller's own disk has no room for what nodes deliver, as a condition which lasts until it has."""

from web.domain.health import Finding
from web.domain.states import Severity
from web.services.content.cache_content import CacheContent
from web.store import health_events, turns
from web.store.database import Database

KIND = "controller_disk_full"
_FINDING = Finding(
    KIND,
    Severity.CRITICAL,
    "The disk of this controller is full up to its reserve, so uploads are refused. Nodes keep what they recorded "
    "and deliver it when there is room. Make room, or give the cache a larger disk.",
)


async def tick(db: Database, content: CacheContent) -> None:
    """Tells once of every change. Raises OSError, DatabaseUnavailableError."""
    has_room = await content.has_room()
    async with db.transaction() as session:
        if not await turns.take(session, "own disk"):
            return
        is_told = await health_events.is_told(session, KIND)
        if has_room and is_told:
            await health_events.end(session, KIND, node_id=None)
        elif not has_room and not is_told:
            await health_events.begin(session, _FINDING, node_id=None)
