"""Health events: what operators should know."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from protocol.messages import InterfaceRef
from web.api.endpoints import Call
from web.api.v1.models import Answer, PageQuery
from web.domain.access import Actor, Permission
from web.domain.states import Severity
from web.store import health_events


class HealthEventAnswer(Answer):
    id: UUID
    node_id: UUID | None
    """Null is the controller itself."""
    recording_id: UUID | None
    job_id: UUID | None
    interface: InterfaceRef | None
    kind: str
    severity: Severity
    message: str
    state: Literal["open", "acknowledged", "muted", "resolved"]
    happened_at: datetime
    """Or began."""
    is_condition: bool
    """Whether it is something that lasts for a while, not only happens."""
    ended_at: datetime | None
    lasts: bool
    """A condition that is not over, of something that goes on."""


class HealthEventPage(Answer):
    items: list[HealthEventAnswer]
    """Newest first."""
    next: UUID | None
    """For `before`; null on the last page."""


class HealthEventsQuery(PageQuery):
    recording_id: UUID | None = None
    node_id: UUID | None = None


async def index(call: Call, by: Actor, query: HealthEventsQuery) -> HealthEventPage:
    """List health events, newest first."""
    by.require(Permission.HEALTH_READ)
    found = await health_events.latest(
        call.controller.db,
        scope=by.scope(Permission.HEALTH_READ),
        recording_id=query.recording_id,
        node_id=query.node_id,
        before=query.before,
        limit=query.limit + 1,
    )
    items = [HealthEventAnswer.model_validate(event) for event in found[: query.limit]]
    return HealthEventPage(items=items, next=items[-1].id if len(found) > query.limit else None)
