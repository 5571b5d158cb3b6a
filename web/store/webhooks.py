"""Webhooks, and what is owed to each."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from protocol.ids import new_id
from web.domain.access import Access
from web.domain.errors import NotFoundError
from web.domain.webhooks import TEST_KIND, Delivery, DeliveryLimits, DeliveryState, Webhook, WebhookRequest
from web.store.access import access_in
from web.store.database import Row, Session


@dataclass(frozen=True)
class Due:
    """A delivery that this controller is to make now."""

    delivery: Delivery
    url: str
    sealed_secret: bytes
    now: datetime
    """By the database's clock."""
    owed_seconds: float
    """How long it has been tried."""
    failing_seconds: float
    """How long everything has failed that its webhook was told; 0 when the last one was taken."""
    maker_id: UUID | None
    held: Access
    """By who made the webhook, now."""
    is_maker_disabled: bool


async def add(
    session: Session,
    webhook_id: UUID,
    wanted: WebhookRequest,
    *,
    sealed_secret: bytes,
    user_id: UUID | None,
    created_by: str,
) -> bool:
    """False when the name is taken."""
    row = await session.row(
        "add_webhook",
        id=webhook_id,
        name=wanted.name,
        url=wanted.url,
        kinds=wanted.kinds,
        secret=sealed_secret,
        user_id=user_id,
        created_by=created_by,
    )
    return row is not None


async def by_name(session: Session) -> list[Webhook]:
    return [_webhook(row) for row in await session.rows("webhooks", webhook_id=None)]


async def get(session: Session, webhook_id: UUID) -> Webhook:
    """Raises NotFoundError."""
    row = await session.row("webhooks", webhook_id=webhook_id)
    if row is None:
        raise NotFoundError("webhook", webhook_id)
    return _webhook(row)


async def change(
    session: Session, webhook_id: UUID, wanted: WebhookRequest, *, user_id: UUID | None, created_by: str
) -> None:
    await session.rows(
        "change_webhook",
        id=webhook_id,
        name=wanted.name,
        url=wanted.url,
        kinds=wanted.kinds,
        user_id=user_id,
        created_by=created_by,
    )


async def lock(session: Session, webhook_id: UUID) -> None:
    """Nobody else changes it before the transaction ends."""
    await session.rows("lock_webhook", id=webhook_id)


async def is_name_taken(session: Session, name: str, *, but_by: UUID | None) -> bool:
    return await session.row("webhook_of_name", name=name, but_by=but_by) is not None


async def set_secret(session: Session, webhook_id: UUID, sealed_secret: bytes) -> None:
    await session.rows("set_webhook_secret", id=webhook_id, secret=sealed_secret)


async def enable(session: Session, webhook_id: UUID) -> None:
    await session.rows("enable_webhook", id=webhook_id)


async def disable(session: Session, webhook_id: UUID, trouble: str | None) -> bool:
    """Whether it was enabled."""
    return await session.row("disable_webhook", id=webhook_id, trouble=trouble) is not None


async def remove(session: Session, webhook_id: UUID) -> None:
    await session.rows("remove_webhook", id=webhook_id)


async def owe_test(session: Session, webhook_id: UUID, *, asked_by: str) -> Delivery:
    row = await session.row(
        "owe_test", webhook_id=webhook_id, message_id=new_id(), kind=TEST_KIND, data={"asked_by": asked_by}
    )
    assert row is not None
    return _delivery(row)


async def latest_deliveries(
    session: Session, webhook_id: UUID, *, state: DeliveryState | None = None, before: int | None = None, limit: int
) -> list[Delivery]:
    """Newest first, all or those behind one."""
    rows = await session.rows("newest_deliveries", webhook_id=webhook_id, state=state, before=before, limit=limit)
    return [_delivery(row) for row in rows]


async def owe_again(session: Session, webhook_id: UUID, delivery_id: int) -> Delivery:
    """Raises NotFoundError."""
    row = await session.row("owe_again", webhook_id=webhook_id, id=delivery_id)
    if row is None:
        raise NotFoundError("delivery", delivery_id)
    return _delivery(row)


async def claim_due(session: Session, limits: DeliveryLimits, *, limit: int) -> list[Due]:
    """Of each object the oldest that is owed, none that somebody else is sending."""
    rows = await session.rows(
        "claim_deliveries", claim=timedelta(seconds=limits.claim), limit=limit, each=limits.at_once_each
    )
    return [_due(row) for row in rows]


async def note_delivered(session: Session, due: Due, status: int) -> None:
    await session.rows("note_delivered", id=due.delivery.id, webhook_id=due.delivery.webhook_id, status=status)


async def note_failed(
    session: Session, due: Due, *, status: int | None, error: str, pause_seconds: float | None
) -> None:
    """To be tried again after a pause, or (None) given up."""
    await session.rows(
        "note_failed_delivery",
        id=due.delivery.id,
        webhook_id=due.delivery.webhook_id,
        status=status,
        error=error,
        pause=None if pause_seconds is None else timedelta(seconds=pause_seconds),
    )


async def note_dropped(session: Session, due: Due, reason: str) -> None:
    await session.rows("note_dropped_delivery", id=due.delivery.id, error=reason)


async def forget_old(session: Session, limits: DeliveryLimits) -> None:
    await session.rows("forget_old_deliveries", kept=timedelta(seconds=limits.kept))


def _webhook(row: Row) -> Webhook:
    return Webhook(
        id=row["id"],
        name=row["name"],
        url=row["url"],
        kinds=row["kinds"],
        user_id=row["user_id"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        is_enabled=row["is_enabled"],
        trouble=row["trouble"],
        failing_since=row["failing_since"],
        waiting=row["waiting"],
    )


def _delivery(row: Row | dict[str, Any]) -> Delivery:
    return Delivery(
        id=row["id"],
        webhook_id=row["webhook_id"],
        message_id=row["message_id"],
        kind=row["kind"],
        object_id=row["object_id"],
        node_id=row["node_id"],
        folder=row["folder"],
        data=row["data"],
        happened_at=row["happened_at"],
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        due_at=row["due_at"],
        last_attempt_at=row["last_attempt_at"],
        last_status=row["last_status"],
        last_error=row["last_error"],
    )


def _due(row: Row) -> Due:
    return Due(
        delivery=_delivery(row),
        url=row["url"],
        sealed_secret=row["secret"],
        now=row["now"],
        owed_seconds=row["owed_seconds"],
        failing_seconds=row["failing_seconds"],
        maker_id=row["user_id"],
        held=access_in(row["grants"]),
        is_maker_disabled=row["is_maker_disabled"],
    )
