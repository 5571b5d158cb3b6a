"""Webhooks: made, changed, tried and removed; and what each delivery comes to."""

import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import urlsplit
from uuid import UUID

from protocol.ids import new_id
from web.domain.access import Actor, Permission
from web.domain.audit import HIDDEN, Object
from web.domain.errors import ConflictError, ForbiddenError
from web.domain.health import Finding
from web.domain.states import Severity
from web.domain.webhooks import (
    SECRET_BYTES,
    Delivery,
    DeliveryLimits,
    DeliveryState,
    Webhook,
    WebhookRequest,
    needed,
    secret_text,
)
from web.outbound import Outbound, checked_url
from web.services.auditing import audit
from web.services.keys import Keys
from web.store import health_events, tokens, webhooks
from web.store.database import Database, Session
from web.store.webhooks import Due


@dataclass(frozen=True)
class NewWebhook:
    """A webhook that has just been made, or has another secret."""

    webhook: Webhook
    secret: str = field(repr=False)
    """Shown once; sealed in the database."""


@dataclass(frozen=True)
class Sending:
    """What deliveries are made with."""

    db: Database
    keys: Keys
    outbound: Outbound
    limits: DeliveryLimits = field(default_factory=DeliveryLimits)


async def all_webhooks(db: Database, *, by: Actor) -> list[Webhook]:
    """In the order of their names."""
    by.require_everywhere(Permission.SETTINGS_READ)
    return await webhooks.by_name(db)


async def get(db: Database, webhook_id: UUID, *, by: Actor) -> Webhook:
    """Raises NotFoundError."""
    by.require_everywhere(Permission.SETTINGS_READ)
    return await webhooks.get(db, webhook_id)


async def make(db: Database, keys: Keys, wanted: WebhookRequest, *, by: Actor) -> NewWebhook:
    """It hears of what its maker may read, from now on.

    Raises InvalidError for an address that cannot be, ForbiddenError for events that the maker may not read of,
    ConflictError when the name is taken.
    """
    by.require_everywhere(Permission.SETTINGS_EDIT)
    _require_good(wanted, by)
    webhook_id, secret = new_id(), secrets.token_bytes(SECRET_BYTES)
    async with db.transaction() as session:
        if not await webhooks.add(
            session,
            webhook_id,
            wanted,
            sealed_secret=keys.seal(secret, _place(webhook_id)),
            user_id=await _person(session, by),
            created_by=by.name,
        ):
            raise _name_is_taken(wanted.name)
        await audit.note(session, by, "webhook.create", _object(webhook_id, wanted.name), after=_noted(wanted))
        made = await webhooks.get(session, webhook_id)
    return NewWebhook(made, secret_text(secret))


async def change(
    db: Database, webhook_id: UUID, wanted: WebhookRequest, *, seen: int | None = None, by: Actor
) -> Webhook:
    """It hears of what the one who changes it may read. `seen` is the newest entry of the audit that `by` knows of it.

    Raises as `make` does, ChangedMeanwhileError when it was changed behind that, NotFoundError.
    """
    by.require_everywhere(Permission.SETTINGS_EDIT)
    _require_good(wanted, by)
    async with db.transaction() as session:
        await webhooks.lock(session, webhook_id)
        known = await webhooks.get(session, webhook_id)
        await audit.require_unchanged(session, "webhook.edit", _object(webhook_id, known.name), seen=seen)
        if await webhooks.is_name_taken(session, wanted.name, but_by=webhook_id):
            raise _name_is_taken(wanted.name)
        await webhooks.change(session, webhook_id, wanted, user_id=await _person(session, by), created_by=by.name)
        before = _noted(known)
        await audit.note(
            session, by, "webhook.edit", _object(webhook_id, known.name), before=before, after=_noted(wanted)
        )
        return await webhooks.get(session, webhook_id)


async def renew_secret(db: Database, keys: Keys, webhook_id: UUID, *, by: Actor) -> NewWebhook:
    """Another secret, which signs from the next attempt on. Raises NotFoundError."""
    by.require_everywhere(Permission.SETTINGS_EDIT)
    secret = secrets.token_bytes(SECRET_BYTES)
    async with db.transaction() as session:
        known = await webhooks.get(session, webhook_id)
        await webhooks.set_secret(session, webhook_id, keys.seal(secret, _place(webhook_id)))
        await audit.note(session, by, "webhook.renew_secret", _object(webhook_id, known.name))
    return NewWebhook(known, secret_text(secret))


async def enable(db: Database, webhook_id: UUID, *, by: Actor) -> Webhook:
    """What happened meanwhile is not told; what was still owed is. Raises NotFoundError."""
    by.require_everywhere(Permission.SETTINGS_EDIT)
    async with db.transaction() as session:
        known = await webhooks.get(session, webhook_id)
        if not known.is_enabled:
            await webhooks.enable(session, webhook_id)
            await audit.note(session, by, "webhook.enable", _object(webhook_id, known.name))
        return await webhooks.get(session, webhook_id)


