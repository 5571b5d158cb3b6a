"""Where requests come from: what a proxy may say of it, and nobody else."""

from ipaddress import ip_network
from typing import Any

import pytest
import structlog

from web.domain.access import Source
from web.sources import REQUEST_ID_HEADER, Sources

PROXY = "10.0.0.2"
TRUSTED = (ip_network("10.0.0.0/24"),)


async def passed(client: str | None = PROXY, trusted: Any = TRUSTED, **headers: str) -> tuple[dict[str, Any], Any]:
    """What the application and the client get of one request."""
    seen: dict[str, Any] = {}
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope, logged=structlog.contextvars.get_contextvars().get("request_id"))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "scheme": "http",
        "client": None if client is None else (client, 1234),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    await Sources(app, trusted)(scope, None, send)  # type: ignore[arg-type]
    return seen, dict(sent[0]["headers"])


pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7, 10.0.0.9", "198.51.100.7"),
        ("198.51.100.7:5555", "198.51.100.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:5555", "2001:db8::1"),
        ("10.0.0.7", "10.0.0.7"),
        ("203.0.113.9, unknown", PROXY),
        ("nonsense", PROXY),
        ("", PROXY),
    ],
)
async def test_a_trusted_proxy_says_whom_it_speaks_for(told: str, address: str) -> None:
    seen, _ = await passed(x_forwarded_for=told)
    assert seen["state"]["source"].address == address


@pytest.mark.parametrize(("client", "trusted"), [("192.0.2.1", TRUSTED), (PROXY, ()), (None, TRUSTED)])
async def test_what_anybody_else_forwards_is_passed_over(client: str | None, trusted: Any) -> None:
    seen, _ = await passed(
        client, trusted, x_forwarded_for="198.51.100.7", x_forwarded_proto="https", forwarded="for=198.51.100.7"
    )
    assert (seen["state"]["source"].address, seen["scheme"]) == (client, "http")


@pytest.mark.parametrize(
    ("told", "scheme"), [("https", "https"), ("http, https", "https"), ("https, http", "http"), ("gopher", "http")]
)
async def test_a_trusted_proxy_says_whether_it_was_spoken_to_by_tls(told: str, scheme: str) -> None:
    assert (await passed(x_forwarded_proto=told))[0]["scheme"] == scheme


async def test_neither_another_host_nor_the_standard_header_is_believed_of_a_proxy() -> None:
    seen, _ = await passed(forwarded="for=198.51.100.7;proto=https;host=evil.example", x_forwarded_host="evil.example")
    assert (seen["state"]["source"].address, seen["scheme"]) == (PROXY, "http")
    assert not [value for name, value in seen["headers"] if name == b"host"]


async def test_every_request_gets_an_id_of_its_own_that_is_answered_and_logged() -> None:
    first, headers = await passed(x_request_id="00000000-0000-0000-0000-000000000000")
    second, _ = await passed()
    source: Source = first["state"]["source"]
    assert headers[REQUEST_ID_HEADER.lower().encode()] == str(source.request_id).encode()
    assert first["logged"] == str(source.request_id)
    assert source.request_id not in (None, second["state"]["source"].request_id)
    assert str(source.request_id) != "00000000-0000-0000-0000-000000000000"
