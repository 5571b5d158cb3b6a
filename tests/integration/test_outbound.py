"""What people may have us send to reaches nothing inside, is sent to whom it is meant for, and costs little."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.integration.other_side import OtherSide, answer, endless, other_side, silent
from web.domain.errors import InvalidError
from web.outbound import ForbiddenAddressError, Outbound, OutboundError, OutboundLimits, checked_url, is_public

pytestmark = pytest.mark.anyio

LOOPBACK = [ip_network("127.0.0.0/8")]


@pytest.fixture
async def side(tmp_path: Path, anyio_backend: str) -> AsyncIterator[OtherSide]:
    async with other_side(tmp_path) as side:
        yield side


def outbound_to(side: OtherSide, **limits: float) -> Outbound:
    return Outbound(
        LOOPBACK,
        resolve=side.loopback,
        ca_file=side.ca_file,
        limits=OutboundLimits(**limits),  # type: ignore[arg-type]
    )


async def test_post_reaches_the_address_under_the_name_that_was_asked_for(side: OtherSide) -> None:
    side.answers = [answer(204, Retry_After="7")]

    reply = await outbound_to(side).post(side.url, b'{"a":1}', {"Content-Type": "application/json"})

    [received] = side.received
    assert (reply.status, reply.retry_after) == (204, "7")
    assert (received.line, received.body) == ("POST /hook?key=of-the-url HTTP/1.1", b'{"a":1}')
    assert received.headers["host"] == f"hooks.example.org:{side.port}"


async def test_certificate_of_another_name_or_authority_is_refused(side: OtherSide) -> None:
    trusting = outbound_to(side)
    other_name = f"https://elsewhere.example.org:{side.port}/"
    for outbound, url in ((trusting, other_name), (Outbound(LOOPBACK, resolve=side.loopback), side.url)):
        with pytest.raises(OutboundError, match="certificate"):
            await outbound.post(url, b"", {})
    assert side.received == []


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1", "240.0.0.1", "192.88.99.1"),
        *("::1", "::", "fe80::1", "fe80::1%lo", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1", "::127.0.0.1", "fec0::1"),
    ],
)
async def test_name_that_leads_inside_is_refused_before_anything_is_sent(side: OtherSide, address: str) -> None:
    async def inside(host: str, port: int) -> Sequence[str]:
        return ["93.184.215.14", address]

    with pytest.raises(ForbiddenAddressError, match="REELKEEPER_WEBHOOK_NETWORKS"):
        await Outbound(resolve=inside, ca_file=side.ca_file).post(side.url, b"", {})
    assert side.connections == 0


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "127.1", "2130706433", "0x7f.0.0.1", "localhost", "[::ffff:127.0.0.1]"]
)
async def test_no_spelling_of_this_machine_is_sent_to(side: OtherSide, host: str) -> None:
    with pytest.raises(OutboundError):
        await Outbound(ca_file=side.ca_file).post(f"https://{host}:{side.port}/", b"", {})
    assert side.connections == 0


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "172.32.0.1", "100.128.0.1"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


async def test_name_that_changes_its_address_is_asked_for_once(side: OtherSide) -> None:
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    outbound = Outbound(LOOPBACK, resolve=rebinding, ca_file=side.ca_file)
    assert (await outbound.post(side.url, b"", {})).status == 200
    assert asked == ["hooks.example.org"]
    with pytest.raises(ForbiddenAddressError):
        await outbound.post(side.url, b"", {})
    assert side.connections == 1


async def test_redirect_is_an_answer_and_is_not_followed(side: OtherSide) -> None:
    side.answers = [answer(307, Location=f"https://127.0.0.1:{side.port}/inside")]
    assert (await outbound_to(side).post(side.url, b"", {})).status == 307
    assert side.connections == 1


async def test_answer_that_does_not_end_is_read_to_its_limit(side: OtherSide) -> None:
    side.answers = [endless]
    reply = await outbound_to(side).post(side.url, b"", {})
    assert (reply.status, len(reply.body)) == (200, 64 * 1024)


async def test_compressed_answer_is_not_unpacked(side: OtherSide) -> None:
    side.answers = [answer(200, b"\x1f\x8b not even gzip", Content_Encoding="gzip")]
    assert (await outbound_to(side).post(side.url, b"", {})).body.startswith(b"\x1f\x8b")
    assert side.received[0].headers["accept-encoding"] == "identity"


async def test_whoever_does_not_answer_is_left(side: OtherSide) -> None:
    side.answers = [silent]
    with pytest.raises(OutboundError, match="took longer than"):
        await outbound_to(side, total_seconds=0.3).post(side.url, b"", {})


async def test_resolver_that_hangs_is_left(side: OtherSide) -> None:
    async def hanging(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    outbound = Outbound(resolve=hanging, limits=OutboundLimits(connect_seconds=0.05))
    with pytest.raises(OutboundError, match="not resolved in time"):
        await outbound.post(side.url, b"", {})


async def test_no_fault_tells_the_url(side: OtherSide) -> None:
    side.answers = [b"nonsense\r\n\r\n"]
    with pytest.raises(OutboundError) as fault:
        await outbound_to(side).post(side.url, b"", {})
    assert "of-the-url" not in str(fault.value)


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.org/", "ftp://example.org/", "https://", "https:///x", "https://u:p@example.org/", "//x/"),
        *("https://example.org/#x", "https://example.org:0/", "https://example.org:99999/", "https://exa mple.org/"),
        *(
            "https://example.org\\@127.0.0.1/",
            "https://[::1",
            "https://exämple.org/",
            f"https://example.org/{'x' * 2000}",
        ),
        "file:///etc/passwd",
    ],
)
def test_what_is_no_plain_https_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidError):
        checked_url(url)
