"""Remove what grew for a recording that ended otherwise: nobody can seal it any more."""

import structlog

from web.domain.errors import ConflictError
from web.services.content import cache_files
from web.services.content.cache_content import CacheContent
from web.store.database import Database

_log = structlog.get_logger()


async def tick(db: Database, content: CacheContent) -> None:
    """Removes the bytes first and the row last, so that a crash between leaves it to the next tick.

    Only of jobs that were completed by another cache file, or cancelled, and what later content of its own job
    overtook; after any other end there may be salvage.
    """
    for cache_file_id in await cache_files.abandoned(db):
        try:
            await content.discard(cache_file_id)
        except (ConflictError, OSError) as fault:
            _log.warning("abandoned cache file stays", cache_file=str(cache_file_id), reason=str(fault))
            continue
        await cache_files.forget_abandoned(db, cache_file_id)
        _log.info("abandoned cache file removed", cache_file=str(cache_file_id))
