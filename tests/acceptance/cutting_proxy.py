"""A TCP proxy between agent and controller that cuts uploads at random bytes and remembers what passed."""

import contextlib
import random
import re
import socket
import threading
from dataclasses import dataclass, field

BLOCK_BYTES = 4096
_REQUEST = re.compile(rb"^(PUT) (/\S*/audio) ")
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_RANGE = re.compile(rb"\r\ncontent-range: bytes (\d+)-", re.IGNORECASE)


@dataclass
class Append:
    """One request that appends audio: where it began, and how many bytes were let through."""

    start: int
    passed: int = 0
    was_cut: bool = False


@dataclass
class CuttingProxy:
    """Listens on `port`. While `cuts_left` is above 0 each append is cut after some of its bytes."""

    target: int
    seed: int
    cuts_left: int = 0
    is_cut: bool = False
    """Set: nothing passes any more, what is open is closed."""
    appends: list[Append] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.is_cut:
                    client.close()
                    continue
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.target)) as server:
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            self._pass_requests(client, server)
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            back.join()

    def _pass_requests(self, client: socket.socket, server: socket.socket) -> None:
        """Returns when the client is done or its append was cut."""
        pending = b""
        while True:
            while b"\r\n\r\n" not in pending:
                received = client.recv(BLOCK_BYTES)
                if not received or self.is_cut:
                    return
                pending += received
            head, _, pending = pending.partition(b"\r\n\r\n")
            server.sendall(head + b"\r\n\r\n")
            head += b"\r\n"
            length = _LENGTH.search(head)
            left = int(length[1]) if length else 0
            append, allowed = self._begin(head, left)
            while left:
                block = pending[:left] if pending else client.recv(min(left, BLOCK_BYTES))
                pending = pending[len(block) :]
                if not block or self.is_cut:
                    return
                block = block[: allowed - (append.passed if append else 0)] if append else block
                server.sendall(block)
                left -= len(block)
                if append:
                    append.passed += len(block)
                    if append.passed >= allowed and left:
                        append.was_cut = True
                        return

    def _begin(self, head: bytes, length: int) -> tuple[Append | None, int]:
        found = _RANGE.search(head)
        if not _REQUEST.match(head) or not found:
            return None, length
        append = Append(start=int(found[1]))
        self.appends.append(append)
        if self.cuts_left > 0 and length > 1:
            self.cuts_left -= 1
            return append, self._random.randrange(1, length)
        return append, length


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(BLOCK_BYTES):
            sink.sendall(block)
