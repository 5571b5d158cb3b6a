"""HTTP connections: what a client may take of one before anybody knows who it is."""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from protocol.timeouts import Timeouts

TRANSPORT_EXTENSION = "reelkeeper.transport"
"""Where a request finds its connection: one that is stuck is cut off there."""
HEAD_LIMIT_BYTES = 64 * 1024
"""Of the request line and the headers together."""

_BAD = "400 Bad Request"
_TOO_LARGE = "431 Request Header Fields Too Large"


class Connection(HttpToolsProtocol):
    """Ends when a head does not come in time or is too long, or when a body goes on long after the answer."""

    def __init__(self, *, timeouts: Timeouts, **given: Any) -> None:
        super().__init__(**given)
        self._timeouts = timeouts
        self._deadline: asyncio.TimerHandle | None = None
        self._unfinished_bytes = 0
        self._is_in_head = False
        self._is_in_message = False
        self._refusal = _BAD

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app = _with(transport, self.app)
        self._end_after(self._timeouts.request_head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._go_on()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._is_in_head:
            self._unfinished_bytes += len(data)
            if self._unfinished_bytes > HEAD_LIMIT_BYTES:
                self._refusal = _TOO_LARGE
                self.send_400_response("The head of this request is too long.")
        elif self._is_idle and self._deadline is None:
            self._end_after(self._timeouts.request_head)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._unfinished_bytes = 0
        self._is_in_head = self._is_in_message = True
        self._end_after(self._timeouts.request_head)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._go_on()
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > HEAD_LIMIT_BYTES:
            self._refusal = _TOO_LARGE
            raise ValueError("the head is too long")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_message = False
        self._go_on()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_in_message and not self._is_in_head:
            self._end_after(self._timeouts.request_rest)

    def send_400_response(self, msg: str) -> None:
        text = f"{msg}\n"
        head = (
            f"HTTP/1.1 {self._refusal}",
            "content-type: text/plain; charset=utf-8",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
            f"content-length: {len(text)}",
            "connection: close",
        )
        self.transport.write("\r\n".join([*head, "", text]).encode())
        self.transport.close()

    @property
    def _is_idle(self) -> bool:
        """Nothing was begun, and the usual limit of an idle connection was just lifted by what was received."""
        is_answered = self.cycle is None or self.cycle.response_complete
        return is_answered and not self._is_in_message and self.timeout_keep_alive_task is None

    def _end_after(self, seconds: float) -> None:
        self._go_on()
        self._deadline = self.loop.call_later(seconds, self.transport.close)

    def _go_on(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def certificate_fingerprint(scope: Any) -> str | None:
    """SHA-256, in hex, of the certificate that the client of this request proved to have; None for none.

    It was signed by the authority of the settings, which says nothing yet of who the client is.
    """
    transport = scope.get("extensions", {}).get(TRANSPORT_EXTENSION)
    link = None if transport is None else transport.get_extra_info("ssl_object")
    certificate = None if link is None else link.getpeercert(binary_form=True)
    return None if certificate is None else sha256(certificate).hexdigest()


def _with(transport: asyncio.Transport, app: Any) -> Callable[..., Any]:
    async def with_transport(scope: Any, receive: Any, send: Any) -> None:
        scope.setdefault("extensions", {})[TRANSPORT_EXTENSION] = transport
        await app(scope, receive, send)

    return with_transport
