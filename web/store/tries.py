"""Tries to sign in, counted for all controllers together."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from web.domain.tries import FORGET_SECONDS, Counter, place
from web.store import tables
from web.store.database import Session

_FORGET = timedelta(seconds=FORGET_SECONDS)


async def take(session: Session, counter: Counter) -> float:
    """Counts one try: 0. Or, while it is too early for one, counts nothing: the seconds to wait."""
    pace = counter.pace
    row = await session.row(
        "take_try",
        key=counter.key,
        free=pace.free,
        first_seconds=pace.first_seconds,
        longest_seconds=pace.longest_seconds,
        first_pause=pace.pause(1),
        forget=_FORGET,
    )
    if row is not None:
        return 0.0
    waiting = await session.row("wait_of_try", key=counter.key)
    return 0.0 if waiting is None else float(waiting["seconds"])


async def give_back(session: Session, counters: Sequence[Counter]) -> None:
    """A try that was right counts for nothing."""
    await session.rows("give_back_tries", keys=[counter.key for counter in counters])


async def is_known(session: Session, user_id: UUID, address: str | None) -> bool:
    """Whether this person has signed in from there before."""
    table = tables.KnownAddress
    found = table.select(table.id).where((table.user_id == user_id) & (table.address == place(address)))
    return bool(await session.run(found))


async def know(session: Session, user_id: UUID, address: str | None) -> None:
    """This person has signed in from there; the newest few places are kept."""
    await session.rows("know_address", user_id=user_id, address=place(address))
