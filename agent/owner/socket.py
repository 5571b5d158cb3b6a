"""The owner's socket: bounded frames, a token first, one controlling agent at a time.

A frame is its length (4 bytes, big endian) and that many bytes of JSON, at most 64 KiB either way.
The first request carries the token. An answer is `{"ok": ...}` or `{"error": {"code", "message"}}`.
"""

import hmac
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from protocol.timeouts import Timeouts

log = logging.getLogger(__name__)

MOST_FRAME_BYTES = 65_536
LENGTH_BYTES = 4
_MOST_CONNECTIONS = 8
_MOST_WAITING = 64
_CONTROLS_NOTHING = {"hook"}
"""Requests that are answered also while another agent has the control: whoever knows the token may break an input."""

Fields = dict[str, Any]
Answer = Callable[[Fields], Fields]
"""A request's fields → the whole answer. Never raises."""


class FrameError(Exception):
    """A frame that is too long, or no JSON object."""


def encode(fields: Fields) -> bytes:
    """Raises FrameError for more than a frame can hold."""
    body = json.dumps(fields).encode()
    if len(body) > MOST_FRAME_BYTES:
        raise FrameError(f"{len(body)} bytes are too much for one frame.")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def body_bytes(header: bytes) -> int:
    """Raises FrameError for a length beyond the limit, before anything is read for it."""
    length = int.from_bytes(header, "big")
    if length > MOST_FRAME_BYTES:
        raise FrameError(f"A frame of {length} bytes is refused.")
    return length


def decode(body: bytes) -> Fields:
    """Raises FrameError for anything but a JSON object."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as cause:
        raise FrameError("A frame holds no JSON.") from cause
    if not isinstance(fields, dict):
        raise FrameError("A frame holds no JSON object.")
    return fields


def error_answer(code: str, message: str) -> Fields:
    return {"error": {"code": code, "message": message}}


def bind(path: Path) -> socket.socket:
    """A listening socket, in place of one that a dead owner left. The caller holds the owner's lock."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(_MOST_WAITING)
    return listener


class Server:
    """Serves one listener with a thread for each of a few connections."""

    def __init__(self, listener: socket.socket, token: str, answer: Answer, timeouts: Timeouts) -> None:
        self._listener = listener
        self._token = token
        self._answer = answer
        self._timeouts = timeouts
        self._places = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._control = threading.Lock()

    def start(self) -> None:
        threading.Thread(target=self._accept, name="accept", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
                self._admit(connection)
            except Exception:  # no descriptor, memory or thread: that passes, and nobody else would accept
                with suppress(MemoryError):  # of the log itself
                    log.exception("a connection could not be accepted")
                time.sleep(self._timeouts.device_period)

    def _admit(self, connection: socket.socket) -> None:
        """Serves it in a thread of its own; closes it when there is no place, or no thread."""
        if not self._places.acquire(blocking=False):
            connection.close()
            return
        try:
            threading.Thread(target=self._serve, args=(connection,), name="agent", daemon=True).start()
        except BaseException:
            connection.close()
            self._places.release()
            raise

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._converse(connection)
        except (OSError, FrameError) as error:
            log.info("a connection ended: %s", error)
        finally:
            self._places.release()

    def _converse(self, connection: socket.socket) -> None:
        deadline = time.monotonic() + self._timeouts.owner_first_request
        first = _receive(connection, deadline)
        if first is None:
            return
        if not hmac.compare_digest(str(first.get("token")).encode(), self._token.encode()):
            self._send(connection, error_answer("wrong_token", "The token is not the one of this owner."))
            return
        if first.get("do") in _CONTROLS_NOTHING:
            self._send(connection, self._answer(first))
            return
        if not self._control.acquire(blocking=False):
            self._send(connection, error_answer("busy", "Another agent controls this owner."))
            return
        try:
            request: Fields | None = first
            while request is not None:
                self._send(connection, self._answer(request))
                connection.settimeout(None)
                header = connection.recv(1)  # however long the agent has nothing to ask
                deadline = time.monotonic() + self._timeouts.owner_request
                request = _receive(connection, deadline, header) if header else None
        finally:
            self._control.release()

    def _send(self, connection: socket.socket, fields: Fields) -> None:
        connection.settimeout(self._timeouts.owner_request)
        connection.sendall(encode(fields))


def _receive(connection: socket.socket, deadline: float, begun: bytes = b"") -> Fields | None:
    """One whole frame by the deadline (monotonic seconds), or None when the other side closed before it."""
    header = _read(connection, LENGTH_BYTES, deadline, begun)
    if not header:
        return None
    return decode(_read(connection, body_bytes(header), deadline))


def _read(connection: socket.socket, size: int, deadline: float, begun: bytes = b"") -> bytes:
    parts = bytearray(begun)
    while len(parts) < size:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request did not come in time")
        connection.settimeout(left)
        part = connection.recv(size - len(parts))
        if not part and parts:
            raise FrameError("A frame is cut off.")
        if not part:
            break
        parts += part
    return bytes(parts)
