"""A request that has a key of its client is done once, however often it comes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from uuid import UUID

from web.domain.errors import ConflictError, KeyReusedError
from web.services.controller import Controller
from web.store import kept_answers

KEPT_SECONDS = 24 * 3600.0
KEY_LIMIT = 255


@dataclass(frozen=True)
class Answered:
    status: int
    body: bytes
    is_repeated: bool = False


async def once(
    controller: Controller,
    token_id: UUID,
    key: str,
    *,
    request_digest: str,
    act: Callable[[Controller], Awaitable[Answered]],
) -> Answered:
    """What `act` answers, or what it answered when it was asked for with this key within a day.

    Effect and answer are one transaction, so that a crash leaves both or neither; a twin that comes meanwhile waits.
    What `act` raises undoes everything, and is asked for anew by the next request. Raises KeyReusedError when the key
    came with another request.
    """
    async with controller.db.as_one() as db:
        claimed = await kept_answers.claim(db, token_id, key, request_digest=request_digest, valid_seconds=KEPT_SECONDS)
        if claimed is not None:
            answered = await act(replace(controller, db=db))
            sealed = controller.keys.seal(answered.body, _place(claimed))
            await kept_answers.keep(db, claimed, status=answered.status, sealed=sealed)
            return answered
        known = await kept_answers.get(db, token_id, key)
    if known is None:
        raise ConflictError("The key has just become too old; ask again.")
    if known.request_digest != request_digest:
        raise KeyReusedError
    return Answered(known.status, controller.keys.open(known.sealed, _place(known.id)), is_repeated=True)


def _place(answer_id: UUID) -> tuple[str, str, object]:
    return "kept_answer", "answer", answer_id
