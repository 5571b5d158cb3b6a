"""Which inputs somebody looks at."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from protocol.messages import InterfaceRef
from web.domain.access import Scope
from web.domain.errors import NotFoundError
from web.store.database import Session


@dataclass(frozen=True)
class Watched:
    """An input that somebody looks at."""

    id: UUID
    ref: InterfaceRef
    is_elsewhere: bool
    """Whether pages of another controller show it."""


@dataclass(frozen=True)
class WatchedOfNode:
    node_run: int
    interfaces: list[Watched]


async def keep(
    session: Session, interface_ids: list[UUID], *, controller_id: UUID, seconds: float, scope: Scope
) -> list[UUID]:
    """These inputs, as far as they lie in the scope, stay watched so long; nodes of which one was not watched before.

    The nodes come in the order of their ids.
    """
    rows = await session.rows(
        "keep_watched",
        interface_ids=interface_ids,
        controller_id=controller_id,
        watch=timedelta(seconds=seconds),
        scope=scope.sql,
    )
    return sorted({row["node_id"] for row in rows if row["is_new"]})


async def of_node(session: Session, node_id: UUID, *, controller_id: UUID) -> WatchedOfNode:
    """As the controller of this id sees it. Raises NotFoundError."""
    rows = await session.rows("watched_of_node", node_id=node_id, controller_id=controller_id)
    if not rows:
        raise NotFoundError("node", node_id)
    return WatchedOfNode(
        rows[0]["node_run"],
        [
            Watched(row["id"], InterfaceRef(backend=row["backend"], name=row["name"]), row["is_elsewhere"])
            for row in rows
            if row["id"] is not None
        ],
    )
