"""Cache files, read."""

from uuid import UUID

from web.domain.access import Scope
from web.domain.cache_files import CacheFile
from web.store.database import Session


async def get(session: Session, cache_file_id: UUID, *, scope: Scope) -> CacheFile:
    """Raises NotFoundError, also for one outside the scope."""
    raise NotImplementedError


async def current_of(session: Session, recording_id: UUID, *, scope: Scope) -> CacheFile | None:
    """The file that stands for this recording, in whatever state; serve it only when `cached`."""
    raise NotImplementedError
