"""Recordings: started, stopped, listed, played and downloaded."""

from functools import partial
from uuid import UUID

from starlette.responses import Response

from web.api.endpoints import Call, token_ended
from web.api.v1.models import (
    CacheFileAnswer,
    ContentAnswer,
    LiveQuery,
    PeaksQuery,
    RecordingAnswer,
    RecordingDetailAnswer,
    RecordingPage,
    RecordingsQuery,
)
from web.domain.access import Actor, Permission
from web.domain.cache_files import CacheFile
from web.domain.recordings import Recording, StartRecording
from web.media import recordings as media
from web.services.work import recordings
from web.services.work import retry as retries
from web.store import cache_files as stored_cache_files
from web.store import recordings as stored_recordings


async def index(call: Call, by: Actor, query: RecordingsQuery) -> RecordingPage:
    """List recordings, newest first."""
    by.require(Permission.RECORDING_READ)
    found = await stored_recordings.latest(
        call.controller.db,
        scope=by.recordings,
        nodes=by.nodes,
        limit=query.limit + 1,
        before=query.before,
        states=query.state,
        text=query.text,
    )
    items = [RecordingAnswer.model_validate(recording) for recording in found[: query.limit]]
    return RecordingPage(items=items, next=items[-1].id if len(found) > query.limit else None)


async def start(call: Call, by: Actor, body: StartRecording) -> RecordingAnswer:
    """Start a recording; the same id again is the same recording."""
    return RecordingAnswer.model_validate(await recordings.start_recording(call.controller.db, body, by=by))


async def show(call: Call, by: Actor, recording_id: UUID) -> RecordingDetailAnswer:
    """Show a recording and the file that stands for it."""
    db = call.controller.db
    recording = await stored_recordings.get(db, recording_id, scope=by.recordings, nodes=by.nodes)
    by.require(Permission.RECORDING_READ, of=recording)
    cache_file = await stored_cache_files.current_of(call.controller.db, recording_id, scope=by.recordings)
    summary = RecordingAnswer.model_validate(recording)
    return RecordingDetailAnswer(**dict(summary), cache_file=None if cache_file is None else _described(cache_file))


async def stop(call: Call, by: Actor, recording_id: UUID) -> RecordingAnswer:
    """Stop a recording; everything up to now is delivered."""
    return RecordingAnswer.model_validate(await recordings.stop_recording(call.controller.db, recording_id, by=by))


async def cancel(call: Call, by: Actor, recording_id: UUID) -> RecordingAnswer:
    """Cancel a recording; nothing is delivered."""
    return RecordingAnswer.model_validate(await recordings.cancel_recording(call.controller.db, recording_id, by=by))


async def retry(call: Call, by: Actor, recording_id: UUID) -> RecordingAnswer:
    """Try again to make a recording that failed or was cancelled; twice is once."""
    return RecordingAnswer.model_validate(await retries.retry_recording(call.controller.db, recording_id, by=by))


async def audio(call: Call, by: Actor, recording_id: UUID) -> Response:
    """Play a recording."""
    return await media.played(call.controller, recording_id, by=by)


async def download(call: Call, by: Actor, recording_id: UUID) -> Response:
    """Download a recording."""
    return await media.downloaded(call.controller, recording_id, by=by)


async def live(call: Call, by: Actor, recording_id: UUID, query: LiveQuery) -> Response:
    """Listen from a moment on, also while it is recorded: one body that goes on as long as the recording does.

    It breaks off soon after the token has ended, or holds `recording:playback` for this recording no more.
    """
    until = partial(_no_longer_heard, call)
    return await media.listened(call.controller, recording_id, query.from_seconds, by=by, until=until)


async def waveform(call: Call, by: Actor, recording_id: UUID) -> Response:
    """Draw a recording: its waveform as audiowaveform `.dat`, version 2."""
    return await media.waveform(call.controller, recording_id, by=by)


async def peaks(call: Call, by: Actor, recording_id: UUID, query: PeaksQuery) -> Response:
    """Draw a part of a recording, also while it grows: the least and the greatest sample of each bin and channel."""
    return await media.peaks(call.controller, recording_id, query.level, query.start, query.count, by=by)


async def ledger(call: Call, by: Actor, recording_id: UUID) -> Response:
    """Hear what happened besides the sound."""
    return await media.ledger(call.controller, recording_id, by=by)


async def _no_longer_heard(call: Call, recording: Recording) -> None:
    await token_ended(call, lambda by: by.may(Permission.RECORDING_PLAYBACK, recording))


def _described(cache_file: CacheFile) -> CacheFileAnswer:
    facts, parts = cache_file.facts, cache_file.parts
    content = None
    if facts is not None and parts is not None:
        content = ContentAnswer(
            bytes=parts["audio"].bytes,
            channels=facts.channels,
            sample_rate_hz=facts.sample_rate_hz,
            frames=facts.frames,
            gaps=facts.gaps,
            end_reason=facts.end_reason,
        )
    return CacheFileAnswer(
        id=cache_file.id,
        state=cache_file.state,
        origin=cache_file.origin,
        codec=cache_file.codec,
        checksum_sha256=cache_file.sha256,
        created_at=cache_file.created_at,
        cached_at=cache_file.cached_at,
        content=content,
    )
