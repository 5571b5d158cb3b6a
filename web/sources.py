"""Where each request came from, and the id under which it is answered and logged."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from protocol.ids import new_id
from web.connections import certificate_fingerprint
from web.domain.access import Source

Networks = Sequence[IPv4Network | IPv6Network]
REQUEST_ID_HEADER = "X-Request-Id"
_ENTRIES_LIMIT = 20


class Sources:
    """Leaves the `Source` of a request in its state.

    Only a proxy of the trusted networks may say whom it speaks for, by `X-Forwarded-For` and `X-Forwarded-Proto`. What
    anybody else says, and every id from outside, is passed over.
    """

    def __init__(self, app: ASGIApp, trusted: Networks = ()) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_id()
        address = scope["client"][0] if scope.get("client") else None
        if _is_of(address, self._trusted):
            headers = Headers(scope=scope)
            scope = {**scope, "scheme": _forwarded_scheme(headers) or scope["scheme"]}
            address = _forwarded_address(headers, self._trusted) or address
        state = scope.setdefault("state", {})
        state["source"] = Source(address, request_id, certificate_fingerprint(scope))

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = str(request_id)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=str(request_id)):
            await self._app(scope, receive, send_named)


def source_of(request: Request) -> Source:
    """Where it came from; nowhere, for a request that was made by hand."""
    found: Source = getattr(request.state, "source", Source())
    return found


def _forwarded_scheme(headers: Headers) -> str | None:
    """As the proxy next to us was spoken to."""
    last = _entries(headers, "x-forwarded-proto")[-1:]
    return last[0].lower() if last and last[0].lower() in ("http", "https") else None


def _forwarded_address(headers: Headers, trusted: Networks) -> str | None:
    """The last one that is no trusted proxy: what stands before it anybody may have written."""
    found = None
    for entry in reversed(_entries(headers, "x-forwarded-for")):
        address = _address(entry)
        if address is None:
            return found
        found = address
        if not _is_of(address, trusted):
            return found
    return found


def _entries(headers: Headers, name: str) -> list[str]:
    return [entry.strip() for line in headers.getlist(name) for entry in line.split(",")][-_ENTRIES_LIMIT:]


def _address(entry: str) -> str | None:
    """`192.0.2.1`, `192.0.2.1:1234`, `2001:db8::1`, `[2001:db8::1]:1234`."""
    bare = entry.rpartition(":")[0] if entry.count(":") == 1 or (entry.startswith("[") and "]:" in entry) else entry
    try:
        return str(ip_address(bare.strip("[]")))
    except ValueError:
        return None


def _is_of(address: Any, networks: Networks) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in networks)
