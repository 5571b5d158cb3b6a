"""The chain over the audit goes on, and is proved."""

from dataclasses import dataclass

from web.domain.seals import Break, Head, Seal, break_at, seal_of
from web.store import audit, turns
from web.store.database import Database, Session

_BATCH = 1_000
_SPAN = 2_000
"""Ids that are read at once when the chain is proved."""


@dataclass(frozen=True)
class Horizon:
    """Every entry up to `newest` is there for good once all transactions below `transaction` have ended."""

    newest: int
    transaction: int


@dataclass(frozen=True)
class Proof:
    """What reading the whole chain found."""

    sealed: int
    unsealed: int
    """Entries behind the last seal, which the sealer has not come to yet."""
    head: Seal | None
    fault: Break | None


class Sealer:
    """Seals what is settled. One a controller; several take turns.

    An entry may become visible before one with a smaller id, whose transaction goes on. So after the newest id is read
    this transaction takes its own number: all ids up to there were given to transactions with smaller numbers, and once
    those have ended there is nothing more to come. Nobody waits for it, and it waits for nobody. (The upper end of a
    snapshot would not do in place of that number: transactions beyond it may have begun already.)
    """

    def __init__(self) -> None:
        self._settled = 0
        self._awaited: Horizon | None = None

    async def seal(self, db: Database) -> Seal | None:
        """Everything settled, in the order of ids; answers the head. None before the first entry, and while another
        controller does it.

        Raises DatabaseUnavailableError.
        """
        head, goes_on = await self._step(db, looks_ahead=True)
        while goes_on:
            head, goes_on = await self._step(db, looks_ahead=False)
        return head

    async def _step(self, db: Database, *, looks_ahead: bool) -> tuple[Seal | None, bool]:
        """One batch, and whether there may be more at once."""
        async with db.transaction() as session:
            if not await turns.take(session, "seal"):
                return None, False
            has_looked = await self._look(session, looks_ahead=looks_ahead)
            head = await audit.last_seal(session)
            after = head.entry_id if head else 0
            records = await audit.unsealed(session, after=after, up_to=self._settled, limit=_BATCH)
            seals: list[Seal] = []
            for record in records:
                head = seal_of(record, head)
                seals.append(head)
            if seals:
                await audit.add_seals(session, seals)
            return head, has_looked or len(records) == _BATCH

    async def _look(self, session: Session, *, looks_ahead: bool) -> bool:
        """Whether a new horizon is awaited from now on."""
        if self._awaited is not None and await audit.oldest_transaction(session) >= self._awaited.transaction:
            self._settled, self._awaited = self._awaited.newest, None
        if not looks_ahead or self._awaited is not None:
            return False
        newest = await audit.newest_id(session)
        if newest > self._settled:
            self._awaited = Horizon(newest, await audit.own_transaction(session))
        return self._awaited is not None


async def prove(db: Database, kept: Head | None = None) -> Proof:
    """Reads the whole chain, a little at a time, up to the seal that is the last one now; stops at the first break.

    With `kept` it must also go through that seal. Raises DatabaseUnavailableError.
    """
    newest_id, last = await audit.newest_id(db), await audit.last_seal(db)
    up_to = 0 if last is None else last.entry_id
    head: Seal | None = None
    sealed, met = 0, kept is None
    while links := await audit.links(db, after=head.entry_id if head else 0, up_to=up_to, span=_SPAN):
        for link in links:
            if (fault := break_at(link, head)) is not None:
                return Proof(sealed, 0, head, fault)
            head, sealed = link.seal, sealed + 1
            if kept is not None and link.entry_id == kept.entry_id:
                if head is None or head.hash != kept.hash:
                    return Proof(sealed - 1, 0, head, _rewritten(kept))
                met = True
    if not met and kept is not None:
        words = f"The chain ends before entry {kept.entry_id}, or that is gone; it was sealed when the head was kept."
        return Proof(sealed, 0, head, Break("missing", kept.entry_id, words))
    return Proof(sealed, await audit.count_behind(db, up_to=newest_id, after=up_to), head, None)


def _rewritten(kept: Head) -> Break:
    words = f"Entry {kept.entry_id} has another seal than the one that was kept: the chain was made anew."
    return Break("changed", kept.entry_id, words)
