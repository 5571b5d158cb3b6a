"""Acts are put on the record, in the transaction that does them: what cannot be noted is not done."""

from collections.abc import Mapping
from typing import Any

from web.domain.access import Actor, NodeActor
from web.domain.audit import Object, Outcome, new_entry
from web.store import audit
from web.store.database import Session


async def note(
    session: Session,
    by: Actor | NodeActor,
    action: str,
    of: Object | None = None,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    outcome: Outcome = Outcome.DONE,
    reason: str | None = None,
) -> None:
    """Note one act, `noun.verb`. Of `before` and `after` only what differs is kept, and secrets are hidden.

    Raises DatabaseUnavailableError; the act of the same transaction is then not done either.
    """
    entry = new_entry(by, action, of, before=before, after=after, outcome=outcome, reason=reason)
    await audit.add(session, entry)


async def note_once(session: Session, by: Actor, action: str, of: Object, *, within_seconds: float) -> None:
    """The same for reading, which happens in pieces: no other entry when this actor did it within that time."""
    await audit.add_once(session, new_entry(by, action, of), within_seconds=within_seconds)
