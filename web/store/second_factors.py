"""Second factors: sealed secrets, the steps that were taken, and digests of recovery codes."""

from dataclasses import dataclass
from uuid import UUID

from protocol.ids import new_id
from web.store import tables
from web.store.database import Session


@dataclass(frozen=True)
class SecondFactor:
    """Of one account."""

    id: UUID
    sealed: bytes
    is_confirmed: bool
    """One that is not confirmed yet is not asked for."""
    begun_by: UUID | None
    """The session that was told the secret; None for one of an earlier version."""


async def of_user(session: Session, user_id: UUID) -> SecondFactor | None:
    table = tables.SecondFactor
    for row in await session.run(table.select().where(table.user_id == user_id)):
        return SecondFactor(row["id"], row["secret"], row["is_confirmed"], row["begun_by"])
    return None


async def keep(session: Session, factor_id: UUID, user_id: UUID, sealed: bytes, *, begun_by: UUID) -> bool:
    """Whether it is kept, to be confirmed: nothing replaces one that is confirmed."""
    kept = {"id": factor_id, "user_id": user_id, "secret": sealed, "begun_by": begun_by}
    return await session.row("keep_second_factor", **kept) is not None


async def take_step(session: Session, factor_id: UUID, step: int) -> bool:
    """Whether no code of these 30 seconds, or of later ones, was taken before. It is now, and confirms the secret."""
    return await session.row("take_step", id=factor_id, step=step) is not None


async def remove(session: Session, user_id: UUID) -> bool:
    """Whether there was one. Its recovery codes go with it."""
    factors, codes = tables.SecondFactor, tables.RecoveryCode
    found = await session.run(factors.delete().where(factors.user_id == user_id).returning(factors.id))
    await session.run(codes.delete().where(codes.user_id == user_id))
    return bool(found)


async def keep_recovery_codes(session: Session, user_id: UUID, digests: list[str]) -> None:
    """Those that there were are worth nothing any more."""
    await session.rows("keep_recovery_codes", user_id=user_id, ids=[new_id() for _ in digests], digests=digests)


async def spend_recovery_code(session: Session, user_id: UUID, digest: str) -> bool:
    """Whether it was good. It is not any more."""
    return await session.row("spend_recovery_code", user_id=user_id, digest=digest) is not None


async def recovery_codes_left(session: Session, user_id: UUID) -> int:
    table = tables.RecoveryCode
    return len(await session.run(table.select(table.id).where(table.user_id == user_id)))
