"""Recordings: started, stopped, listed, played and downloaded."""

from uuid import UUID

from protocol.messages import PartName
from web.api.endpoints import Call
from web.api.files import Disposition, FileResponse, StoredFile, download_name
from web.api.v1.models import (
    CacheFileAnswer,
    ContentAnswer,
    RecordingAnswer,
    RecordingDetailAnswer,
    RecordingPage,
    RecordingsQuery,
)
from web.domain.access import Actor, Permission
from web.domain.cache_files import CacheFile
from web.domain.errors import NotCachedError
from web.domain.recordings import Recording, StartRecording
from web.domain.states import CacheState
from web.services import recordings
from web.store import cache_files as stored_cache_files
from web.store import recordings as stored_recordings

_WHY_NOT = {
    CacheState.NONE: "Nothing of this recording has arrived here yet.",
    CacheState.RECEIVING: "This recording is still growing; it can be had once it has ended and was checked.",
    CacheState.REMOVED: "The file was removed by retention.",
    CacheState.DAMAGED: "The stored file is damaged and is not given out.",
}
_WHY_OWED = "This recording ended before all of it had arrived; its node delivers the rest when it is back."


async def index(call: Call, by: Actor, query: RecordingsQuery) -> RecordingPage:
    """List recordings, newest first."""
    by.require(Permission.RECORDING_READ)
    found = await stored_recordings.latest(
        call.controller.db, scope=by.scope, limit=query.limit + 1, before=query.before, state=query.state
    )
    items = [RecordingAnswer.model_validate(recording) for recording in found[: query.limit]]
    return RecordingPage(items=items, next=items[-1].id if len(found) > query.limit else None)


async def start(call: Call, by: Actor, body: StartRecording) -> RecordingAnswer:
    """Start a recording; the same id again is the same recording."""
    return RecordingAnswer.model_validate(await recordings.start_recording(call.controller.db, body, by=by))


async def show(call: Call, by: Actor, recording_id: UUID) -> RecordingDetailAnswer:
    """Show a recording and the file that stands for it."""
    recording = await _get(call, by, recording_id, Permission.RECORDING_READ)
    cache_file = await stored_cache_files.current_of(call.controller.db, recording_id, scope=by.scope)
    summary = RecordingAnswer.model_validate(recording)
    return RecordingDetailAnswer(**dict(summary), cache_file=None if cache_file is None else _described(cache_file))


async def stop(call: Call, by: Actor, recording_id: UUID) -> RecordingAnswer:
    """Stop a recording; everything up to now is delivered."""
    return RecordingAnswer.model_validate(await recordings.stop_recording(call.controller.db, recording_id, by=by))


async def cancel(call: Call, by: Actor, recording_id: UUID) -> RecordingAnswer:
    """Cancel a recording; nothing is delivered."""
    return RecordingAnswer.model_validate(await recordings.cancel_recording(call.controller.db, recording_id, by=by))


async def audio(call: Call, by: Actor, recording_id: UUID) -> FileResponse:
    """Play a recording."""
    recording, cache_file = await _cached(call, by, recording_id, Permission.RECORDING_PLAYBACK)
    return FileResponse(call.controller, _audio_file(recording, cache_file, "inline"))


async def download(call: Call, by: Actor, recording_id: UUID) -> FileResponse:
    """Download a recording."""
    recording, cache_file = await _cached(call, by, recording_id, Permission.RECORDING_DOWNLOAD)
    return FileResponse(call.controller, _audio_file(recording, cache_file, "attachment"))


async def waveform(call: Call, by: Actor, recording_id: UUID) -> FileResponse:
    """Draw a recording: its waveform as audiowaveform `.dat`, version 2."""
    recording, cache_file = await _cached(call, by, recording_id, Permission.RECORDING_READ)
    return FileResponse(
        call.controller, _file(recording, cache_file, "waveform", "application/octet-stream", ".dat", "inline")
    )


async def ledger(call: Call, by: Actor, recording_id: UUID) -> FileResponse:
    """Hear what happened besides the sound."""
    recording, cache_file = await _cached(call, by, recording_id, Permission.RECORDING_READ)
    return FileResponse(
        call.controller, _file(recording, cache_file, "ledger", "application/json", ".json", "attachment")
    )


async def _get(call: Call, by: Actor, recording_id: UUID, permission: Permission) -> Recording:
    recording = await stored_recordings.get(call.controller.db, recording_id, scope=by.scope)
    by.require(permission, of=recording)
    return recording


async def _cached(call: Call, by: Actor, recording_id: UUID, permission: Permission) -> tuple[Recording, CacheFile]:
    """Raises NotCachedError for everything that was not proved to be whole."""
    recording = await _get(call, by, recording_id, permission)
    cache_file = await stored_cache_files.current_of(call.controller.db, recording_id, scope=by.scope)
    state = CacheState.NONE if cache_file is None else cache_file.state
    if cache_file is None or state is not CacheState.CACHED:
        is_owed = state is CacheState.RECEIVING and recording.state.is_terminal
        raise NotCachedError(state, _WHY_OWED if is_owed else _WHY_NOT[state])
    return recording, cache_file


def _audio_file(recording: Recording, cache_file: CacheFile, disposition: Disposition) -> StoredFile:
    return _file(recording, cache_file, "audio", "audio/wav", ".wav", disposition)


def _file(
    recording: Recording,
    cache_file: CacheFile,
    part: PartName,
    media_type: str,
    suffix: str,
    disposition: Disposition,
) -> StoredFile:
    assert cache_file.parts is not None
    sealed = cache_file.parts[part]
    return StoredFile(
        cache_file_id=cache_file.id,
        part=part,
        bytes=sealed.bytes,
        media_type=media_type,
        etag=f'"{sealed.head_sha256[:16]}{sealed.body_sha256[:48]}"',
        changed_at=cache_file.cached_at or cache_file.created_at,
        name=download_name(recording.name, recording.started_at, suffix),
        disposition=disposition,
    )


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
