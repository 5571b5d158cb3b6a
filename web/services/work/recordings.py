"""Start, stop and cancel recordings."""

from datetime import datetime
from uuid import UUID

from protocol.fit import misfit
from protocol.ids import new_id
from protocol.messages import JobSettings, Wish
from web.domain.access import Actor, Permission
from web.domain.audit import Object
from web.domain.channels import channel_map
from web.domain.errors import (
    CapacityError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NodeDrainingError,
    NodeFullError,
    NotFoundError,
)
from web.domain.leases import rises
from web.domain.nodes import MINIMUM_BYTES, Interface, Node
from web.domain.profiles import Profile
from web.domain.recordings import Recording, StartRecording
from web.domain.states import JobState
from web.services.auditing import audit
from web.services.work.endings import end_without_content
from web.services.work.reach import out_of_reach
from web.store import jobs, nodes, profiles, recordings
from web.store.database import Database, Session
from web.store.nodes import LockedNode

LEAD_SECONDS = 10.0
"""A job may be claimed so long before its start: no request stands between the instant and the first sample."""


async def start_recording(db: Database, request: StartRecording, *, by: Actor) -> Recording:
    """Make a recording and its first job, once per `request.id`, however often it is asked for.

    Raises NotFoundError (node, profile or interface not known to the actor), OutOfReachError (no node at all is),
    ForbiddenError (not on this node, or not in this folder), InvalidError (no preferred interface, channels beyond the
    capture format, what does not fit the profile, an input that is not connected, a window that is over),
    CapacityError when the node is busy, NodeDrainingError when it takes on nothing new, NodeFullError when it can
    write nowhere, ConflictError when the id was used for another request.
    """
    by.require(Permission.RECORDING_CREATE)
    async with db.transaction() as session:
        node = await _node(session, request.node_id, by, seen_within=db.timeouts.node_not_seen)
        _require_place(request, by)
        if await _is_known(session, request):
            return await recordings.get(session, request.id, scope=by.recordings, nodes=by.nodes)
        profile = await profiles.get(session, request.profile_id)
        settings = _settings(request, profile, node, await _interface(session, request, node.name, by))
        await _check(session, request, node)
        locked = await nodes.lock(session, node.id)
        if not await _is_known(session, request):
            require_takes_on(locked)
            await require_capacity(session, locked, request.starts_at, by=by)
            await _make(session, request, settings, profile.id, by)
        return await recordings.get(session, request.id, scope=by.recordings, nodes=by.nodes)


async def stop_recording(db: Database, recording_id: UUID, *, by: Actor) -> Recording:
    """Wish for the end: what was captured until now is delivered. Twice is once; before the claim it cancels."""
    return await _wish(db, recording_id, Wish.STOP, by)


async def cancel_recording(db: Database, recording_id: UUID, *, by: Actor) -> Recording:
    """Wish for the end without delivering. After the end nothing changes."""
    return await _wish(db, recording_id, Wish.CANCEL, by)


def require_takes_on(node: LockedNode) -> None:
    """Raises NodeDrainingError."""
    if node.is_draining:
        raise NodeDrainingError(node.name)


async def require_capacity(session: Session, node: LockedNode, starts_at: datetime | None, *, by: Actor) -> None:
    """Raises CapacityError when a start at this instant, or now, is one too many. Later ones are not counted yet."""
    if starts_at is not None and not await jobs.is_over(session, starts_at):
        return
    busy = await jobs.busy_recordings(session, node.id, scope=by.recordings)
    if len(busy) >= node.capacity:
        raise CapacityError(node.name, node.capacity, busy)


async def _node(session: Session, node_id: UUID, by: Actor, *, seen_within: float) -> Node:
    try:
        return await nodes.get(session, node_id, scope=by.nodes, seen_within=seen_within)
    except NotFoundError:
        if fault := await out_of_reach(session, by=by, seen_within=seen_within):
            raise fault from None
        raise


def _require_place(request: StartRecording, by: Actor) -> None:
    """Raises ForbiddenError. Who starts a recording must be able to see it."""
    needed = [Permission.RECORDING_CREATE, Permission.RECORDING_READ]
    for permission in [*needed, Permission.UPLOAD_CREATE] if request.upload_policy_ids else needed:
        if not by.may(permission, request.place):
            raise ForbiddenError(permission)


async def _is_known(session: Session, request: StartRecording) -> bool:
    digest = await recordings.request_digest(session, request.id)
    if digest is not None and digest != request.digest():
        raise ConflictError(f"The id {request.id} was used for another request; take a new one.")
    return digest is not None


async def _interface(session: Session, request: StartRecording, node_name: str, by: Actor) -> Interface:
    all_of_node = await nodes.interfaces_of(session, request.node_id, scope=by.nodes)
    names = ", ".join(f"“{interface.ref.name}”" for interface in all_of_node) or "none"
    if request.interface is None:
        found = next((interface for interface in all_of_node if interface.is_preferred), None)
        lacking = f"{node_name} has no preferred input; choose one of: {names}."
    else:
        found = next((interface for interface in all_of_node if interface.ref == request.interface), None)
        lacking = f"{node_name} has no input “{request.interface.name}”; it has: {names}."
    if found is None:
        raise InvalidError(lacking, field="interface")
    if not found.is_enabled:
        raise InvalidError(
            f"“{found.label}” of {node_name} is switched off; switch it on on the node's page, or choose another.",
            field="interface",
        )
    if not found.is_present and request.starts_at is None:
        raise InvalidError(
            f"“{found.ref.name}” is not connected to {node_name} now; connect it or choose another.", field="interface"
        )
    return found


