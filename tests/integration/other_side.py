"""The other side of a webhook: a server with TLS on loopback, whose certificate an authority of its own has signed."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "hooks.example.org"
Writing = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Received:
    """One request."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class OtherSide:
    """What it was sent, and what it answers: the next of `answers`, the last one again and again."""

    port: int
    ca_file: Path
    answers: list[bytes | Writing] = field(default_factory=lambda: [answer(200)])
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def has_received(self, number: int) -> None:
        """Returns once it was sent so many requests."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.received) >= number)

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.port}/hook?key=of-the-url"

    async def loopback(self, host: str, port: int) -> Sequence[str]:
        """Whatever name is asked for."""
        return ["127.0.0.1"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *fields = head.rstrip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in fields)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            async with self._news:
                self.received.append(Received(line, headers, body))
                self._news.notify_all()
            said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if isinstance(said, bytes):
                writer.write(said)
                await writer.drain()
            else:
                await said(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def endless(writer: asyncio.StreamWriter) -> None:
    """An answer that does not end by itself."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def silent(writer: asyncio.StreamWriter) -> None:
    """No answer as long as somebody waits."""
    await writer.wait_closed()


@asynccontextmanager
async def other_side(folder: Path, name: str = NAME) -> AsyncIterator[OtherSide]:
    """It listens until the end of the block."""
    ca_file, chain = _certificates(folder, name)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(chain)
    side = OtherSide(0, ca_file)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await side.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    side.port = server.sockets[0].getsockname()[1]
    try:
        yield side
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _certificates(folder: Path, name: str) -> tuple[Path, Path]:
    """The file of the authority, and that of the server's key and certificate."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _named("Authority of this test")
    ca_file, chain = folder / "ca.pem", folder / "chain.pem"
    ca_file.write_bytes(
        _builder(ca, ca, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    certificate = (
        _builder(_named(name), ca, key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    chain.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return ca_file, chain


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
