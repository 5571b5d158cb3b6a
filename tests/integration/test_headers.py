"""The headers of every kind of answer, by their exact words."""

from collections.abc import Mapping

import httpx
import pytest

from tests.integration.console import FRAGMENT, person
from tests.integration.web_room import Running, WebAgent, make_content
from web.headers import HEADERS, STRICT_TRANSPORT
from web.rendering import PAGE_HEADERS
from web.store.database import Database

pytestmark = pytest.mark.anyio

FILE_POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"
DEVICES = (
    "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), "
    "magnetometer=(), microphone=(), midi=(), payment=(), publickey-credentials-get=(), serial=(), usb=()"
)
ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
NOTHING = {"content-security-policy": "default-src 'none'; frame-ancestors 'none'", "cache-control": "no-store"}
PAGE = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "media-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": DEVICES,
    "cache-control": "no-store",
    "vary": "HX-Request, HX-History-Restore-Request",
}
FILE = {
    "content-security-policy": FILE_POLICY,
    "cache-control": "private, no-store",
    "accept-ranges": "bytes",
}


def differing(answer: httpx.Response, wanted: Mapping[str, str]) -> dict[str, str | None]:
    """Headers that are not as they should be."""
    found = {name: answer.headers.get(name) for name in wanted}
    return {name: value for name, value in found.items() if value is None or not value.startswith(wanted[name])}


async def test_every_kind_of_answer_has_its_headers(
    controller: Running, agent: WebAgent, user: httpx.AsyncClient, visitor: httpx.AsyncClient
) -> None:
    job = await agent.room.claimed()
    await agent.deliver(job, make_content(5_000))
    recording = f"/recordings/{job.recording_id}"
    kinds = {
        "page": (await visitor.get("/"), PAGE),
        "fragment": (await visitor.get("/nodes", headers=FRAGMENT), NOTHING | {"vary": PAGE["vary"]}),
        "page that is not there": (await visitor.get("/nowhere"), PAGE),
        "page of a stranger": (await agent.http.get(f"{controller.url}/jobs"), NOTHING),
        "refused by its origin": (await visitor.post("/sign-out", headers={"Sec-Fetch-Site": "cross-site"}), NOTHING),
        "refused by its name": (await visitor.get("/", headers={"Host": "evil.example"}), NOTHING),
        "sound": (await visitor.get(f"{recording}/audio"), FILE),
        "range": (await visitor.get(f"{recording}/audio", headers={"Range": "bytes=0-9"}), FILE),
        "download": (await visitor.get(f"{recording}/download"), FILE | {"content-disposition": "attachment; "}),
        "ledger": (await visitor.get(f"{recording}/ledger"), FILE | {"content-disposition": "attachment; "}),
        "sound of a program": (await user.get(f"/api/v1{recording}/audio"), FILE),
        "data": (await user.get("/api/v1/recordings"), NOTHING),
        "problem": (await user.get(f"/api/v1/recordings/{agent.room.node.node_id}"), NOTHING),
        "no token": (await visitor.get("/api/v1/recordings"), NOTHING | {"www-authenticate": "Bearer"}),
        "no method": (await user.delete("/api/v1/recordings"), NOTHING),
        "health": (await visitor.get("/healthz"), NOTHING),
        "document": (await visitor.get("/api/v1/openapi.json"), NOTHING),
        "asset": (await visitor.get("/static/css/reelkeeper.css"), {"cache-control": "no-cache"}),
    }
    for kind, (answer, wanted) in kinds.items():
        assert differing(answer, ALWAYS | wanted | {"x-request-id": ""}) == {}, kind
        assert "strict-transport-security" not in answer.headers, kind
        assert not {"access-control-allow-origin", "server", "x-powered-by"} & set(answer.headers), kind


async def test_signing_out_lets_the_browser_forget(controller: Running, db: Database) -> None:
    async with person(controller.url, db) as visitor:
        answer = await visitor.post("/sign-out")
    assert answer.headers["clear-site-data"] == '"cache", "storage"'
    assert "Max-Age=0" in answer.headers["set-cookie"]


async def test_no_secret_stands_in_an_address(controller: Running, visitor: httpx.AsyncClient) -> None:
    """Cookies and headers carry them; what is streamed and played works by them, too."""
    secret = next(iter(visitor.cookies.jar)).value or ""
    for path in ("/", "/recordings", "/nodes", "/jobs", "/account", "/record"):
        answer = await visitor.get(path)
        assert secret not in answer.text
        assert "rks_" not in answer.text + str(answer.headers.get("location"))


def test_the_usual_headers_are_these() -> None:
    assert {name.lower(): value for name, value in HEADERS.items()} == ALWAYS | NOTHING
    assert {name.lower(): value for name, value in PAGE_HEADERS.items()} == PAGE
    assert STRICT_TRANSPORT == "max-age=31536000; includeSubDomains"