def _settings(request: StartRecording, profile: Profile, node: Node, interface: Interface) -> JobSettings:
    mode, capture = request.output or profile.channel_mode, interface.capture
    _require_armed(request, interface)
    rows = channel_map(request.channels, mode, capture.channels, interface.label)
    _require_fit(profile, len(rows), capture.sample_rate_hz)
    return JobSettings(
        interface=interface.ref,
        capture=capture,
        channel_map=rows,
        encoding=profile.encoding,
        minimum_bytes=next(
            least for least in (profile.minimum_bytes, node.minimum_bytes, MINIMUM_BYTES) if least is not None
        ),
        limits=request.limits.over(profile.limits),
        preroll_ms=request.preroll_ms,
        starts_at=request.starts_at,
        ends_at=request.ends_at,
        duration_ms=request.duration_ms,
    )


def _require_armed(request: StartRecording, interface: Interface) -> None:
    kept_seconds = interface.preroll_seconds
    if request.preroll_ms > kept_seconds * 1000:
        kept = f"keeps the last {kept_seconds} s only" if kept_seconds else "is not armed, so nothing of before is kept"
        raise InvalidError(f"“{interface.label}” {kept}; begin later.", field="preroll_ms")


def _require_fit(profile: Profile, channels: int, sample_rate_hz: int) -> None:
    lacking = misfit(profile.encoding, channels, sample_rate_hz)
    if lacking is not None:
        would_fit = misfit(profile.encoding, 1, sample_rate_hz) is None
        raise InvalidError(lacking, field="channels" if would_fit else "profile_id")


async def _check(session: Session, request: StartRecording, node: Node) -> None:
    if request.window_ends_at is not None and await jobs.is_over(session, request.window_ends_at):
        field = "ends_at" if request.ends_at is not None else "starts_at"
        raise InvalidError("This window is over; choose a later end.", field=field)
    if unknown := await profiles.unknown_upload_policies(session, request.upload_policy_ids):
        raise InvalidError(f"There is no upload policy {unknown[0]}.", field="upload_policy_ids")
    if not node.has_space and (request.starts_at is None or await jobs.is_over(session, request.starts_at)):
        raise NodeFullError(node.name, [(spool.path, spool.standing) for spool in node.spools])


async def _make(session: Session, request: StartRecording, settings: JobSettings, profile_id: UUID, by: Actor) -> None:
    if not await recordings.add(session, request, profile_id=profile_id, created_by=by.name):
        await _is_known(session, request)  # by a start on another node, which must have another body
        return
    job_id = new_id()
    await jobs.add(
        session,
        job_id,
        recording_id=request.id,
        node_id=request.node_id,
        settings=settings,
        lead=LEAD_SECONDS,
    )
    await jobs.add_event(session, job_id, epoch=0, kind="created", actor=by.name)
    await jobs.tell(session, job_id)
    await nodes.raise_change_no(session, request.node_id)
    await recordings.tell(session, request.id)
    of = Object("recording", request.id, request.name)
    after = request.model_dump(mode="json", exclude={"id", "name"}, exclude_defaults=True)
    await audit.note(session, by, "recording.start", of, after=after | {"interface": settings.interface.name})


async def _wish(db: Database, recording_id: UUID, wish: Wish, by: Actor) -> Recording:
    by.require(Permission.RECORDING_CONTROL)
    async with db.transaction() as session:
        by.require(
            Permission.RECORDING_CONTROL,
            await recordings.get(session, recording_id, scope=by.recordings),
        )
        job_id, node_id = await jobs.newest_of(session, recording_id)
        await nodes.lock(session, node_id)
        job = await jobs.lock(session, job_id)
        if not job.state.is_terminal and rises(job.wish, wish):
            await jobs.raise_wish(session, job_id, wish)
            of = Object("recording", recording_id)
            await audit.note(session, by, f"recording.{wish}", of, before={"wish": job.wish}, after={"wish": wish})
            await jobs.add_event(session, job_id, epoch=job.epoch, kind=f"{wish}_wished", actor=by.name)
            if job.state is JobState.QUEUED:
                await end_without_content(
                    session,
                    job_id,
                    recording_id,
                    epoch=job.epoch,
                    state=JobState.CANCELLED,
                    reason="ended_before_start",
                    message="It was ended before the node had taken it, so nothing was captured.",
                    was_asked=True,
                    by=by,
                )
            await nodes.raise_change_no(session, node_id)
            await jobs.tell(session, job_id)
            await recordings.tell(session, recording_id)
        return await recordings.get(session, recording_id, scope=by.recordings, nodes=by.nodes)
