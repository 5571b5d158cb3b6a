"""Nodes show a certificate besides their token, where the settings name who signs those."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from web.domain.errors import UnauthorisedError
from web.errors import problem_response
from web.sources import source_of


class CertificateNeeded:
    """Refuses a request whose connection proved no certificate of that authority, before anything of it is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if source_of(request).certificate is not None:
            await self._app(scope, receive, send)
            return
        refusal = UnauthorisedError(
            "This controller speaks only to nodes that show a certificate of its authority. Give the agent one by "
            "REELKEEPER_CLIENT_CERTIFICATE and REELKEEPER_CLIENT_KEY."
        )
        await (await problem_response(request, refusal))(scope, receive, send)
