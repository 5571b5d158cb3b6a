"""Webhooks: made, changed, tried, and what became of each delivery."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from web.api.endpoints import Call
from web.api.v1.models import Answer
from web.domain.access import Actor
from web.domain.webhooks import DeliveryState, WebhookRequest
from web.services import webhooks

Number = Annotated[int, Field(ge=1, le=2**63 - 1)]


class WebhookAnswer(Answer):
    id: UUID
    name: str
    url: str
    kinds: list[str]
    user_id: UUID | None
    """It hears of what this person may read; null is the controller's own machine."""
    created_by: str
    created_at: datetime
    is_enabled: bool
    trouble: str | None
    """Why the controller disabled it."""
    failing_since: datetime | None
    waiting: int
    """Deliveries that are owed."""


class NewWebhookAnswer(WebhookAnswer):
    secret: str
    """That signs its deliveries; shown only this once."""


class WebhookList(Answer):
    items: list[WebhookAnswer]
    """In the order of their names."""


class DeliveryAnswer(Answer):
    id: int
    message_id: UUID
    """The same at each attempt: `webhook-id` is `msg_` and this without dashes."""
    kind: str
    object_id: UUID
    """Of the recording or the health event."""
    data: Mapping[str, Any]
    happened_at: datetime
    state: DeliveryState
    attempts: int
    due_at: datetime
    """When it is tried next, while it is waiting."""
    last_attempt_at: datetime | None
    last_status: int | None
    """Of the last answer; null when there was none."""
    last_error: str | None


class DeliveryPage(Answer):
    items: list[DeliveryAnswer]
    """Newest first."""
    next: int | None
    """For `before`; null on the last page."""


class DeliveriesQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=100)] = 50
    before: Number | None = None
    """Go on behind this one."""
    state: DeliveryState | None = None


async def index(call: Call, by: Actor) -> WebhookList:
    """List the webhooks."""
    found = await webhooks.all_webhooks(call.controller.db, by=by)
    return WebhookList(items=[WebhookAnswer.model_validate(one) for one in found])


async def create(call: Call, by: Actor, body: WebhookRequest) -> NewWebhookAnswer:
    """Make a webhook, which hears of what its maker may read."""
    made = await webhooks.make(call.controller.db, call.controller.keys, body, by=by)
    return NewWebhookAnswer(**dict(WebhookAnswer.model_validate(made.webhook)), secret=made.secret)


async def show(call: Call, by: Actor, webhook_id: UUID) -> WebhookAnswer:
    """Show a webhook."""
    return WebhookAnswer.model_validate(await webhooks.get(call.controller.db, webhook_id, by=by))


async def change(call: Call, by: Actor, webhook_id: UUID, body: WebhookRequest) -> WebhookAnswer:
    """Change a webhook, which from then on hears of what the one may read who changed it."""
    return WebhookAnswer.model_validate(await webhooks.change(call.controller.db, webhook_id, body, by=by))


async def remove(call: Call, by: Actor, webhook_id: UUID) -> None:
    """Remove a webhook and what it is owed."""
    await webhooks.remove(call.controller.db, webhook_id, by=by)


async def renew_secret(call: Call, by: Actor, webhook_id: UUID) -> NewWebhookAnswer:
    """Sign with another secret from the next attempt on."""
    made = await webhooks.renew_secret(call.controller.db, call.controller.keys, webhook_id, by=by)
    return NewWebhookAnswer(**dict(WebhookAnswer.model_validate(made.webhook)), secret=made.secret)


async def enable(call: Call, by: Actor, webhook_id: UUID) -> WebhookAnswer:
    """Enable a webhook; what happened meanwhile is not told."""
    return WebhookAnswer.model_validate(await webhooks.enable(call.controller.db, webhook_id, by=by))


async def disable(call: Call, by: Actor, webhook_id: UUID) -> WebhookAnswer:
    """Disable a webhook."""
    return WebhookAnswer.model_validate(await webhooks.disable(call.controller.db, webhook_id, by=by))


async def try_out(call: Call, by: Actor, webhook_id: UUID) -> DeliveryAnswer:
    """Send a test; its delivery tells how it went."""
    return DeliveryAnswer.model_validate(await webhooks.try_out(call.controller.db, webhook_id, by=by))


async def deliveries(call: Call, by: Actor, webhook_id: UUID, query: DeliveriesQuery) -> DeliveryPage:
    """List what a webhook was owed within the last days."""
    found = await webhooks.deliveries(
        call.controller.db, webhook_id, by=by, state=query.state, before=query.before, limit=query.limit + 1
    )
    items = [DeliveryAnswer.model_validate(one) for one in found[: query.limit]]
    return DeliveryPage(items=items, next=items[-1].id if len(found) > query.limit else None)


async def deliver_again(call: Call, by: Actor, webhook_id: UUID, delivery_id: Number) -> DeliveryAnswer:
    """Deliver once more, under the same id."""
    return DeliveryAnswer.model_validate(
        await webhooks.deliver_again(call.controller.db, webhook_id, delivery_id, by=by)
    )
