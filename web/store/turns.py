"""What one of several controllers does at a time."""

from typing import Literal

from web.store.database import Session

_KEYS = {"rescue": 7_233_502, "presence": 7_233_503, "own disk": 7_233_504, "seal": 7_233_505}


async def take(session: Session, work: Literal["rescue", "presence", "own disk", "seal"]) -> bool:
    """Whether this transaction is the one that does it now."""
    row = await session.row("take_turn", key=_KEYS[work])
    return row is not None and bool(row["is_ours"])
