"""The audit, which only grows, and the seals over it."""

from collections.abc import Callable, Collection, Sequence
from uuid import UUID

from piccolo.columns.combination import And, WhereRaw
from piccolo.custom_types import Combinable

from web.domain.access import Source
from web.domain.audit import Entry, Filter, NewEntry, Object, Outcome
from web.domain.errors import NotFoundError
from web.domain.seals import Link, Record, Seal
from web.store.database import Row, Session
from web.store.tables import AuditEntry

_IN_WORDS = (
    "to_tsvector('simple', actor_name || ' ' || coalesce(object_name, '') || ' ' || coalesce(reason, ''))"
    " @@ to_tsquery('simple', {})"
)
"""As the index has it."""


async def add(session: Session, entry: NewEntry) -> None:
    """One more, with the next id."""
    await session.rows("add_audit_entry", **_values(entry))


async def tell_saved(session: Session, kind: str, of_id: UUID) -> None:
    """Forms that show this thing, of one of `SETTINGS`, are old once the transaction commits."""
    await session.rows("tell_settings", id=of_id, kind=kind, node_id=of_id if kind == "node" else None)


async def saved_by(session: Session, of_id: UUID, *, after: int, actions: Collection[str]) -> str | None:
    """Who did one of these to a thing last, behind the entry `after`; None when nobody did."""
    row = await session.row("saved_by", id=of_id, after=after, actions=sorted(actions))
    return None if row is None else str(row["actor_name"])


async def newest_of(session: Session, of_id: UUID) -> int:
    """The id of the newest entry about this thing; 0 before the first."""
    row = await session.row("newest_audit_entry_of", id=of_id)
    return 0 if row is None else int(row["id"])


async def add_once(session: Session, entry: NewEntry, *, within_seconds: float) -> None:
    """The same, unless this actor did this to this object within that time."""
    await session.rows("add_audit_entry_once", **_values(entry), within_seconds=within_seconds)


async def get(session: Session, entry_id: int) -> Entry:
    """Raises NotFoundError."""
    row = await session.row("audit_entry", entry_id=entry_id)
    if row is None:
        raise NotFoundError("audit entry", entry_id)
    return _entry(row)


async def matching(
    session: Session, wanted: Filter, *, limit: int, before: int | None = None, up_to: int | None = None
) -> list[Entry]:
    """Newest first; those before the entry `before`, and none newer than `up_to`, if they are given."""
    bounds = [
        *([] if before is None else [AuditEntry.id < before]),
        *([] if up_to is None else [AuditEntry.id <= up_to]),
    ]
    query = AuditEntry.select().where(*bounds, *_conditions(wanted)).order_by(AuditEntry.id, ascending=False)
    return [_entry(row) for row in await session.run(query.limit(limit))]


async def count_newer(session: Session, wanted: Filter, *, than: int, limit: int) -> int:
    """How many match and came after this entry; none are counted beyond `limit`."""
    query = AuditEntry.select(AuditEntry.id).where(AuditEntry.id > than, *_conditions(wanted))
    return len(await session.run(query.limit(limit)))


async def actions(session: Session) -> list[str]:
    """Every action that was noted, in the order of the alphabet."""
    return [row["action"] for row in await session.rows("audit_actions")]


async def oldest(session: Session) -> Entry | None:
    """The oldest entry that is kept."""
    row = await session.row("oldest_audit_entry")
    return None if row is None else _entry(row)


async def newest_id(session: Session) -> int:
    """0 before the first entry."""
    row = await session.row("newest_audit_entry")
    return 0 if row is None else int(row["id"])


async def count_behind(session: Session, *, after: int, up_to: int) -> int:
    """How many entries have these ids, `after` outside."""
    row = await session.row("audit_entries_between", after=after, up_to=up_to)
    return 0 if row is None else int(row["entries"])


async def name_of(session: Session, kind: str, object_id: UUID) -> str | None:
    """What a recording, node, job or interface is called, whoever asks; None when there is none."""
    row = await session.row("audited_object", kind=kind, id=object_id)
    return None if row is None else str(row["name"])


async def oldest_transaction(session: Session) -> int:
    """No transaction with a smaller number is under way any more."""
    row = await session.row("oldest_transaction")
    assert row is not None
    return int(row["number"])


