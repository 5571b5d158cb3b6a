"""Answers to requests that have a key of their client, for when such a request comes again."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from protocol.ids import new_id
from web.store.database import Session


@dataclass(frozen=True)
class KeptAnswer:
    id: UUID
    request_digest: str
    status: int
    sealed: bytes


async def claim(
    session: Session, token_id: UUID, key: str, *, request_digest: str, valid_seconds: float
) -> UUID | None:
    """Begin the one request of this key; None when there was one. Waits for another that has just begun."""
    await session.rows("forget_kept_answers", token_id=token_id, valid=timedelta(seconds=valid_seconds))
    row = await session.row("claim_kept_answer", id=new_id(), token_id=token_id, key=key, request_digest=request_digest)
    return None if row is None else row["id"]


async def keep(session: Session, answer_id: UUID, *, status: int, sealed: bytes) -> None:
    await session.rows("keep_answer", id=answer_id, status=status, answer=sealed)


async def get(session: Session, token_id: UUID, key: str) -> KeptAnswer | None:
    row = await session.row("kept_answer", token_id=token_id, key=key)
    return None if row is None else KeptAnswer(row["id"], row["request_digest"], row["status"], row["answer"])