async def disable(db: Database, webhook_id: UUID, *, by: Actor) -> Webhook:
    """Raises NotFoundError."""
    by.require_everywhere(Permission.SETTINGS_EDIT)
    async with db.transaction() as session:
        known = await webhooks.get(session, webhook_id)
        if await webhooks.disable(session, webhook_id, None):
            await audit.note(session, by, "webhook.disable", _object(webhook_id, known.name))
        return await webhooks.get(session, webhook_id)


async def remove(db: Database, webhook_id: UUID, *, by: Actor) -> None:
    """With all that is owed to it. Raises NotFoundError."""
    by.require_everywhere(Permission.SETTINGS_EDIT)
    async with db.transaction() as session:
        known = await webhooks.get(session, webhook_id)
        await webhooks.remove(session, webhook_id)
        before = _noted(known)
        await audit.note(session, by, "webhook.delete", _object(webhook_id, known.name), before=before)


async def try_out(db: Database, webhook_id: UUID, *, by: Actor) -> Delivery:
    """Owe it a test, which is sent like everything else. Raises NotFoundError, ConflictError when it is disabled."""
    by.require_everywhere(Permission.SETTINGS_EDIT)
    async with db.transaction() as session:
        known = await _enabled(session, webhook_id)
        owed = await webhooks.owe_test(session, webhook_id, asked_by=by.name)
        await audit.note(session, by, "webhook.test", _object(webhook_id, known.name))
    return owed


async def deliveries(
    db: Database,
    webhook_id: UUID,
    *,
    by: Actor,
    state: DeliveryState | None = None,
    before: int | None = None,
    limit: int,
) -> list[Delivery]:
    """Newest first. Raises NotFoundError."""
    await get(db, webhook_id, by=by)
    return await webhooks.latest_deliveries(db, webhook_id, state=state, before=before, limit=limit)


async def deliver_again(db: Database, webhook_id: UUID, delivery_id: int, *, by: Actor) -> Delivery:
    """Once more, under the same id. Raises NotFoundError, ConflictError when the webhook is disabled."""
    by.require_everywhere(Permission.SETTINGS_EDIT)
    async with db.transaction() as session:
        known = await _enabled(session, webhook_id)
        owed = await webhooks.owe_again(session, webhook_id, delivery_id)
        await audit.note(
            session, by, "webhook.deliver_again", _object(webhook_id, known.name), after={"message": owed.message_id}
        )
    return owed


def may_hear(due: Due) -> bool:
    """Whether who made the webhook may, now, read what the delivery is about."""
    permission = needed(due.delivery.kind)
    if permission is None or due.maker_id is None:
        return True
    held = {} if due.is_maker_disabled else due.held
    return permission in held and held[permission].covers(due.delivery.node_id, due.delivery.folder)


async def give_up_on(session: Session, webhook_id: UUID, reason: str) -> None:
    """Disable a webhook that takes nothing any more, and say so."""
    known = await webhooks.get(session, webhook_id)
    if not await webhooks.disable(session, webhook_id, reason):
        return
    finding = Finding(
        "webhook_disabled",
        Severity.WARNING,
        f"The webhook “{known.name}” was disabled: {reason} Mend the other side, then enable it in the settings.",
    )
    await health_events.add(session, finding, node_id=None, job_id=None)


def secret_of(keys: Keys, due: Due) -> bytes:
    """Raises KeysError."""
    return keys.open(due.sealed_secret, _place(due.delivery.webhook_id))


def _require_good(wanted: WebhookRequest, by: Actor) -> None:
    checked_url(wanted.url)
    for kind in wanted.kinds:
        permission = needed(kind)
        if permission is not None and not by.may(permission):
            raise ForbiddenError(permission)


async def _enabled(session: Session, webhook_id: UUID) -> Webhook:
    known = await webhooks.get(session, webhook_id)
    if not known.is_enabled:
        raise ConflictError(f"The webhook “{known.name}” is disabled; enable it first.")
    return known


async def _person(session: Session, by: Actor) -> UUID | None:
    """Whose eyes it has: of a token, its owner's."""
    if by.kind == "token" and by.id is not None:
        return (await tokens.get(session, by.id)).owner_id
    return by.id


def _place(webhook_id: UUID) -> tuple[str, str, object]:
    return "webhook", "secret", webhook_id


def _object(webhook_id: UUID, name: str) -> Object:
    return Object("webhook", webhook_id, name)


def _noted(wanted: WebhookRequest | Webhook) -> dict[str, object]:
    """Of the address what lies behind its host may be a secret: only that it changed can be seen."""
    parts = urlsplit(wanted.url)
    behind = sha256(wanted.url.encode()).hexdigest()[:8]
    return {"name": wanted.name, "url": f"{parts.scheme}://{parts.netloc}/{HIDDEN} ({behind})", "kinds": wanted.kinds}


def _name_is_taken(name: str) -> ConflictError:
    return ConflictError(f"There is a webhook “{name}” already; choose another name.")
