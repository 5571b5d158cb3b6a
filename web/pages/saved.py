"""The banner over an open form: somebody saved what it shows."""

from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request

from web.domain.live import SAVED
from web.forms import Form
from web.pages.page import controller_of
from web.store import audit

_LONGEST = 18
"""Digits of an entry's id."""


@dataclass(frozen=True)
class Saved:
    """What a page tells of saves since it was shown."""

    id: UUID
    path: str
    """Of the page, to load it again."""
    seen: int
    """The newest entry of the audit about it when the form was made."""
    by: str | None
    """Who saved it since then."""


async def saved(request: Request, name: str, of_id: UUID, **parameters: object) -> Saved:
    """What the page `name` tells. To be asked before that is read what the form shows.

    With `?seen=`, as the banner asks for itself: whether somebody saved since.
    """
    db = controller_of(request).db
    path = str(request.app.url_path_for(name, **parameters))
    seen = _number(request.query_params.get("seen", ""))
    if seen is None:
        return Saved(of_id, path, await audit.newest_of(db, of_id), None)
    return Saved(of_id, path, seen, await audit.saved_by(db, of_id, after=seen, actions=SAVED))


def seen_in(sent: Form) -> int | None:
    """What the reader of a form had seen; None when the form does not tell."""
    return _number(sent.get("seen"))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST else None
