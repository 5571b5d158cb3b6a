"""Acts are put on the record, in the transaction that does them: what cannot be noted is not done."""

from collections.abc import Mapping
from typing import Any

from web.domain.access import Actor, NodeActor
from web.domain.audit import Object, Outcome, new_entry
from web.domain.errors import ChangedMeanwhileError
from web.domain.live import SAVED
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
    """Note one act, `noun.verb`. Of `before` and `after` only what differs is kept, and secrets are hidden. Open forms
    hear of what was saved.

    Raises DatabaseUnavailableError; the act of the same transaction is then not done either.
    """
    entry = new_entry(by, action, of, before=before, after=after, outcome=outcome, reason=reason)
    await audit.add(session, entry)
    if outcome is Outcome.DONE and action in SAVED and of is not None and of.id is not None:
        await audit.tell_saved(session, of.kind, of.id)


async def note_once(session: Session, by: Actor, action: str, of: Object, *, within_seconds: float) -> None:
    """The same for reading, which happens in pieces: no other entry when this actor did it within that time."""
    await audit.add_once(session, new_entry(by, action, of), within_seconds=within_seconds)


async def require_unchanged(session: Session, action: str, of: Object, *, seen: int | None) -> None:
    """Raises ChangedMeanwhileError when this was done to a thing behind the entry `seen`; None asks for nothing."""
    if seen is None or of.id is None:
        return
    if (who := await audit.saved_by(session, of.id, after=seen, actions=[action])) is not None:
        raise ChangedMeanwhileError(f"“{of.name}” was changed by {who} since you opened it.")
