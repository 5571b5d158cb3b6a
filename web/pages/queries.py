"""What the query string of a list says. Unknown keys and values are passed over: an old link still shows something."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request

_Word = TypeVar("_Word", bound=StrEnum)
_OF_A_REQUEST = frozenset({"block", "before", "first"})
"""Which part of which page of a list: no part of the list's own state."""


def choices(request: Request, key: str, words: type[_Word]) -> list[_Word]:
    """The words that a repeated key names, in their own order."""
    asked = set(request.query_params.getlist(key))
    return [word for word in words if word in asked]


def block(request: Request, usual: str, *others: str) -> str:
    """The block of the page that `?block=` asks for."""
    asked = request.query_params.get("block", usual)
    return asked if asked in others else usual


def identifier(request: Request, key: str) -> UUID | None:
    try:
        return UUID(request.query_params[key])
    except (KeyError, ValueError):
        return None


def query_string(request: Request, **changes: str | None) -> str:
    """The state of the list as a query, `?` included, with some keys changed or (None) left out; empty without any."""
    return written_query(request.query_params.multi_items(), changes)


def without_empty_keys(request: Request) -> str | None:
    """The path of the same page in its canonical form, when a plain form sent keys without values; else None."""
    pairs = request.query_params.multi_items()
    if all(value.strip() for _, value in pairs):
        return None
    kept = sorted({(key, value) for key, value in pairs if value.strip()})
    return f"{request.url.path}?{urlencode(kept)}" if kept else request.url.path


def written_query(pairs: list[tuple[str, str]], changes: Mapping[str, str | None] | None = None) -> str:
    """In one order, without empty values."""
    changes = changes or {}
    kept = {(key, value) for key, value in pairs if value and key not in changes and key not in _OF_A_REQUEST}
    added = {(key, value) for key, value in changes.items() if value}
    return f"?{urlencode(sorted(kept | added))}" if kept | added else ""
