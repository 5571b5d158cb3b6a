"""A database that can go away and come back: a socket before the real one."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

_SOCKET = ".s.PGSQL.5432"


class DatabaseProxy:
    """Passes every connection on to the server, while it is there."""

    def __init__(self, url: str, folder: Path) -> None:
        parts = urlsplit(url)
        self._real = Path(parse_qs(parts.query)["host"][0]) / _SOCKET
        self._socket = folder / _SOCKET
        self.url = url.replace(parts.query, f"host={quote(str(folder), safe='')}")
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.hides_ends = False
        """Whether a connection that the server closed stays open on this side, and says nothing."""

    async def come_back(self) -> None:
        self._server = await asyncio.start_unix_server(self._pass_on, self._socket)

    async def go_away(self) -> None:
        """Nobody listens any more, and every connection breaks."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            self._socket.unlink(missing_ok=True)
        for writer in self._writers:
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        real_reader, real_writer = await asyncio.open_unix_connection(self._real)
        self._writers |= {writer, real_writer}
        if self._server is None:  # it went away meanwhile
            writer.transport.abort()
            real_writer.transport.abort()
        await asyncio.gather(_copy(reader, real_writer), self._copy_answers(real_reader, writer))
        writer.close()
        self._writers -= {writer, real_writer}

    async def _copy_answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _pass(reader, writer)
        if not self.hides_ends:
            writer.close()


@asynccontextmanager
async def database_proxy(url: str) -> AsyncIterator[DatabaseProxy]:
    """A proxy that is there."""
    with tempfile.TemporaryDirectory(prefix="rk-") as folder:
        proxy = DatabaseProxy(url, Path(folder))
        await proxy.come_back()
        try:
            yield proxy
        finally:
            await proxy.go_away()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _pass(reader, writer)
    writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
