"""What everybody did, searched by anything that is known of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from web.csv import csv_response
from web.domain.acts import in_words
from web.domain.audit import Filter, Outcome
from web.exports import audit_csv, exactly
from web.pages.page import controller_of
from web.pages.periods import for_input, read_period
from web.pages.queries import identifier, query_string
from web.rendering import render, viewer_of
from web.services.auditing import audit_reading

_PER_PAGE = 50
_NEWS_LIMIT = 99
_AROUND = timedelta(minutes=5)
_LABELS = {
    "q": "text",
    "actor": "who",
    "action": "what",
    "kind": "kind of object",
    "object": "object",
    "outcome": "outcome",
    "address": "address",
    "from": "from",
    "to": "to",
}
_KEYS = frozenset({*_LABELS, "tz", "before", "after", "block"})


async def index(request: Request) -> Response:
    db, by, asked = controller_of(request).db, request.user, _asked(request)
    before = _number(request, "before")
    found = await audit_reading.entries(db, asked.filter, limit=_PER_PAGE + 1, before=before, by=by)
    zone = viewer_of(request).zone
    context = {
        "here": "audit.index",
        "entries": found[:_PER_PAGE],
        "older": found[_PER_PAGE - 1].id if len(found) > _PER_PAGE else None,
        "before": before,
        "after": found[0].id if found else 0,
        "news": 0,
        "nouns": _by_noun(await audit_reading.actions(db, by=by)),
        "outcomes": list(Outcome),
        "asked": asked.filter,
        "since": for_input(asked.filter.since, zone),
        "until": for_input(asked.filter.until, zone),
        "zone": str(zone),
        "chips": _chips(request, asked),
        "ignored": asked.ignored,
        "query": query_string(request),
        "oldest": await audit_reading.oldest(db, by=by),
        "head": await audit_reading.head(db, by=by),
        "in_words": in_words,
        "pretty": _pretty,
    }
    return render(request, "pages/audit/index.html", context)


async def news(request: Request) -> Response:
    """How many entries of the list came after the one that stood first when it was shown."""
    after = _number(request, "after") or 0
    count = await audit_reading.count_newer(
        controller_of(request).db, _asked(request).filter, than=after, limit=_NEWS_LIMIT + 1, by=request.user
    )
    context = {"news": count, "news_limit": _NEWS_LIMIT, "after": after, "before": None}
    return render(request, "partials/_audit_news.html", context | {"query": query_string(request, after=None)})


async def show(request: Request) -> Response:
    db, by = controller_of(request).db, request.user
    entry = await audit_reading.entry(db, request.path_params["entry_id"], by=by)
    head = await audit_reading.head(db, by=by)
    context = {
        "here": "audit.index",
        "entry": entry,
        "around": {"from": exactly(entry.at - _AROUND), "to": exactly(entry.at + _AROUND)},
        "is_sealed": head is not None and entry.id <= head.entry_id,
        "in_words": in_words,
        "pretty": _pretty,
    }
    return render(request, "pages/audit/show.html", context)


async def export(request: Request) -> Response:
    """The same list as CSV, all of it."""
    db, by, zone = controller_of(request).db, request.user, viewer_of(request).zone
    blocks = await audit_reading.export(db, _asked(request).filter, by=by)
    head = await audit_reading.head(db, by=by)
    name = f"audit {datetime.now(UTC):%Y-%m-%d %H-%M-%S}Z.csv"
    return csv_response(name, audit_csv(blocks, head, zone))


@dataclass(frozen=True)
class _Asked:
    filter: Filter
    ignored: list[str]
    """Keys of the link that this list does not know, or whose values are none."""


def _asked(request: Request) -> _Asked:
    query = request.query_params
    period = read_period(query.get("from", ""), query.get("to", ""), query.get("tz", ""), viewer_of(request).zone)
    ignored = [*(query.keys() - _KEYS), *period.ignored]
    outcome = query.get("outcome", "")
    if outcome and outcome not in set(Outcome):
        ignored.append("outcome")
    if query.get("object") and identifier(request, "object") is None:
        ignored.append("object")
    wanted = Filter(
        actor=_words(query, "actor"),
        action=_words(query, "action"),
        object_kind=_words(query, "kind"),
        object_id=identifier(request, "object"),
        outcome=Outcome(outcome) if outcome in set(Outcome) else None,
        address=_words(query, "address"),
        text=_words(query, "q"),
        since=period.since,
        until=period.until,
    )
    return _Asked(wanted, sorted(ignored))


def _words(query: Mapping[str, str], key: str) -> str:
    """No text in the database has a NUL."""
    return query.get(key, "").replace("\x00", "").strip()


def _by_noun(actions: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for action in actions:
        found.setdefault(action.partition(".")[0], []).append(action)
    return found


def _chips(request: Request, asked: _Asked) -> list[dict[str, str]]:
    """What is filtered by, each with the list without it."""
    return [
        {"label": label, "value": value, "query": query_string(request, **{key: None})}
        for key, label in _LABELS.items()
        if (value := request.query_params.get(key, "").strip()) and key not in asked.ignored
    ]


def _number(request: Request, key: str) -> int | None:
    text = request.query_params.get(key, "")
    return int(text) if text.isdecimal() and len(text) <= 18 else None


def _pretty(value: object) -> str:
    """One value of before or after, for people."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case str() | int() | float():
            return str(value)
    return json.dumps(value, ensure_ascii=False, indent=1)
