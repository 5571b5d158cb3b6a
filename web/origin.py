"""Nobody else's page may act in the name of who is signed in here."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from web.sessions import is_secure, session_token

OnRefusal = Callable[[Request], Awaitable[None]]

_SAFE = {"GET", "HEAD", "OPTIONS"}
_OURS = {"same-origin", "none"}
_REFUSAL = "This did not come from a page of this console, so nothing was changed. Open the console and do it there.\n"


class SameOrigin:
    """Refuses requests that change something, and bring no token, unless they come from our own pages.

    Calls of the APIs with a token of their own are not concerned: no browser adds that by itself. Those without a
    cookie are nobody's: they get no further than a stranger does.
    """

    def __init__(self, app: ASGIApp, on_refusal: OnRefusal | None = None) -> None:
        """`on_refusal` is called before each refusal is answered."""
        self._app = app
        self._on_refusal = on_refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in _SAFE and not is_allowed(Request(scope)):
            if self._on_refusal is not None:
                await self._on_refusal(Request(scope))
            await PlainTextResponse(_REFUSAL, HTTPStatus.FORBIDDEN)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def is_allowed(request: Request) -> bool:
    """Whether a request that changes something may go on."""
    if request.scope["path"].startswith("/api/"):
        has_token = request.headers.get("authorization", "").lower().startswith("bearer ")
        if has_token or session_token(request) is None:
            return True
    return _is_from_here(request.headers, "https" if is_secure(request) else "http")


def _is_from_here(headers: Mapping[str, str], scheme: str) -> bool:
    """By what browsers say of themselves; older ones send an Origin only."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in _OURS
    host = headers.get("host")
    return bool(host) and headers.get("origin") == f"{scheme}://{host}"
