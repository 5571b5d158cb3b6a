"""Which names a controller answers to."""

from collections.abc import Collection

import pytest
from starlette.types import Message, Receive, Scope, Send

from web.hosts import KnownHosts
from web.settings import ControllerSettings

pytestmark = pytest.mark.anyio

HERE = "192.0.2.10"


async def status(*hosts: str, names: Collection[str] = ("console.example",)) -> int:
    """What a request with these Host headers, on a connection to HERE, is answered with."""
    answered: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        answered.append(200)

    async def send(message: Message) -> None:
        answered.append(message.get("status", 0))

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "server": (HERE, 80), "headers": [(b"host", host.encode()) for host in hosts]}
    await KnownHosts(app, names)(scope, receive, send)
    return answered[0]


@pytest.mark.parametrize(
    "host",
    [
        *(
            "console.example",
            "CONSOLE.example",
            "console.example.",
            "console.example:8640",
            "localhost:1",
            "a.localhost",
        ),
        *("127.0.0.1", "127.8.0.1:99", "[::1]:8640", HERE, f"{HERE}:8640"),
    ],
)
async def test_its_names_this_machine_and_the_address_that_was_connected_to_are_answered(host: str) -> None:
    assert await status(host) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "console.example.evil.example", "xconsole.example", "192.0.2.11", "127.0.0.1.evil.example"]
)
async def test_a_name_that_somebody_else_made_point_here_is_not(host: str) -> None:
    assert await status(host) == 421


@pytest.mark.parametrize(
    "hosts",
    [
        *(
            (),
            ("",),
            ("console.example", "evil.example"),
            ("console.example", "console.example"),
            ("a@console.example",),
        ),
        *(("console.example:99999",), ("[::1",), ("console.example/x",), ("console.example evil.example",), (":80",)),
    ],
)
async def test_what_is_no_single_good_name_is_refused(hosts: tuple[str, ...]) -> None:
    assert await status(*hosts) == 400


async def test_names_are_told_by_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELKEEPER_HOSTS", "console.example, rec.example")
    assert await status("rec.example", names=ControllerSettings().known_hosts) == 200
    monkeypatch.delenv("REELKEEPER_HOSTS")
    assert await status("rec.example", names=ControllerSettings().known_hosts) == 421


def test_proxies_are_told_by_addresses_or_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELKEEPER_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8,2001:db8::/32")
    assert [str(one) for one in ControllerSettings().trusted_proxies] == ["127.0.0.1/32", "10.0.0.0/8", "2001:db8::/32"]
    monkeypatch.setenv("REELKEEPER_TRUSTED_PROXIES", "everybody")
    with pytest.raises(ValueError, match="trusted_proxies"):
        ControllerSettings()
