"""The library, and each recording with its sound."""

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from protocol.messages import RecordingFacts, Wish
from web.domain.access import Actor, Permission
from web.domain.cache_files import CacheFile
from web.domain.errors import NotCachedError, NotDrawnError
from web.domain.jobs import Job
from web.domain.moments import moments_in
from web.domain.recordings import Recording
from web.domain.states import CacheState, RecordingState
from web.media import recordings as media
from web.pages.jobs import encoding_in_words, grace_in
from web.pages.page import controller_of
from web.pages.queries import block, choices, identifier, query_string, written_query
from web.rendering import render, see_other
from web.services.content.waveforms import LEVEL_LIMIT, TILE_LIMIT_BINS, Overview
from web.services.controller import Controller
from web.services.work import profiles, recordings
from web.services.work.retry import retry_recording
from web.sessions import signed_out
from web.store import cache_files, health_events, job_cards
from web.store import profiles as stored_profiles
from web.store import recordings as stored_recordings

PER_PAGE = (10, 25, 50, 100)
USUAL_PER_PAGE = 50
_COUNT_LIMIT = 10_000
_OVERVIEW_COLUMNS = 800
_EVENTS_LIMIT = 500
_LONGEST_SECONDS = 1e9
_LAST_BIN = 2**40
_KEYS = {"q", "state", "per", "before", "first", "block"}


@dataclass(frozen=True)
class Listing:
    """What the query string of the list asks for."""

    states: list[RecordingState]
    text: str
    per: int
    before: UUID | None
    first: UUID | None

    @property
    def is_filtered(self) -> bool:
        return bool(self.states or self.text)


@dataclass(frozen=True)
class Chip:
    """A filter that a click takes or leaves."""

    state: RecordingState
    is_on: bool
    query: str


# ---- the list ----


async def index(request: Request) -> Response:
    request.user.require(Permission.RECORDING_READ)
    db, by, asked = controller_of(request).db, request.user, _listing(request)
    found = await stored_recordings.latest(
        db,
        scope=by.recordings,
        nodes=by.nodes,
        limit=asked.per + 1,
        first=asked.first,
        before=asked.before,
        states=asked.states,
        text=asked.text,
    )
    count = await stored_recordings.count(
        db,
        scope=by.recordings,
        nodes=by.nodes,
        limit=_COUNT_LIMIT + 1,
        states=asked.states,
        text=asked.text,
    )
    shown = found[: asked.per]
    context = {
        "here": "recordings.index",
        "recordings": shown,
        "older": shown[-1].id if len(found) > asked.per else None,
        "before": asked.before,
        "after": shown[0].id if shown else None,
        "news": 0,
        "count": min(count, _COUNT_LIMIT),
        "is_count_short": count > _COUNT_LIMIT,
        "states": asked.states,
        "text": asked.text,
        "per": asked.per,
        "usual_per": USUAL_PER_PAGE,
        "pers": [{"rows": rows, "query": query_string(request, per=_per(rows))} for rows in PER_PAGE],
        "chips": _chips(request, asked.states),
        "query": query_string(request),
        "query_without_states": query_string(request, state=None),
        "query_without_text": query_string(request, q=None),
        "ignored": sorted(request.query_params.keys() - _KEYS),
        "is_filtered": asked.is_filtered,
    }
    return render(request, "pages/recordings/index.html", context, fragment=block(request, "rows"))


async def news(request: Request) -> Response:
    """How many recordings of the list came after the one that stood first when it was shown."""
    request.user.require(Permission.RECORDING_READ)
    asked, after = _listing(request), identifier(request, "after")
    count = await stored_recordings.count(
        controller_of(request).db,
        scope=request.user.recordings,
        nodes=request.user.nodes,
        limit=_COUNT_LIMIT,
        after=after,
        states=asked.states,
        text=asked.text,
    )
    context = {"news": count, "after": after, "before": None, "query": query_string(request, after=None)}
    return render(request, "partials/_recordings_news.html", context)


async def row(request: Request) -> Response:
    return render(request, "partials/_recording_row.html", {"recording": await _recording(request)})


# ---- one recording ----


