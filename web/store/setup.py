"""The first run: its one-time codes, and how far it is."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from piccolo.columns import Column

from web.domain.setup import Setup, Step
from web.store import tables
from web.store.database import Row, Session


async def has_account(session: Session) -> bool:
    """Whether anybody has an account: then there is no first run any more."""
    table = tables.UserAccount
    return bool(await session.run(table.select(table.id).limit(1)))


async def accounts(session: Session) -> int:
    table = tables.UserAccount
    return len(await session.run(table.select(table.id).limit(2)))


async def add_code(session: Session, code_id: UUID, *, digest: str, valid_seconds: float) -> None:
    """A new code. Those that are too old go."""
    await session.rows("add_setup_code", id=code_id, digest=digest, valid=timedelta(seconds=valid_seconds))


async def is_code_good(session: Session, code_id: UUID, *, digest: str) -> bool:
    return await session.row("good_setup_code", id=code_id, digest=digest) is not None


async def spend_codes(session: Session, code_id: UUID, *, digest: str) -> bool:
    """Whether it was good. It is not any more, nor is any other."""
    return await session.row("spend_setup_codes", id=code_id, digest=digest) is not None


async def begin(session: Session, user_id: UUID) -> None:
    await session.rows("begin_setup", user_id=user_id, step=Step.RECORDER)


async def get(session: Session) -> Setup | None:
    for row in await session.run(tables.Setup.select()):
        return _setup(row)
    return None


async def choose_node(session: Session, node_id: UUID) -> None:
    await _advance(session, Step.INPUT, {tables.Setup.node_id: node_id})


async def choose_interface(session: Session, interface_id: UUID) -> None:
    await _advance(session, Step.TRY, {tables.Setup.interface_id: interface_id})


async def keep_try(session: Session, recording_id: UUID) -> None:
    await _advance(session, Step.TRY, {tables.Setup.recording_id: recording_id})


async def end(session: Session, *, put_away: bool) -> None:
    """Notes, once, that it was gone through; with `put_away` also that nobody wants its leftovers any more."""
    await session.rows("end_setup", put_away=put_away)


async def _advance(session: Session, step: Step, chosen: dict[Column | str, Any]) -> None:
    await session.run(tables.Setup.update({**chosen, tables.Setup.step: step.value}, force=True))


def _setup(row: Row) -> Setup:
    return Setup(
        user_id=row["user_id"],
        step=Step(row["step"]),
        node_id=row["node_id"],
        interface_id=row["interface_id"],
        recording_id=row["recording_id"],
        finished_at=row["finished_at"],
        put_away_at=row["put_away_at"],
    )
