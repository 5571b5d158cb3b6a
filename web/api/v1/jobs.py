"""Jobs: the attempts at making recordings."""

from uuid import UUID

from web.api.endpoints import Call
from web.api.v1.models import JobAnswer, JobPage, JobsQuery
from web.domain.access import Actor, Permission
from web.store import job_cards


async def index(call: Call, by: Actor, query: JobsQuery) -> JobPage:
    """List jobs, newest first."""
    by.require(Permission.RECORDING_READ)
    found = await job_cards.latest(
        call.controller.db,
        scope=by.recordings,
        nodes=by.nodes,
        limit=query.limit + 1,
        before=query.before,
        recording_id=query.recording_id,
        states=query.state,
        text=query.text,
        node_id=query.node_id,
    )
    items = [JobAnswer.model_validate(job) for job in found[: query.limit]]
    return JobPage(items=items, next=items[-1].id if len(found) > query.limit else None)


async def show(call: Call, by: Actor, job_id: UUID) -> JobAnswer:
    """Show a job."""
    job = await job_cards.get(call.controller.db, job_id, scope=by.recordings, nodes=by.nodes)
    by.require(Permission.RECORDING_READ, of=job)
    return JobAnswer.model_validate(job)
