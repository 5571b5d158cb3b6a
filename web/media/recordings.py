"""What of a recording is given out, to whom, and in which form."""

from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID

from starlette.responses import Response

from protocol.messages import PartName
from web.domain.access import Actor, Permission
from web.domain.audit import LIMITS, Object
from web.domain.cache_files import CacheFile
from web.domain.errors import NotCachedError, NotFoundError, UnavailableError
from web.domain.recordings import Recording
from web.domain.states import CacheState
from web.media.files import FILE_HEADERS, Disposition, FileResponse, StoredFile, download_name
from web.media.live import LiveResponse
from web.services.auditing import audit
from web.services.controller import Controller
from web.store import cache_files, recordings
from web.store.database import Database

_WHY_NOT = {
    CacheState.NONE: "Nothing of this recording has arrived here yet.",
    CacheState.RECEIVING: "This recording is still growing; it can be had once it has ended and was checked.",
    CacheState.REMOVED: "The file was removed by retention.",
    CacheState.DAMAGED: "The stored file is damaged and is not given out.",
}
_WHY_OWED = "This recording ended before all of it had arrived; its node delivers the rest when it is back."


async def played(controller: Controller, recording_id: UUID, *, by: Actor) -> FileResponse:
    """The whole sound, in ranges. Raises NotCachedError for everything that was not proved to be whole."""
    recording, cache_file = await _cached(controller, recording_id, by, Permission.RECORDING_PLAYBACK)
    await _note(controller, recording, "recording.play", by)
    return FileResponse(controller, _audio_file(recording, cache_file, "inline"))


async def downloaded(controller: Controller, recording_id: UUID, *, by: Actor) -> FileResponse:
    """The same, to be saved under the name of the recording."""
    recording, cache_file = await _cached(controller, recording_id, by, Permission.RECORDING_DOWNLOAD)
    await _note(controller, recording, "recording.download", by)
    return FileResponse(controller, _audio_file(recording, cache_file, "attachment"))


async def listened(
    controller: Controller,
    recording_id: UUID,
    from_seconds: float | None,
    *,
    by: Actor,
    until: Callable[[Recording], Awaitable[object]] | None = None,
) -> LiveResponse:
    """The sound from that moment on, also while the recording grows; else from its start, or near what is heard now.

    It breaks off when `until` returns. Raises NotCachedError for what neither grows nor was proved to be whole.
    """
    recording = await recordings.get(controller.db, recording_id, scope=by.recordings)
    by.require(Permission.RECORDING_PLAYBACK, of=recording)
    cache_file = await cache_files.current_of(controller.db, recording_id, scope=by.recordings)
    if cache_file is None or not (is_growing(recording, cache_file) or cache_file.state is CacheState.CACHED):
        raise _not_cached(recording, cache_file)
    await _note(controller, recording, "recording.listen", by)
    goes_on = partial(still_comes, controller.db, cache_file, by=by)
    breaks_off = None if until is None else partial(until, recording)
    return LiveResponse(controller, cache_file, from_seconds, goes_on, breaks_off)


async def waveform(controller: Controller, recording_id: UUID, *, by: Actor) -> FileResponse:
    """The waveform as audiowaveform `.dat`, version 2."""
    recording, cache_file = await _cached(controller, recording_id, by, Permission.RECORDING_READ)
    return FileResponse(
        controller, _file(recording, cache_file, "waveform", "application/octet-stream", ".dat", "inline")
    )


async def peaks(
    controller: Controller, recording_id: UUID, level: int, start_bin: int, bins: int, *, by: Actor
) -> Response:
    """A tile of the waveform, also of what grows: signed bytes, and in headers what they are of."""
    recording = await recordings.get(controller.db, recording_id, scope=by.recordings)
    by.require(Permission.RECORDING_READ, of=recording)
    cache_file = await cache_files.current_of(controller.db, recording_id, scope=by.recordings)
    if cache_file is None or cache_file.state not in (CacheState.RECEIVING, CacheState.CACHED):
        raise _not_cached(recording, cache_file)
    try:
        tile = await controller.waveforms.tile(cache_file, level, start_bin, bins)
    except FileNotFoundError as gone:
        raise _not_cached(recording, None) from gone
    about = {
        "Reelkeeper-Channels": tile.channels,
        "Reelkeeper-Sample-Rate": tile.sample_rate_hz,
        "Reelkeeper-Frames-Per-Bin": tile.frames_per_bin,
        "Reelkeeper-Frames": tile.frames,
    }
    headers = FILE_HEADERS | {"Accept-Ranges": "none"} | {name: str(value) for name, value in about.items()}
    return Response(tile.bins, headers=headers, media_type="application/octet-stream")


async def ledger(controller: Controller, recording_id: UUID, *, by: Actor) -> FileResponse:
    """What happened besides the sound, as JSON."""
    recording, cache_file = await _cached(controller, recording_id, by, Permission.RECORDING_READ)
    await _note(controller, recording, "recording.download_ledger", by)
    return FileResponse(controller, _file(recording, cache_file, "ledger", "application/json", ".json", "attachment"))


def is_growing(recording: Recording, cache_file: CacheFile) -> bool:
    """Whether this is the sound of what is recorded now. What an earlier attempt left half sent is not."""
    is_coming = cache_file.state is CacheState.RECEIVING and not recording.state.is_terminal
    return is_coming and cache_file.job_id == recording.job_id


async def still_comes(db: Database, cache_file: CacheFile, *, by: Actor) -> bool:
    """Whether there is more of it to wait for. While the database is away it is taken to go on."""
    try:
        recording = await recordings.get(db, cache_file.recording_id, scope=by.recordings)
        current = await cache_files.current_of(db, cache_file.recording_id, scope=by.recordings)
    except NotFoundError:
        return False
    except UnavailableError:
        return True
    return current is not None and current.id == cache_file.id and is_growing(recording, current)


async def _cached(
    controller: Controller, recording_id: UUID, by: Actor, permission: Permission
) -> tuple[Recording, CacheFile]:
    """Raises NotCachedError for everything that was not proved to be whole."""
    recording = await recordings.get(controller.db, recording_id, scope=by.recordings)
    by.require(permission, of=recording)
    cache_file = await cache_files.current_of(controller.db, recording_id, scope=by.recordings)
    if cache_file is None or cache_file.state is not CacheState.CACHED:
        raise _not_cached(recording, cache_file)
    return recording, cache_file


async def _note(controller: Controller, recording: Recording, act: str, by: Actor) -> None:
    """A player asks for one recording many times: it is one act for a while."""
    of = Object("recording", recording.id, recording.name)
    await audit.note_once(controller.db, by, act, of, within_seconds=LIMITS.read_once_within)


def _not_cached(recording: Recording, cache_file: CacheFile | None) -> NotCachedError:
    state = CacheState.NONE if cache_file is None else cache_file.state
    is_owed = state is CacheState.RECEIVING and recording.state.is_terminal
    return NotCachedError(state, _WHY_OWED if is_owed else _WHY_NOT[state])


def _audio_file(recording: Recording, cache_file: CacheFile, disposition: Disposition) -> StoredFile:
    return _file(recording, cache_file, "audio", cache_file.media_type, cache_file.suffix, disposition)


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