async def show(request: Request) -> Response:
    controller, recording = controller_of(request), await _recording(request)
    by: Actor = request.user
    db, scope, nodes = controller.db, by.recordings, by.nodes
    cache_file = await cache_files.current_of(db, recording.id, scope=scope)
    facts = None if cache_file is None else cache_file.facts
    job = await job_cards.get(db, recording.job_id, scope=scope, nodes=nodes)
    health = by.scope(Permission.HEALTH_READ)
    events = await health_events.latest(db, scope=health, recording_id=recording.id, limit=_EVENTS_LIMIT)
    may_play = by.may(Permission.RECORDING_PLAYBACK, recording)
    what_is_there = _sound(recording, cache_file)
    sound = what_is_there if may_play else "none"
    drawn = await _drawn(controller, cache_file) if what_is_there != "none" else None
    length_seconds = _length_seconds(facts, drawn, job)
    context = {
        "here": "recordings.index",
        "recording": recording,
        "cache_file": cache_file,
        "facts": facts,
        "job": job,
        "sound": sound,
        "is_cached": cache_file is not None and cache_file.state is CacheState.CACHED,
        "why_silent": _why_silent(recording, cache_file)
        if may_play
        else f"Playing needs the permission {Permission.RECORDING_PLAYBACK}.",
        "profile": await stored_profiles.get(db, recording.profile_id) if profiles.are_known_to(by) else None,
        "encoding": encoding_in_words(job),
        "channels": len(job.settings.channel_map),
        "inputs": [_inputs_in_words(gains) for gains in job.settings.channel_map],
        "attempts": await job_cards.latest(db, scope=scope, nodes=nodes, recording_id=recording.id),
        "history": await job_cards.history(db, recording.job_id, scope=scope),
        "reached_back_seconds": _reached_back_seconds(recording, facts),
        "grace": grace_in(db.timeouts),
        "moments": moments_in(facts, events, started_at=recording.started_at, length_seconds=length_seconds),
        "length_seconds": length_seconds,
        "overview": drawn[0] if drawn else None,
        "columns": _OVERVIEW_COLUMNS,
        "start_seconds": _seconds(request, "t"),
    }
    return render(
        request,
        "pages/recordings/show.html",
        context,
        fragment=block(request, "head", "timeline", "moments", "details"),
    )


async def stop_form(request: Request) -> Response:
    """Asks once more; also fits a dialog."""
    return await _ask(request, "stop")


async def stop(request: Request) -> Response:
    recording = await recordings.stop_recording(controller_of(request).db, _id(request), by=request.user)
    return see_other(request, "recordings.show", recording_id=recording.id)


async def cancel_form(request: Request) -> Response:
    return await _ask(request, "cancel")


async def cancel(request: Request) -> Response:
    recording = await recordings.cancel_recording(controller_of(request).db, _id(request), by=request.user)
    return see_other(request, "recordings.show", recording_id=recording.id)


async def retry(request: Request) -> Response:
    recording = await retry_recording(controller_of(request).db, _id(request), by=request.user)
    return see_other(request, "recordings.show", recording_id=recording.id)


# ---- its files ----


async def audio(request: Request) -> Response:
    return await media.played(controller_of(request), _id(request), by=request.user)


async def live(request: Request) -> Response:
    """The sound from a moment on, also while it grows."""
    from_seconds, until = _seconds(request, "from_seconds"), partial(_no_longer_heard, request)
    return await media.listened(controller_of(request), _id(request), from_seconds, by=request.user, until=until)


async def peaks(request: Request) -> Response:
    """A tile of the waveform, also of what grows. No content: nothing has arrived or is drawn yet, or it is gone."""
    level = _number(request, "level", LEVEL_LIMIT)
    start_bin = _number(request, "start", _LAST_BIN)
    bins = _number(request, "count", TILE_LIMIT_BINS) or 1
    try:
        return await media.peaks(controller_of(request), _id(request), level, start_bin, bins, by=request.user)
    except (NotCachedError, NotDrawnError):
        return Response(status_code=HTTPStatus.NO_CONTENT)


async def download(request: Request) -> Response:
    return await media.downloaded(controller_of(request), _id(request), by=request.user)


async def waveform(request: Request) -> Response:
    return await media.waveform(controller_of(request), _id(request), by=request.user)


async def ledger(request: Request) -> Response:
    return await media.ledger(controller_of(request), _id(request), by=request.user)


def _listing(request: Request) -> Listing:
    per = request.query_params.get("per", "")
    return Listing(
        states=choices(request, "state", RecordingState),
        text=request.query_params.get("q", "").strip(),
        per=int(per) if per in map(str, PER_PAGE) else USUAL_PER_PAGE,
        before=identifier(request, "before"),
        first=identifier(request, "first"),
    )


def _chips(request: Request, states: list[RecordingState]) -> list[Chip]:
    others = [(key, value) for key, value in request.query_params.multi_items() if key != "state"]

    def query(state: RecordingState) -> str:
        wanted = set(states) ^ {state}
        return written_query([*others, *(("state", one.value) for one in wanted)])

    return [Chip(state, state in states, query(state)) for state in RecordingState]


