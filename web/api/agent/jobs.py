"""An agent leases jobs, reports on them and ends them."""

from uuid import UUID

from protocol.messages import ClaimedJob, ClaimRequest, EventsRequest, FinishRequest, HeartbeatAnswer, HeartbeatRequest
from web.api.endpoints import Call
from web.domain.access import NodeActor
from web.services.work import jobs


async def claim_next(call: Call, node: NodeActor, body: ClaimRequest) -> ClaimedJob | None:
    """Lease the next due job of this node; nothing when there is none."""
    return await jobs.claim_next(call.controller.db, body, node=node)


async def heartbeat(call: Call, node: NodeActor, body: HeartbeatRequest) -> HeartbeatAnswer:
    """Renew the leases of all jobs of this node and hear what is wished of them."""
    return await jobs.heartbeat(call.controller.db, body, node=node)


async def finish(call: Call, node: NodeActor, job_id: UUID, body: FinishRequest) -> None:
    """End a job that has no content."""
    await jobs.finish_job(call.controller.db, job_id, body, node=node)


async def events(call: Call, node: NodeActor, body: EventsRequest) -> None:
    """Keep health events, each once."""
    await jobs.record_events(call.controller.db, body, node=node)
