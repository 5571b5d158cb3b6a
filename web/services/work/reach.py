"""Whether somebody can record anywhere at all."""

from web.domain.access import EVERYTHING, Actor, Permission
from web.domain.errors import OutOfReachError
from web.services.access.givers import who_can_give
from web.store import nodes
from web.store.database import Session


async def out_of_reach(session: Session, *, by: Actor, seen_within: float) -> OutOfReachError | None:
    """What keeps `by` from recording on every node. None where he may record on one, or on all that will ever be."""
    scope = by.scope(Permission.RECORDING_CREATE)
    if scope == by.nodes == EVERYTHING:
        return None
    known = await nodes.by_name(session, scope=by.nodes, seen_within=seen_within)
    if any(scope.reaches(node.id) for node in known):
        return None
    return OutOfReachError(await who_can_give(session, by=by))
