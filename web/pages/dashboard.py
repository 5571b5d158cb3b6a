"""The dashboard: is everything that should be recording, recording, and is it good? Each panel refreshes alone."""

from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import structlog
from starlette.requests import Request
from starlette.responses import Response

from web.domain.access import Permission
from web.domain.errors import UnavailableError
from web.domain.standing import LiveRecording, NodeCard
from web.pages.page import controller_of
from web.rendering import render
from web.services import setup
from web.services.recorders import standing
from web.store import standing as stored_standing

_Panel = TypeVar("_Panel")

_log = structlog.get_logger()


async def show(request: Request) -> Response:
    """A panel that cannot be read says so alone."""
    db = controller_of(request).db
    cards = await _read("nodes", standing.node_cards(db, by=request.user))
    live = await _read("live recordings", standing.live_recordings(db, by=request.user))
    concerns = await _read("concerns", standing.concerns(db, by=request.user))
    said = None
    if cards is not None and live is not None and concerns is not None:
        said = standing.verdict(cards, live, _attention(request, concerns.total))
    context = {
        "here": "dashboard.show",
        "leftovers": await _read("leftovers", setup.leftovers(db, by=request.user)),
        "cards": cards,
        **_now(cards or [], live),
        "concerns": concerns,
        "verdict": said,
        "last_day": await _read("last day", stored_standing.last_day(db, scope=request.user.recordings)),
    }
    return render(request, "pages/dashboard/show.html", context)


async def bar(request: Request) -> Response:
    """The counts in the bar over every page."""
    counts = await standing.bar(controller_of(request).db, by=request.user)
    return render(request, "partials/_bar_status.html", {"bar": counts})


async def verdict(request: Request) -> Response:
    db = controller_of(request).db
    counts = await standing.bar(db, by=request.user)
    cards = await standing.node_cards(db, by=request.user)
    live = await standing.live_recordings(db, by=request.user)
    found = standing.verdict(cards, live, _attention(request, counts.attention))
    return render(request, "partials/_verdict.html", {"verdict": found})


async def recording_now(request: Request) -> Response:
    db = controller_of(request).db
    cards = await standing.node_cards(db, by=request.user)
    live = await standing.live_recordings(db, by=request.user)
    return render(request, "partials/_recording_now.html", _now(cards, live))


async def attention(request: Request) -> Response:
    found = await standing.concerns(controller_of(request).db, by=request.user)
    return render(request, "partials/_attention.html", {"concerns": found})


async def nodes(request: Request) -> Response:
    cards = await standing.node_cards(controller_of(request).db, by=request.user)
    return render(request, "partials/_nodes_strip.html", {"cards": cards})


async def last_day(request: Request) -> Response:
    found = await stored_standing.last_day(controller_of(request).db, scope=request.user.recordings)
    return render(request, "partials/_last_day.html", {"last_day": found})


async def _read(panel: str, reading: Awaitable[_Panel]) -> _Panel | None:
    """None, and a line in the log, for what cannot be read now."""
    try:
        return await reading
    except UnavailableError as fault:
        _log.warning("a panel of the dashboard cannot be read", panel=panel, reason=str(fault))
        return None


def _now(cards: Sequence[NodeCard], live: Sequence[LiveRecording] | None) -> dict[str, Any]:
    return {"live": live, "space": {card.node.id: card.seconds_left for card in cards}}


def _attention(request: Request, total: int) -> int | None:
    """None for who may not know what is wrong."""
    return total if request.user.may(Permission.HEALTH_READ) else None
