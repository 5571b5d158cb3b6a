"""What the database is, for whoever looks after it."""

from web.domain.system import DatabaseFacts
from web.store.database import Session


async def facts(session: Session) -> DatabaseFacts:
    row = await session.row("database_facts")
    assert row is not None
    return DatabaseFacts(**row)
