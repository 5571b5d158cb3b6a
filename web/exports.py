"""What people take along as CSV: which columns, and how each is written."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, tzinfo

from web.csv import csv_lines
from web.domain.acts import in_words
from web.domain.audit import Entry
from web.domain.seals import Seal

_AUDIT = (
    *("id", "time (UTC)", "local time", "zone", "who", "kind of actor", "id of actor", "action", "in words"),
    *("kind of object", "object", "id of object", "outcome", "reason", "before", "after", "address", "request"),
)


async def audit_csv(blocks: AsyncIterator[list[Entry]], head: Seal | None, zone: tzinfo) -> AsyncIterator[str]:
    """The head of the chain stands in the heading, so that every row is an entry."""
    yield csv_lines([[*_AUDIT, "nothing is sealed yet" if head is None else f"sealed up to {head}"]])
    async for entries in blocks:
        yield csv_lines(_audit_cells(entry, zone) for entry in entries)


def exactly(instant: datetime) -> str:
    """UTC to the microsecond, for programs."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _audit_cells(entry: Entry, zone: tzinfo) -> Sequence[object]:
    of = entry.of
    return [
        entry.id,
        exactly(entry.at),
        f"{entry.at.astimezone(zone):%Y-%m-%d %H:%M:%S.%f}",
        str(zone),
        entry.actor_name,
        entry.actor_kind,
        entry.actor_id,
        entry.action,
        in_words(entry.action, entry.outcome),
        of and of.kind,
        of and of.name,
        of and of.id,
        entry.outcome,
        entry.reason,
        None if entry.before is None else json.dumps(entry.before, ensure_ascii=False),
        None if entry.after is None else json.dumps(entry.after, ensure_ascii=False),
        entry.source.address,
        entry.source.request_id,
        None,
    ]
