"""The first run, step by step: You, Recorder, Input, Try it, Done. Each step is a page that can be left and resumed."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from protocol.ids import new_id
from web.domain.cache_files import CacheFile
from web.domain.errors import (
    CapacityError,
    ConflictError,
    InvalidError,
    LinkSpentError,
    NodeFullError,
    SetupClosedError,
    SignInRequiredError,
    UnavailableError,
)
from web.domain.nodes import EnrolmentCode, Interface
from web.domain.recordings import Recording
from web.domain.setup import TRY_MS, Setup, Step, checks
from web.domain.standing import NodeCard
from web.domain.states import CacheState
from web.forms import read_form
from web.pages.accounts import signed_in_here
from web.pages.joining import command_to_join
from web.pages.page import controller_of
from web.pages.queries import block
from web.rendering import render, see_other
from web.services import setup
from web.services.content.waveforms import Overview
from web.services.recorders import joining, standing
from web.sessions import signed_in, visit_of
from web.store import cache_files
from web.store import recordings as stored_recordings
from web.texts import elapsed_ms

_PAGES = {
    Step.RECORDER: "setup.recorder",
    Step.INPUT: "setup.input",
    Step.TRY: "setup.try_it",
    Step.DONE: "setup.done",
}
_COLUMNS = 500
_FIRST_NODE = "This machine"
_WORTH_TRYING = ("speech", "tone")
"""Of the inputs that no microphone feeds: what a person can tell from noise."""


# ---- You ----


async def show(request: Request) -> Response:
    """The step at which the first run is, for the one whose it is; for others where to find the way in."""
    try:
        request.scope["user"] = await signed_in(request)
        progress = await setup.progress(controller_of(request).db, by=request.user)
    except SignInRequiredError:
        return render(request, "pages/setup/closed.html", {"fault": None, "name": "", "faults": {}})
    except SetupClosedError:
        return see_other(request, "dashboard.show")
    return see_other(request, _PAGES[progress.step])


async def you(request: Request) -> Response:
    """What the one-time link leads to. Looking at it does not use it."""
    try:
        await setup.require_good_code(controller_of(request).db, request.path_params["code"])
    except LinkSpentError as spent:
        return _closed(request, spent)
    return _you(request, "", {})


async def begin(request: Request) -> Response:
    """Uses the link: this browser is signed in as the administrator."""
    controller, sent = controller_of(request), await read_form(request)
    name, code = sent.get("name"), request.path_params["code"]
    try:
        begun = await setup.begin(
            controller.db, controller.passwords, code, name, sent.raw("password"), visit_of(request)
        )
    except LinkSpentError as spent:
        return _closed(request, spent)
    except InvalidError as refused:
        return _you(request, name, {refused.field or "": str(refused)})
    return await signed_in_here(request, see_other(request, "setup.recorder"), begun)


# ---- Recorder ----


async def recorder(request: Request) -> Response:
    """The nodes there are; without one the way to add it, and a page that fills by itself."""
    await _reached(request, Step.RECORDER)
    return await _recorder(request)


async def make_code(request: Request) -> Response:
    """A code for a first node, shown this once."""
    await _reached(request, Step.RECORDER)
    name = (await read_form(request)).get("name", _FIRST_NODE)
    try:
        code = await joining.create_enrolment_code(controller_of(request).db, name, by=request.user)
    except (InvalidError, ConflictError) as refused:
        return await _recorder(request, {"name": str(refused)})
    return await _recorder(request, code=code)


async def choose_recorder(request: Request) -> Response:
    try:
        await setup.choose_recorder(
            controller_of(request).db, _uuid((await read_form(request)).get("node_id")), by=request.user
        )
    except InvalidError as refused:
        return await _recorder(request, {refused.field or "": str(refused)})
    return see_other(request, "setup.input")


# ---- Input ----


async def input(request: Request) -> Response:
    """Every input with its meters, the likeliest preselected."""
    progress = await _reached(request, Step.INPUT)
    return progress if isinstance(progress, Response) else await _input(request, progress)


async def choose_input(request: Request) -> Response:
    try:
        await setup.choose_input(
            controller_of(request).db, _uuid((await read_form(request)).get("interface_id")), by=request.user
        )
    except InvalidError as refused:
        progress = await setup.progress(controller_of(request).db, by=request.user)
        return await _input(request, progress, {refused.field or "": str(refused)})
    return see_other(request, "setup.try_it")


# ---- Try it ----


async def try_it(request: Request) -> Response:
    """Ten seconds of the chosen input: before, while and after."""
    progress = await _reached(request, Step.TRY)
    return progress if isinstance(progress, Response) else await _try(request, progress)


async def start(request: Request) -> Response:
    """The same form sent twice is one recording."""
    controller, sent = controller_of(request), await read_form(request)
    fault = None
    try:
        await setup.start_try(controller.db, _uuid(sent.get("id")), by=request.user)
    except (InvalidError, CapacityError, NodeFullError, ValidationError, ConflictError) as refused:
        fault = str(refused)
    progress = await setup.progress(controller.db, by=request.user)
    if fault is None and not request.headers.get("HX-Request"):
        return see_other(request, "setup.try_it")
    return await _try(request, progress, fault, fragment="attempt")


# ---- Done ----


async def done(request: Request) -> Response:
    progress = await _reached(request, Step.TRY)
    if isinstance(progress, Response):
        return progress
    return _step(request, "done", Step.DONE, heard=progress.recording_id is not None)


async def finish(request: Request) -> Response:
    await setup.finish(controller_of(request).db, by=request.user)
    return see_other(request, "dashboard.show")


async def put_away(request: Request) -> Response:
    """The list of what is left goes from the dashboard."""
    await setup.put_away(controller_of(request).db, by=request.user)
    return see_other(request, "dashboard.show")


async def _reached(request: Request, step: Step) -> Setup | Response:
    """How far the first run is, or the way to the step that comes first. Raises SetupClosedError."""
    progress = await setup.progress(controller_of(request).db, by=request.user)
    return see_other(request, _PAGES[progress.step]) if progress.step.number < step.number else progress


def _closed(request: Request, spent: LinkSpentError) -> Response:
    return render(request, "pages/setup/closed.html", {"fault": str(spent)}, status=HTTPStatus.GONE)


def _you(request: Request, name: str, faults: dict[str, str]) -> Response:
    context = {"code": request.path_params["code"], "name": name, "faults": faults, "steps": _steps(None)}
    status = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
    return render(request, "pages/setup/you.html", context, status=status)


async def _recorder(
    request: Request, faults: dict[str, str] | None = None, code: EnrolmentCode | None = None
) -> Response:
    cards = await standing.node_cards(controller_of(request).db, by=request.user)
    progress = await setup.progress(controller_of(request).db, by=request.user)
    return _step(
        request,
        "recorder",
        Step.RECORDER,
        faults,
        fragment=block(request, "nodes"),
        cards=cards,
        likeliest=_likeliest(cards, progress),
        code=code,
        command=None if code is None else command_to_join(request, code.code),
        first_name=_FIRST_NODE,
    )


def _likeliest(cards: list[NodeCard], progress: Setup) -> UUID | None:
    """The one that was chosen; else the first that is there and has told its inputs, this machine before others."""
    there = sorted(cards, key=lambda card: (not card.node.is_seen, not card.present, card.node.name != _FIRST_NODE))
    chosen = next((card for card in cards if card.node.id == progress.node_id), next(iter(there), None))
    return None if chosen is None else chosen.node.id


async def _input(request: Request, progress: Setup, faults: dict[str, str] | None = None) -> Response:
    assert progress.node_id is not None
    card = await standing.node_card(controller_of(request).db, progress.node_id, by=request.user)
    real = [one for one in card.present if not _is_test(one)]
    tests = [one for one in card.present if _is_test(one)]
    chosen = next((one for one in card.present if one.id == progress.interface_id), None)
    return _step(
        request,
        "input",
        Step.INPUT,
        faults,
        fragment=block(request, "inputs"),
        card=card,
        real=real,
        tests=[one for one in tests if one.ref.name in _WORTH_TRYING] or tests,
        likeliest=chosen or (card.likeliest if card.likeliest in real else next(iter(real), card.likeliest)),
    )


async def _try(request: Request, progress: Setup, fault: str | None = None, fragment: str | None = None) -> Response:
    db, scope = controller_of(request).db, request.user.recordings
    assert progress.node_id is not None
    card = await standing.node_card(db, progress.node_id, by=request.user)
    chosen = next((one for one in card.interfaces if one.id == progress.interface_id), None)
    context: dict[str, Any] = {"recording": None, "overview": None, "checks": None, "left_ms": TRY_MS}
    if progress.recording_id is not None:
        recording = await stored_recordings.get(db, progress.recording_id, scope=scope)
        cache_file = await cache_files.current_of(db, recording.id, scope=scope)
        overview, drawn_ms = await _drawn(request, cache_file)
        context |= {
            "recording": recording,
            "overview": overview,
            "drawn_ms": drawn_ms,
            "checks": _checked(recording, cache_file),
            "left_ms": TRY_MS - elapsed_ms(recording.started_at) if recording.started_at else TRY_MS,
        }
    return _step(
        request,
        "try",
        Step.TRY,
        {"": fault} if fault else None,
        fragment=fragment or block(request, "attempt"),
        card=card,
        chosen=chosen,
        columns=_COLUMNS,
        id=new_id(),
        try_ms=TRY_MS,
        **context,
    )


async def _drawn(request: Request, cache_file: CacheFile | None) -> tuple[Overview | None, float]:
    """What has arrived of the try so far, and of how many milliseconds."""
    if cache_file is None:
        return None, 0.0
    waveforms = controller_of(request).waveforms
    try:
        overview = await waveforms.overview(cache_file, _COLUMNS)
        newest = await waveforms.tile(cache_file, 0, 0, 1)
    except (FileNotFoundError, UnavailableError):
        return None, 0.0
    return (overview, 1000 * newest.frames / newest.sample_rate_hz) if overview.lows else (None, 0.0)


def _checked(recording: Recording, cache_file: CacheFile | None) -> list[Any] | None:
    """What was looked at once it is all there; None until then."""
    is_over = recording.state.is_terminal
    if not is_over or cache_file is None:
        return [] if is_over else None
    is_cached = cache_file.state is CacheState.CACHED
    if is_cached and cache_file.sha256 is None:
        return None
    facts = cache_file.facts
    gaps_ms = [] if facts is None else [1000 * gap.frames / facts.sample_rate_hz for gap in facts.gaps]
    levels = [] if facts is None else facts.levels
    return list(checks(levels, cache_file.sha256, is_cached=is_cached, gaps_ms=gaps_ms))


def _step(
    request: Request,
    template: str,
    step: Step,
    faults: dict[str, str] | None = None,
    fragment: str | None = None,
    **context: Any,
) -> Response:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
    return render(
        request,
        f"pages/setup/{template}.html",
        {"steps": _steps(step), "faults": faults or {}, **context},
        fragment=fragment,
        status=status,
    )


def _steps(now: Step | None) -> list[tuple[str, str]]:
    """The names of the steps, and whether each is done, now or later."""
    names = ["You", "Recorder", "Input", "Try it", "Done"]
    at = 0 if now is None else now.number + 1
    return [(name, "done" if index < at else "now" if index == at else "later") for index, name in enumerate(names)]


def _is_test(interface: Interface) -> bool:
    """Whether no microphone feeds it."""
    return interface.ref.backend in ("synthetic", "file")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as nothing:
        raise InvalidError("Choose one.", field="") from nothing
