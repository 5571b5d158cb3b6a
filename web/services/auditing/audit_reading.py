"""The audit is read, searched and taken along: by people who may, and on the record."""

from collections.abc import AsyncIterator
from dataclasses import asdict

from web.domain.access import Actor, Permission
from web.domain.audit import Entry, Filter, Object
from web.domain.seals import Seal
from web.services.auditing import audit
from web.store import audit as stored
from web.store.database import Database

_BATCH = 500


async def entries(db: Database, wanted: Filter, *, limit: int, before: int | None = None, by: Actor) -> list[Entry]:
    """Newest first; those before the entry `before`."""
    _require(by)
    return await stored.matching(db, wanted, limit=limit, before=before)


async def entry(db: Database, entry_id: int, *, by: Actor) -> Entry:
    """Raises NotFoundError."""
    _require(by)
    return await stored.get(db, entry_id)


async def count_newer(db: Database, wanted: Filter, *, than: int, limit: int, by: Actor) -> int:
    """How many match that came after an entry; no more than `limit` are counted."""
    _require(by)
    return await stored.count_newer(db, wanted, than=than, limit=limit)


async def actions(db: Database, *, by: Actor) -> list[str]:
    """Every action that was ever noted."""
    _require(by)
    return await stored.actions(db)


async def oldest(db: Database, *, by: Actor) -> Entry | None:
    """The oldest entry that is kept."""
    _require(by)
    return await stored.oldest(db)


async def head(db: Database, *, by: Actor) -> Seal | None:
    """The last seal: up to where the audit is proved."""
    _require(by)
    return await stored.last_seal(db)


async def export(db: Database, wanted: Filter, *, by: Actor) -> AsyncIterator[list[Entry]]:
    """All that match now, newest first, a few hundred at a time. That they were taken is on record before the first.

    Raises ForbiddenError at once, not with the first block.
    """
    by.require_everywhere(Permission.AUDIT_DOWNLOAD)
    up_to = await stored.newest_id(db)
    asked = {key: value for key, value in asdict(wanted).items() if value}
    await audit.note(db, by, "audit.export", Object("audit"), after={**asked, "up_to": up_to})
    return _blocks(db, wanted, up_to)


async def _blocks(db: Database, wanted: Filter, up_to: int) -> AsyncIterator[list[Entry]]:
    before: int | None = None
    while found := await stored.matching(db, wanted, limit=_BATCH, before=before, up_to=up_to):
        yield found
        before = found[-1].id


def _require(by: Actor) -> None:
    by.require_everywhere(Permission.AUDIT_READ)
