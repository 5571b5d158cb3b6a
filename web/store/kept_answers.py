"""Answers to requests that have a key of their client, for when such a request comes again."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from web.store.database import Session


@dataclass(frozen=True)
class KeptAnswer:
    id: UUID
    request_digest: str
    status: int
    sealed: bytes


async def take_turn(session: Session, token_id: UUID, key: str) -> None:
    """Waits for another request of this key; until the transaction ends no other one goes on."""
    await session.rows("answer_key_in_turn", token_id=token_id, key=key)


async def get(session: Session, token_id: UUID, key: str, *, valid_seconds: float) -> KeptAnswer | None:
    """None also for one that is older than this."""
    row = await session.row("kept_answer", token_id=token_id, key=key, valid=timedelta(seconds=valid_seconds))
    return None if row is None else KeptAnswer(row["id"], row["request_digest"], row["status"], row["answer"])


async def keep(session: Session, answer: KeptAnswer, token_id: UUID, key: str, *, valid_seconds: float) -> bool:
    """Whether it is kept, and those that are older than this forgotten: not once the token was revoked.

    It holds the token, for which whoever revokes it waits. So it comes last: what the transaction waits for afterwards
    could be held by him.
    """
    if await session.row("hold_token", token_id=token_id) is None:
        return False
    await session.rows("forget_kept_answers", token_id=token_id, valid=timedelta(seconds=valid_seconds))
    await session.rows(
        "keep_answer",
        id=answer.id,
        token_id=token_id,
        key=key,
        request_digest=answer.request_digest,
        status=answer.status,
        answer=answer.sealed,
    )
    return True
