"""What operators should know."""

from uuid import UUID

from web.domain.access import Scope
from web.domain.health import HealthEvent
from web.store.database import Session


async def latest(
    session: Session, *, scope: Scope, recording_id: UUID | None = None, limit: int = 50
) -> list[HealthEvent]:
    """Newest first; of one recording when it is given."""
    raise NotImplementedError
