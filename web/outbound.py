"""What this controller says to others. By an address that people may type, nothing inside our network is reached.

An address is resolved once, every answer of the resolver is held against the rules, and exactly that address is
connected to, under the name that was asked for. Nothing is followed, and no answer is read beyond its limit.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import httpx

from web.domain.errors import ControllerError, InvalidError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name. Raises OSError."""

URL_LIMIT = 2_000
_HTTPS_PORT = 443


@dataclass(frozen=True)
class OutboundLimits:
    """Seconds and bytes of one call."""

    connect_seconds: float = 5.0
    """Also for resolving the name."""
    total_seconds: float = 30.0
    answer_bytes: int = 64 * 1024


class OutboundError(ControllerError):
    """The other side could not be spoken to."""


class ForbiddenAddressError(OutboundError):
    """That address lies in a network that nothing may be sent to."""

    def __init__(self, host: str, address: str) -> None:
        super().__init__(
            f"{host} is {address}, which lies in a network that nothing may be sent to; if it should be, name that "
            "network in REELKEEPER_WEBHOOK_NETWORKS."
        )


@dataclass(frozen=True)
class Reply:
    """What the other side answered."""

    status: int
    retry_after: str | None
    body: bytes
    """Its beginning, where it is longer than may be read."""
    seconds: float


class Outbound:
    """One a controller."""

    def __init__(
        self,
        allowed: Sequence[Network] = (),
        *,
        limits: OutboundLimits | None = None,
        resolve: Resolver | None = None,
        ca_file: Path | None = None,
    ) -> None:
        """`allowed`: networks that may be sent to although they are not public. `ca_file`: whom to trust besides."""
        self._allowed = tuple(allowed)
        self._limits = limits or OutboundLimits()
        self._resolve = resolve or _resolved
        self._ca_file = ca_file

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """One POST, to one address. Any status is a reply.

        Raises InvalidError for a URL that is none, ForbiddenAddressError, OutboundError. None of them holds the URL,
        which may be secret, nor what was sent.
        """
        parts, began = checked_url(url), time.monotonic()
        host, port = parts.hostname or "", parts.port or _HTTPS_PORT
        try:
            async with asyncio.timeout(self._limits.total_seconds):
                address = await self._address_of(host, port)
                return await self._exchange(parts, host, port, address, body, headers, began)
        except TimeoutError as late:
            raise OutboundError(f"{host} took longer than {self._limits.total_seconds:g} s.") from late
        except httpx.ConnectTimeout as late:
            raise OutboundError(f"{host} was not reached within {self._limits.connect_seconds:g} s.") from late
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            raise OutboundError(f"{host} could not be spoken to ({_reason(fault)}).") from fault

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made for the first post: to read whom this machine trusts takes a while."""
        tls = ssl.create_default_context()
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._ca_file is not None:
            tls.load_verify_locations(self._ca_file)
        return tls

    async def _address_of(self, host: str, port: int) -> Address:
        """The one that is connected to. All addresses of the name must be allowed, whichever is taken."""
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                found = [_unmapped(ip_address(one)) for one in await self._resolve(host, port)]
        except TimeoutError as late:
            raise OutboundError(f"The name {host} was not resolved in time.") from late
        except (OSError, ValueError) as fault:
            raise OutboundError(f"The name {host} has no address.") from fault
        if not found:
            raise OutboundError(f"The name {host} has no address.")
        for address in found:
            if not self._may_be_sent_to(address):
                raise ForbiddenAddressError(host, str(address))
        return found[0]

    def _may_be_sent_to(self, address: Address) -> bool:
        return is_public(address) or any(
            address.version == network.version and address in network for network in self._allowed
        )

    async def _exchange(
        self,
        parts: SplitResult,
        host: str,
        port: int,
        address: Address,
        body: bytes,
        headers: Mapping[str, str],
        began: float,
    ) -> Reply:
        target = parts._replace(netloc=f"{_bracketed(str(address))}:{port}").geturl()
        own = {"Host": _bracketed(host) + ("" if port == _HTTPS_PORT else f":{port}"), "Accept-Encoding": "identity"}
        total, connect = self._limits.total_seconds, self._limits.connect_seconds
        async with httpx.AsyncClient(
            verify=self._tls,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(total, connect=connect),
            headers={"User-Agent": "Reelkeeper"},
        ) as client:
            request = client.build_request(
                "POST", target, content=body, headers={**headers, **own}, extensions={"sni_hostname": host}
            )
            response = await client.send(request, stream=True)
            try:
                answer = await self._beginning(response)
            finally:
                await response.aclose()
        return Reply(response.status_code, response.headers.get("Retry-After"), answer, time.monotonic() - began)

    async def _beginning(self, response: httpx.Response) -> bytes:
        """As it was sent: what is compressed is not unpacked."""
        answer = bytearray()
        async for block in response.aiter_raw():
            answer += block
            if len(answer) >= self._limits.answer_bytes:
                break
        return bytes(answer[: self._limits.answer_bytes])


def checked_url(url: str) -> SplitResult:
    """Raises InvalidError for anything but `https://name[:port]/…`, without a name or password for it."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as fault:
        raise InvalidError("This is no address; write https://name/path.", field="url") from fault
    if parts.scheme != "https" or not host or port == 0:
        raise InvalidError("Write an address that begins with https:// and names a host.", field="url")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidError("Leave out the name and password before @, and what stands behind #.", field="url")
    if len(url) > URL_LIMIT or not (url.isascii() and url.isprintable()) or " " in url or "\\" in url:
        raise InvalidError(f"An address has at most {URL_LIMIT} plain characters and no spaces.", field="url")
    return parts


def is_public(address: Address) -> bool:
    """Whether it belongs to the Internet: to no machine of its own network, and to no protocol that leads into one."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


# RFC 6890 and its registry, multicast, and what is reserved
_NOT_PUBLIC_4 = [
    IPv4Network(one)
    for one in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
]
_PUBLIC_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = [IPv6Network(one) for one in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]
"""Of the public ones: Teredo and other protocols, documentation, 6to4, which carries an address of the other kind."""


def _unmapped(address: Address) -> Address:
    """What a mapped one stands for."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _reason(fault: Exception) -> str:
    """Without what the library adds of the request."""
    return (str(fault) or type(fault).__name__)[:200]


async def _resolved(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]
