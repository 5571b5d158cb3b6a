"""Deliver what webhooks are owed: at least once, in the order of each object, and for a day if need be."""

import asyncio
import random
from http import HTTPStatus

import structlog

from web.domain.errors import ControllerError, UnavailableError
from web.domain.webhooks import seconds_in, signed_headers
from web.outbound import Reply
from web.services import webhooks as acts
from web.services.webhooks import Sending
from web.store import webhooks
from web.store.webhooks import Due

EVERY_SECONDS = 1.0
TIDY_EVERY_SECONDS = 3600.0
_ERROR_LIMIT = 500
_log = structlog.get_logger()


class Deliveries:
    """What one controller is sending. One that hangs keeps no other waiting."""

    def __init__(self, sending: Sending) -> None:
        self._sending = sending
        self.under_way: set[asyncio.Task[None]] = set()

    async def tick(self) -> None:
        """Begin what is due now, as far as there is room. Raises DatabaseUnavailableError."""
        free = self._sending.limits.at_once - len(self.under_way)
        if free <= 0:
            return
        for due in await webhooks.claim_due(self._sending.db, self._sending.limits, limit=free):
            task = asyncio.create_task(_deliver(self._sending, due))
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)

    async def tidy(self) -> None:
        """Forget what was done long ago. Raises DatabaseUnavailableError."""
        await webhooks.forget_old(self._sending.db, self._sending.limits)

    async def stop(self) -> None:
        """What is under way is given up here, and sent again once its claim has run out."""
        tasks = list(self.under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _deliver(sending: Sending, due: Due) -> None:
    """One attempt. Whatever goes wrong, others go on; a claim that is not answered runs out."""
    try:
        if not acts.may_hear(due):
            await webhooks.note_dropped(sending.db, due, "Who made this webhook may not read that.")
            return
        await _attempt(sending, due)
    except UnavailableError as fault:
        _log.warning("a delivery was not noted", delivery=due.delivery.id, reason=str(fault))
    except Exception:
        _log.exception("a delivery failed", delivery=due.delivery.id)


async def _attempt(sending: Sending, due: Due) -> None:
    try:
        body = due.delivery.body
        headers = signed_headers(due.delivery.message_id, due.now, body, acts.secret_of(sending.keys, due))
        reply = await sending.outbound.post(due.url, body, headers)
    except ControllerError as fault:
        await _note_failed(sending, due, None, str(fault))
        return
    _log.info(
        "webhook",
        webhook=str(due.delivery.webhook_id),
        message=str(due.delivery.message_id),
        kind=due.delivery.kind,
        status=reply.status,
        seconds=round(reply.seconds, 3),
    )
    if 200 <= reply.status < 300:
        await webhooks.note_delivered(sending.db, due, reply.status)
    else:
        await _note_failed(sending, due, reply, _in_words(reply))


async def _note_failed(sending: Sending, due: Due, reply: Reply | None, error: str) -> None:
    limits, is_gone = sending.limits, reply is not None and reply.status == HTTPStatus.GONE
    pause = limits.pause(due.delivery.attempts, random.uniform(-1, 1))
    if reply is not None:
        pause = max(pause, seconds_in(reply.retry_after, due.now) or 0.0)
    is_over = is_gone or due.owed_seconds + pause > limits.given_up_after
    async with sending.db.transaction() as session:
        await webhooks.note_failed(
            session,
            due,
            status=None if reply is None else reply.status,
            error=error[:_ERROR_LIMIT],
            pause_seconds=None if is_over else pause,
        )
        if is_gone:
            await acts.give_up_on(session, due.delivery.webhook_id, "it answered 410, that it wants nothing more.")
        elif due.failing_seconds > limits.disabled_after:
            hours = round(limits.disabled_after / 3600)
            await acts.give_up_on(session, due.delivery.webhook_id, f"it has taken nothing for {hours} hours.")


def _in_words(reply: Reply) -> str:
    if 300 <= reply.status < 400:
        return f"It answered {reply.status}, and redirects are not followed."
    return f"It answered {reply.status}."
