"""Jobs: who works on what, how it ended, and what can be done about it."""

from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from protocol.messages import Mp3Encoding, Phase
from protocol.timeouts import Timeouts
from web.domain.access import Actor, Permission
from web.domain.jobs import Job
from web.domain.states import JobState
from web.pages.page import controller_of
from web.pages.queries import block, choices, identifier, query_string
from web.rendering import render
from web.store import job_cards, nodes
from web.store import recordings as stored_recordings

_PER_PAGE = 50
_COUNT_LIMIT = 10_000
_TILES = {
    "Active": JobState.RUNNING,
    "Queued": JobState.QUEUED,
    "Completed": JobState.COMPLETED,
    "Failed": JobState.FAILED,
    "Cancelled": JobState.CANCELLED,
}


async def index(request: Request) -> Response:
    request.user.require(Permission.RECORDING_READ)
    db, scope = controller_of(request).db, request.user.recordings
    states, node_id = choices(request, "state", JobState), identifier(request, "node")
    text, before = request.query_params.get("q", "").strip(), identifier(request, "before")
    found = await job_cards.latest(
        db,
        scope=scope,
        nodes=request.user.nodes,
        limit=_PER_PAGE + 1,
        before=before,
        node_id=node_id,
        states=states,
        text=text,
    )
    context = {
        "here": "jobs.index",
        "jobs": found[:_PER_PAGE],
        "older": found[_PER_PAGE - 1].id if len(found) > _PER_PAGE else None,
        "counts": await job_cards.counts(db, scope=scope, limit=_COUNT_LIMIT + 1),
        "count_limit": _COUNT_LIMIT,
        "tiles": _TILES,
        "states": states,
        "text": text,
        "node_id": node_id,
        "nodes": await nodes.by_name(db, scope=request.user.nodes, seen_within=db.timeouts.node_not_seen),
        "query": query_string(request),
        "before": before,
        "is_filtered": bool(states or text or node_id or before),
    }
    return render(request, "pages/jobs/index.html", context, fragment=block(request, "results", "tiles"))


async def row(request: Request) -> Response:
    job = await _job(request)
    return render(request, "partials/_job_row.html", {"job": job}, fragment=None)


async def show(request: Request) -> Response:
    db, job = controller_of(request).db, await _job(request)
    scope, nodes_of_viewer = request.user.recordings, request.user.nodes
    context = {
        "here": "jobs.index",
        "job": job,
        "input_label": await _input_label(request, job),
        "recording": await stored_recordings.get(db, job.recording_id, scope=scope),
        "attempts": await job_cards.latest(
            db, scope=scope, nodes=nodes_of_viewer, recording_id=job.recording_id, limit=_PER_PAGE
        ),
        "history": await job_cards.history(db, job.id, scope=scope),
        "encoding": encoding_in_words(job),
        "grace": grace_in(db.timeouts),
    }
    return render(request, "pages/jobs/show.html", context, fragment="job")


async def _input_label(request: Request, job: Job) -> str | None:
    """What people call its input, for who may know the node; None when it has no other name."""
    found = await nodes.interfaces_of(controller_of(request).db, job.node_id, scope=request.user.nodes)
    return next((one.label for one in found if one.ref == job.settings.interface), None)


def encoding_in_words(job: Job) -> str:
    """`MP3, VBR quality 5`."""
    encoding = job.settings.encoding
    match encoding:
        case Mp3Encoding(bitrate_kbps=None):
            return f"MP3, VBR quality {encoding.vbr_quality}"
        case Mp3Encoding():
            return f"MP3, {encoding.bitrate_kbps} kbit/s"
        case _ if encoding.codec == "flac":
            return f"FLAC, {encoding.bits} bit"
        case _:
            return f"WAV, {encoding.sample_type or job.settings.capture.sample_type}"


@dataclass(frozen=True)
class Grace:
    """How long a job whose node is silent is not given up."""

    seconds: dict[Phase, float]
    orphan_seconds: float
    """An open-ended capture goes on so long after its job was given up: nobody could stop it any more."""


def grace_in(timeouts: Timeouts) -> Grace:
    """From the moment at which the lease runs out."""
    capturing = {Phase.CAPTURING: timeouts.grace_capturing, Phase.FINISHING: timeouts.grace_capturing}
    seconds = {Phase.STARTING: timeouts.grace_starting, **capturing, Phase.UPLOADING: timeouts.grace_uploading}
    return Grace(seconds, timeouts.orphan_capture)


async def _job(request: Request) -> Job:
    job_id: UUID = request.path_params["job_id"]
    by: Actor = request.user
    job = await job_cards.get(controller_of(request).db, job_id, scope=by.recordings, nodes=by.nodes)
    by.require(Permission.RECORDING_READ, of=job)
    return job
