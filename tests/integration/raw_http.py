"""A client that says exactly these bytes: for what no good client sends."""

import asyncio
import ssl
from urllib.parse import urlsplit


async def opened(url: str, tls: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the controller of this address."""
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port, ssl=tls)


async def said(url: str, data: bytes, *, seconds: float = 20.0, tls: ssl.SSLContext | None = None) -> bytes:
    """All that is answered to these bytes until the server closes; an error when it does not in time."""
    reader, writer = await opened(url, tls)
    try:
        writer.write(data)
        async with asyncio.timeout(seconds):
            return await _rest(reader)
    finally:
        writer.close()


async def trickled(url: str, head: bytes, *, seconds: float = 20.0) -> bytes:
    """The same for a client that goes on with one byte at a time after these."""
    reader, writer = await opened(url)
    going_on = asyncio.create_task(_go_on(writer, head))
    try:
        async with asyncio.timeout(seconds):
            return await _rest(reader)
    finally:
        going_on.cancel()
        writer.close()


def request(line: str, *headers: str, url: str, body: bytes = b"") -> bytes:
    """A request with its Host, whose connection is closed after the answer."""
    host = urlsplit(url).netloc
    return "\r\n".join([f"{line} HTTP/1.1", f"Host: {host}", "Connection: close", *headers, "", ""]).encode() + body


def status_of(answer: bytes) -> int:
    """0 when nothing was answered."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


async def _rest(reader: asyncio.StreamReader) -> bytes:
    found = b""
    try:
        while block := await reader.read(65536):
            found += block
    except ConnectionResetError:
        return found
    return found


async def _go_on(writer: asyncio.StreamWriter, head: bytes) -> None:
    writer.write(head)
    while True:
        await asyncio.sleep(0.02)
        writer.write(b"a")