def _per(rows: int) -> str | None:
    return None if rows == USUAL_PER_PAGE else str(rows)


async def _drawn(controller: Controller, cache_file: CacheFile | None) -> tuple[Overview, float] | None:
    """What is drawn so far, and of how many seconds; None until there is something."""
    if cache_file is None:
        return None
    try:
        overview = await controller.waveforms.overview(cache_file, _OVERVIEW_COLUMNS)
        newest = await controller.waveforms.tile(cache_file, 0, 0, 1)
    except (FileNotFoundError, NotDrawnError):
        return None
    return (overview, newest.frames / newest.sample_rate_hz) if overview.lows else None


def _sound(recording: Recording, cache_file: CacheFile | None) -> str:
    """`cached` can be played and searched, `growing` can be listened to, `none` cannot be heard."""
    if cache_file is None:
        return "none"
    if cache_file.state is CacheState.CACHED:
        return "cached"
    return "growing" if media.is_growing(recording, cache_file) else "none"


def _why_silent(recording: Recording, cache_file: CacheFile | None) -> str:
    state = CacheState.NONE if cache_file is None else cache_file.state
    match state:
        case CacheState.DAMAGED:
            return "The stored file is not what was sealed any more: its checksum is wrong. It is not played."
        case CacheState.REMOVED:
            return "The sound was removed by retention. What is known of it stays on this page."
        case CacheState.RECEIVING if recording.state is RecordingState.CANCELLED:
            return "This recording was cancelled, so it is not delivered."
        case CacheState.RECEIVING:
            return "This recording ended before all of it had arrived; its node delivers the rest when it is back."
        case _ if recording.state is RecordingState.QUEUED:
            return "Waiting for the node to begin."
        case _ if recording.state.is_terminal:
            return "Nothing of this recording has arrived here."
        case _:
            return "The first seconds are on their way."


def _length_seconds(facts: RecordingFacts | None, drawn: tuple[Overview, float] | None, job: Job) -> float:
    """Of the sound as far as it is known."""
    if facts is not None:
        return facts.frames / facts.sample_rate_hz
    return drawn[1] if drawn else (job.frames or 0) / job.settings.capture.sample_rate_hz


def _reached_back_seconds(recording: Recording, facts: RecordingFacts | None) -> float:
    """How long before it was asked for it begins. While it grows that is told by the clock of the database alone; what
    was sealed counts frames, since its beginning stands in the clock of its node."""
    if facts is not None and facts.preroll_frames is not None:
        return facts.preroll_frames / facts.sample_rate_hz
    began = recording.started_at or recording.created_at
    return max(0.0, (recording.created_at - began).total_seconds())


def _inputs_in_words(gains: list[float]) -> str:
    """`input 1`, `½ of inputs 1 and 2`."""
    parts = [(index + 1, gain) for index, gain in enumerate(gains) if gain]
    if not parts:
        return "silence"
    return " + ".join(f"input {index}" if gain == 1.0 else f"{gain:.3g} × input {index}" for index, gain in parts)


def _number(request: Request, key: str, most: int) -> int:
    """A number of the query, within its limit; 0 for nonsense."""
    text = request.query_params.get(key, "")
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _seconds(request: Request, key: str) -> float | None:
    """A moment that the query names; None for nonsense."""
    try:
        seconds = float(request.query_params[key])
    except (KeyError, ValueError):
        return None
    return seconds if 0.0 <= seconds <= _LONGEST_SECONDS else None


async def _no_longer_heard(request: Request, recording: Recording) -> None:
    """Returns soon after who asks has signed out, or may not play it any more."""
    await signed_out(request, lambda by: by.may(Permission.RECORDING_PLAYBACK, recording))


async def _ask(request: Request, act: str) -> Response:
    recording = await _recording(request)
    request.user.require(Permission.RECORDING_CONTROL, of=recording)
    context = {
        "here": "recordings.index",
        "recording": recording,
        "act": act,
        "is_over": recording.state.is_terminal or (act == "stop" and recording.wish is not Wish.RUN),
    }
    return render(request, "pages/recordings/confirm.html", context, fragment="form")


async def _recording(request: Request) -> Recording:
    by: Actor = request.user
    recording = await stored_recordings.get(
        controller_of(request).db, _id(request), scope=by.recordings, nodes=by.nodes
    )
    by.require(Permission.RECORDING_READ, of=recording)
    return recording


def _id(request: Request) -> UUID:
    recording_id: UUID = request.path_params["recording_id"]
    return recording_id
