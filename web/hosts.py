"""The names that this controller answers to: a page that made its own name point here gets nothing."""

from collections.abc import Collection
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_MISDIRECTED = (
    "This controller does not answer to this name. If it is right, set REELKEEPER_HOSTS to it on the controller.\n"
)
_UNREADABLE = "This request does not say in one Host header whom it is for.\n"


class KnownHosts:
    """Answers 421 to every name but the given ones, those of loopback, and the address that was connected to."""

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        self._app = app
        self._names = frozenset(name.lower().rstrip(".") for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        name = _host_of(Headers(scope=scope).getlist("host"))
        if name is None:
            return PlainTextResponse(_UNREADABLE, HTTPStatus.BAD_REQUEST)
        server = scope.get("server")
        if name in self._names or is_this_machine(name) or (server is not None and _is_same(name, server[0])):
            return None
        return PlainTextResponse(_MISDIRECTED, HTTPStatus.MISDIRECTED_REQUEST)


def is_this_machine(host: str) -> bool:
    """Whether only browsers and programs of this machine can reach anything by this name."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _host_of(lines: list[str]) -> str | None:
    """The name without its port; None when there is no single good one."""
    if len(lines) != 1 or not lines[0] or not set("/@?#\\ \t").isdisjoint(lines[0]):
        return None
    try:
        parts = urlsplit(f"//{lines[0]}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname.rstrip(".") if parts.hostname else None


def _is_same(name: str, address: str) -> bool:
    try:
        return ip_address(name) == ip_address(address)
    except ValueError:
        return False
