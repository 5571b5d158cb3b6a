"""Read every sealed file back once: for preview and checksum, and to prove that the disk has what was sealed."""

import structlog

from web.domain.cache_files import CacheFile
from web.domain.errors import UnavailableError
from web.services.content import cache_files
from web.services.content.stored_content import StoredContent
from web.services.content.waveforms import Waveforms
from web.store.database import Database

_log = structlog.get_logger()


async def tick(db: Database, stored: StoredContent, waveforms: Waveforms) -> None:
    """Finalises what was sealed and not yet read back, oldest first. A file that differs becomes `damaged`."""
    for cache_file in await cache_files.cached_without_checksum(db):
        await _draw(db, waveforms, cache_file)
        await _finalise(db, stored, cache_file)


async def _draw(db: Database, waveforms: Waveforms, cache_file: CacheFile) -> None:
    try:
        levels = await waveforms.preview(cache_file)
    except (OSError, UnavailableError) as fault:
        _log.error("waveform cannot be read", cache_file=str(cache_file.id), reason=str(fault))
    else:
        await cache_files.keep_preview(db, cache_file, levels)


async def _finalise(db: Database, stored: StoredContent, cache_file: CacheFile) -> None:
    assert cache_file.parts is not None
    readings = {}
    for part, sealed in cache_file.parts.items():
        try:
            readings[part] = await stored.read(cache_file.id, part)
        except FileNotFoundError:
            await cache_files.mark_damaged(
                db, cache_file.id, f"The stored {part} is missing from the controller's cache."
            )
            return
        except OSError as fault:
            _log.error("stored file cannot be read", cache_file=str(cache_file.id), part=part, reason=str(fault))
            return
        if readings[part].found != sealed:
            await cache_files.mark_damaged(db, cache_file.id, f"The stored {part} is not what the node had sealed.")
            return
    await cache_files.set_checksum(db, cache_file.id, readings["audio"].sha256)
