"""The audit: searched, and taken along."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response, StreamingResponse

from web.api.endpoints import NO_STORE, Call
from web.api.v1.models import Answer
from web.domain.access import Actor
from web.domain.audit import Entry, Filter, Outcome
from web.services.auditing import audit_reading

JSON_LINES = "application/x-ndjson"
Number = Annotated[int, Field(ge=1, le=2**63 - 1)]
Words = Annotated[str, Field(max_length=200)]


def _no_number(value: object) -> object:
    """Seconds since an epoch are not what is asked for."""
    if isinstance(value, str) and "-" in value[1:]:
        return value
    raise ValueError("write an instant as 2026-11-21T18:00:00Z")


Instant = Annotated[AwareDatetime, BeforeValidator(_no_number)]


class ObjectAnswer(Answer):
    kind: str
    id: UUID | None
    name: str | None


class EntryAnswer(Answer):
    id: int
    at: datetime
    actor_kind: str
    actor_id: UUID | None
    actor_name: str
    action: str
    of: ObjectAnswer | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    outcome: Outcome
    reason: str | None
    address: str | None
    request_id: UUID | None


class EntryPage(Answer):
    items: list[EntryAnswer]
    """Newest first."""
    next: int | None
    """For `before`; null on the last page."""


class AuditFilter(BaseModel):
    model_config = ConfigDict(extra="forbid")

    actor: Words = ""
    action: Words = ""
    """`noun.verb`, or a noun alone."""
    object_kind: Words = ""
    object_id: UUID | None = None
    outcome: Outcome | None = None
    address: Words = ""
    text: Words = ""
    """Beginnings of words in names and reasons, all of them."""
    since: Instant | None = None
    until: Instant | None = None
    """Outside."""


class AuditQuery(AuditFilter):
    limit: Annotated[int, Field(ge=1, le=500)] = 50
    before: Number | None = None
    """Go on behind this one."""


async def index(call: Call, by: Actor, query: AuditQuery) -> EntryPage:
    """Search the audit, newest first."""
    found = await audit_reading.entries(
        call.controller.db, _filter(query), limit=query.limit + 1, before=query.before, by=by
    )
    items = [_answer(entry) for entry in found[: query.limit]]
    return EntryPage(items=items, next=items[-1].id if len(found) > query.limit else None)


async def show(call: Call, by: Actor, entry_id: Number) -> EntryAnswer:
    """Show an entry of the audit."""
    return _answer(await audit_reading.entry(call.controller.db, entry_id, by=by))


async def export(call: Call, by: Actor, query: AuditFilter) -> Response:
    """Take along all that matches, one entry a line; this is itself on the record."""
    blocks = await audit_reading.export(call.controller.db, _filter(query), by=by)
    return StreamingResponse(_lines(blocks), headers=NO_STORE, media_type=JSON_LINES)


async def _lines(blocks: AsyncIterator[list[Entry]]) -> AsyncIterator[str]:
    async for entries in blocks:
        yield "".join(f"{_answer(entry).model_dump_json()}\n" for entry in entries)


def _filter(query: AuditFilter) -> Filter:
    return Filter(**query.model_dump(include=set(AuditFilter.model_fields)))


def _answer(entry: Entry) -> EntryAnswer:
    return EntryAnswer(
        id=entry.id,
        at=entry.at,
        actor_kind=entry.actor_kind,
        actor_id=entry.actor_id,
        actor_name=entry.actor_name,
        action=entry.action,
        of=None if entry.of is None else ObjectAnswer.model_validate(entry.of),
        before=entry.before,
        after=entry.after,
        outcome=entry.outcome,
        reason=entry.reason,
        address=entry.source.address,
        request_id=entry.source.request_id,
    )
