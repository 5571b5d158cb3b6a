"""A request that has a key of its client is done once, however often it comes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from uuid import UUID

from protocol.ids import new_id
from web.domain.errors import KeyReusedError, UnauthorisedError
from web.services.controller import Controller
from web.store import kept_answers
from web.store.kept_answers import KeptAnswer

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
    came with another request, UnauthorisedError when the token was revoked before the end, and then nothing has
    happened.
    """
    async with controller.db.as_one() as db:
        await kept_answers.take_turn(db, token_id, key)
        known = await kept_answers.get(db, token_id, key, valid_seconds=KEPT_SECONDS)
        if known is None:
            answered = await act(replace(controller, db=db))
            answer_id = new_id()
            sealed = controller.keys.seal(answered.body, _place(answer_id))
            made = KeptAnswer(answer_id, request_digest, answered.status, sealed)
            if not await kept_answers.keep(db, made, token_id, key, valid_seconds=KEPT_SECONDS):
                raise UnauthorisedError
            return answered
    if known.request_digest != request_digest:
        raise KeyReusedError
    return Answered(known.status, controller.keys.open(known.sealed, _place(known.id)), is_repeated=True)


def _place(answer_id: UUID) -> tuple[str, str, object]:
    return "kept_answer", "answer", answer_id
