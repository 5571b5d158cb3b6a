"""Sealed secrets, wherever they stand, and which keys sealed them."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from piccolo.columns import Bytea
from piccolo.table import Table

from web.store import tables
from web.store.database import Database, Session


@dataclass(frozen=True)
class SealedColumn:
    """A column whose rows have their secret sealed, by the key that `key_id` of the same table names."""

    of: type[Table]
    name: str

    @property
    def table(self) -> str:
        return self.of._meta.tablename

    def part(self, name: str) -> Any:
        return getattr(self.of, name)


COLUMNS = (
    SealedColumn(tables.SecondFactor, "secret"),
    SealedColumn(tables.Webhook, "secret"),
    SealedColumn(tables.KeptAnswer, "answer"),
)
"""All of them: what is not named here cannot be opened once its key is dropped. The database refuses to drop that."""


async def keys(session: Session) -> list[tuple[UUID, bytes]]:
    """Every key that may have sealed something, with what it sealed to prove itself."""
    table = tables.SealingKey
    return [(row["id"], row["proof"]) for row in await session.run(table.select().order_by(table.created_at))]


async def lock_keys(session: Session) -> list[tuple[UUID, bytes]]:
    """The same; nobody adds another until this transaction ends."""
    await session.rows("hold_sealing_keys")
    return await keys(session)


async def add_key(session: Session, key_id: UUID, proof: bytes) -> None:
    await session.rows("add_sealing_key", id=key_id, proof=proof)


async def forget_key(db: Database, key_id: UUID) -> bool:
    """Whether nothing is sealed by it any more; then it is forgotten here."""
    async with db.transaction() as session:
        await session.rows("hold_sealing_keys")
        for column in COLUMNS:
            found = column.of.select(column.part("id")).where(column.part("key_id") == key_id).limit(1)
            if await session.run(found):
                return False
        await session.run(tables.SealingKey.delete().where(tables.SealingKey.id == key_id))
        return True


async def secrets_of(session: Session, column: SealedColumn, *, but_by: UUID) -> list[tuple[UUID, bytes]]:
    """Row ids and secrets that another key sealed."""
    found = column.of.select(column.part("id"), column.part(column.name)).where(column.part("key_id") != but_by)
    return [(row["id"], row[column.name]) for row in await session.run(found)]


async def replace(session: Session, column: SealedColumn, row_id: UUID, *, old: bytes, new: bytes) -> None:
    """The same secret, sealed anew, unless it was changed meanwhile."""
    secret: Bytea = column.part(column.name)
    await session.run(column.of.update({secret: new}).where(column.part("id") == row_id, secret == old))