async def own_transaction(session: Session) -> int:
    """The number of this transaction, larger than every one that was given before."""
    row = await session.row("own_transaction")
    assert row is not None
    return int(row["number"])


async def last_seal(session: Session) -> Seal | None:
    row = await session.row("last_audit_seal")
    return None if row is None else Seal(**row)


async def unsealed(session: Session, *, after: int, up_to: int, limit: int) -> list[Record]:
    """Entries without a seal behind an id, in their order."""
    return [_record(row) for row in await session.rows("unsealed_audit", after=after, up_to=up_to, limit=limit)]


async def add_seals(session: Session, seals: Sequence[Seal]) -> None:
    """Also tells pages that there are new entries."""
    await session.rows(
        "add_audit_seals",
        entry_ids=[seal.entry_id for seal in seals],
        numbers=[seal.number for seal in seals],
        hashes=[seal.hash for seal in seals],
    )
    await session.rows("tell_audit")


async def links(session: Session, *, after: int, up_to: int, span: int) -> list[Link]:
    """Entries and seals of the next ids behind `after`, of a span of ids; empty when there is none up to `up_to`."""
    rows = await session.rows("audit_links", after=after, up_to=up_to, span=span)
    return [
        Link(
            row["link_id"],
            None if row["id"] is None else _record(row),
            None if row["hash"] is None else Seal(row["link_id"], row["number"], row["hash"]),
        )
        for row in rows
    ]


def _values(entry: NewEntry) -> dict[str, object]:
    of = entry.of or Object("")
    return {
        "actor_kind": entry.actor_kind,
        "actor_id": entry.actor_id,
        "actor_name": entry.actor_name,
        "action": entry.action,
        "object_kind": of.kind or None,
        "object_id": of.id,
        "object_name": of.name,
        "before": entry.before,
        "after": entry.after,
        "outcome": entry.outcome,
        "reason": entry.reason,
        "address": entry.source.address,
        "request_id": entry.source.request_id,
    }


def _conditions(wanted: Filter) -> list[Combinable]:
    """Only those that are asked for, so that each is planned for what it asks."""
    noun, _, verb = wanted.action.partition(".")
    text = _as_text_query(wanted.text)
    found: list[tuple[object, Callable[[], Combinable]]] = [
        (wanted.actor, lambda: AuditEntry.actor_name == wanted.actor),
        (verb, lambda: AuditEntry.action == wanted.action),
        (noun and not verb, lambda: And(AuditEntry.action >= f"{noun}.", AuditEntry.action < f"{noun}/")),
        (wanted.object_kind, lambda: AuditEntry.object_kind == wanted.object_kind),
        (wanted.object_id, lambda: AuditEntry.object_id == wanted.object_id),
        (wanted.outcome, lambda: AuditEntry.outcome == wanted.outcome),
        (wanted.address, lambda: AuditEntry.address == wanted.address),
        (text, lambda: WhereRaw(_IN_WORDS, text)),
        (wanted.since, lambda: AuditEntry.at >= wanted.since),
        (wanted.until, lambda: AuditEntry.at < wanted.until),
    ]
    return [condition() for is_asked, condition in found if is_asked]


def _as_text_query(text: str) -> str | None:
    """Every word as the beginning of one; quoted, so that none is an operator."""
    words = [word.replace("'", "''").replace("\\", "\\\\") for word in text.replace("\x00", " ").split()]
    return " & ".join(f"'{word}':*" for word in words) or None


def _record(row: Row) -> Record:
    return Record(row["id"], tuple(value for key, value in row.items() if key.startswith("sealed_")))


def _entry(row: Row) -> Entry:
    return Entry(
        id=row["id"],
        at=row["at"],
        actor_kind=row["actor_kind"],
        actor_id=row["actor_id"],
        actor_name=row["actor_name"],
        action=row["action"],
        of=None if row["object_kind"] is None else Object(row["object_kind"], row["object_id"], row["object_name"]),
        before=row["before"],
        after=row["after"],
        outcome=Outcome(row["outcome"]),
        reason=row["reason"],
        source=Source(row["address"], row["request_id"]),
    )
