"""A node joins, starts, says what it has, and waits for something to do."""

import asyncio
from typing import Annotated

from pydantic import BaseModel, Field

from protocol.messages import (
    CertificateRequest,
    EnrolAnswer,
    EnrolRequest,
    Inventory,
    LevelsAnswer,
    LevelsRequest,
    RunAnswer,
    RunRequest,
    TokenRequest,
    WakeAnswer,
)
from web.api.endpoints import Call
from web.domain.access import NodeActor
from web.services.recorders import joining, nodes
from web.services.recorders.joining import HeldToken
from web.services.work import jobs
from web.sources import source_of


class WakeQuery(BaseModel):
    after: Annotated[int, Field(ge=0)]
    """The change number that the agent knows."""


async def enrol(call: Call, body: EnrolRequest) -> EnrolAnswer:
    """Make a node out of a one-time code, or let it join again."""
    return await joining.enrol(call.controller.db, body, source=source_of(call.request))


async def token(call: Call, held: HeldToken, body: TokenRequest) -> None:
    """Take up another token; the one of this request is good until the other is used."""
    await joining.rotate_token(call.controller.db, held, body)


async def certificate(call: Call, node: NodeActor, body: CertificateRequest) -> None:
    """Announce another client certificate; the present one is good until the other is used."""
    await joining.announce_certificate(call.controller.db, body, node=node)


async def run(call: Call, node: NodeActor, body: RunRequest) -> RunAnswer:
    """Begin a run of the agent; the live leases move to it."""
    return await nodes.begin_run(call.controller.db, body, node=node)


async def inventory(call: Call, node: NodeActor, body: Inventory) -> None:
    """Say what the node has, all of it."""
    await nodes.update_inventory(call.controller.db, body, node=node)


async def wake(call: Call, node: NodeActor, query: WakeQuery) -> WakeAnswer:
    """Wait until something changes for this node, the time is up, or the controller stops.

    No database connection is held meanwhile. The number is read after the waiting began, so that no change is missed.
    """
    controller = call.controller
    clock = asyncio.get_running_loop()
    until = clock.time() + controller.timeouts.wake_held
    with controller.notifications.waiting_for(node.node_id) as changed:
        while True:
            changed.clear()
            news = await jobs.news_of(controller.db, node=node)
            if news.change_no != query.after or controller.stopping.is_set() or clock.time() >= until:
                return news
            await _set_before(changed, until - clock.time())


async def levels(call: Call, node: NodeActor, body: LevelsRequest) -> LevelsAnswer:
    """Say what the watched interfaces hear now."""
    return await call.controller.meters.report(body, node=node)


async def _set_before(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await event.wait()
    except TimeoutError:
        return
