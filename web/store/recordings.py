"""Recordings, read."""

from uuid import UUID

from web.domain.access import Scope
from web.domain.recordings import Recording
from web.store.database import Session


async def get(session: Session, recording_id: UUID, *, scope: Scope) -> Recording:
    """Raises NotFoundError, also for one outside the scope."""
    raise NotImplementedError


async def latest(session: Session, *, scope: Scope, limit: int = 50) -> list[Recording]:
    """Newest first."""
    raise NotImplementedError
