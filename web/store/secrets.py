"""Digests of access tokens and enrolment codes."""

from datetime import datetime, timedelta
from uuid import UUID

from web.store import tables
from web.store.database import Session


async def add_access_token(session: Session, token_id: UUID, name: str, *, digest: str, created_by: str) -> None:
    await session.rows("add_access_token", id=token_id, name=name, digest=digest, created_by=created_by)


async def access_token(session: Session, token_id: UUID) -> tuple[str, str] | None:
    """Its name and digest."""
    table = tables.AccessToken
    for row in await session.run(table.select(table.name, table.digest).where(table.id == token_id)):
        return row["name"], row["digest"]
    return None


async def add_enrolment_code(
    session: Session, code_id: UUID, node_name: str, *, digest: str, created_by: str, valid_seconds: float
) -> datetime:
    """When it stops to be good."""
    row = await session.row(
        "add_enrolment_code",
        id=code_id,
        node_name=node_name,
        digest=digest,
        created_by=created_by,
        valid=timedelta(seconds=valid_seconds),
    )
    assert row is not None
    expires_at: datetime = row["expires_at"]
    return expires_at


async def use_enrolment_code(session: Session, code_id: UUID, *, digest: str) -> str | None:
    """Use it up; the name of the node that it makes, None when it is not good."""
    row = await session.row("use_enrolment_code", id=code_id, digest=digest)
    return None if row is None else str(row["node_name"])
