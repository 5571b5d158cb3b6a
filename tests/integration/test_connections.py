"""What a connection may cost before anybody knows who it is, and how it is protected."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message

from agent.controller_client import ControllerClient
from agent.errors import UnauthorisedError, UnreachableError
from agent.joining import enrol
from agent.settings import AgentSettings
from protocol.messages import RunRequest
from protocol.timeouts import Timeouts
from tests.integration.raw_http import request, said, status_of, trickled
from tests.integration.web_room import Running, running, settings_in
from web.bodies import read_body
from web.connections import HEAD_LIMIT_BYTES
from web.domain.access import system
from web.domain.errors import TooLargeError, UnavailableError
from web.serve import StartError, listening, server_config, tls_context
from web.services.recorders import joining
from web.settings import ControllerSettings
from web.sources import Sources
from web.store.database import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def hasty(tmp_path: Path, anyio_backend: str) -> AsyncIterator[str]:
    """The address of a server that waits for heads and bodies a fiftieth as long."""
    timeouts = Timeouts()
    async with _serving(settings_in(tmp_path), replace(timeouts, request_head=0.2, request_rest=0.2)) as url:
        yield url


async def test_a_head_that_does_not_come_in_time_ends_its_connection(hasty: str) -> None:
    for begun in (b"", b"GET /healthz HTT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"\r\n"):
        assert await said(hasty, begun) == b""


async def test_a_head_that_comes_byte_by_byte_has_no_more_time(hasty: str) -> None:
    assert await trickled(hasty, b"GET /healthz HTTP/1.1\r\nX-Slow: ") == b""


@pytest.mark.parametrize(
    "head",
    [
        "GET /" + "a" * HEAD_LIMIT_BYTES,
        "GET /healthz HTTP/1.1\r\nX-One: " + "a" * HEAD_LIMIT_BYTES,
        "GET /healthz HTTP/1.1\r\n" + "".join(f"X-{n}: a\r\n" for n in range(HEAD_LIMIT_BYTES // 8)),
    ],
    ids=["address", "one header", "many headers"],
)
async def test_a_head_that_is_too_long_is_refused_before_its_end(controller: Running, head: str) -> None:
    assert status_of(await said(controller.url, head.encode())) == 431


@pytest.mark.parametrize("limit_bytes", [10, 1_000_000])
async def test_a_body_that_comes_too_slowly_or_never_ends_is_given_up(limit_bytes: int) -> None:
    async def endless() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"a", "more_body": True}

    async def silent() -> Message:
        return await asyncio.Future()

    with pytest.raises(TooLargeError):
        await read_body(Request({"type": "http", "headers": []}, endless), 10, 20)
    with pytest.raises(UnavailableError, match="too slowly"):
        await read_body(Request({"type": "http", "headers": []}, silent), limit_bytes, 0.01)


async def test_a_body_that_goes_on_after_the_answer_is_not_listened_to_for_ever(hasty: str) -> None:
    head = request("GET /", "Content-Length: 100000000", url=hasty).replace(b"Connection: close\r\n", b"")
    assert status_of(await trickled(hasty, head)) == 200


async def test_a_form_or_a_body_that_is_too_long_is_refused_by_its_length_alone(controller: Running) -> None:
    for line, kind in (
        ("POST /sign-in", "application/x-www-form-urlencoded"),
        ("POST /api/agent/v1/enrol", "application/json"),
    ):
        head = request(
            line, f"Content-Type: {kind}", "Content-Length: 99999999999", "Sec-Fetch-Site: none", url=controller.url
        )
        assert status_of(await said(controller.url, head)) == 413


async def test_what_is_announced_in_two_ways_is_refused(controller: Running) -> None:
    """Request smuggling needs two readers that disagree on where a request ends."""
    for headers in (
        ("Content-Length: 6", "Transfer-Encoding: chunked"),
        ("Content-Length: 6", "Content-Length: 7"),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: xchunked",),
        ("Content-Length: +6",),
        ("Content-Length : 6",),
        ("X: a\rContent-Length: 6",),
    ):
        data = request(
            "POST /api/agent/v1/enrol", *headers, url=controller.url, body=b"0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"
        )
        answer = await said(controller.url, data)
        assert status_of(answer) == 400, headers
        assert answer.count(b"HTTP/1.1 ") == 1


# ---- TLS ----


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, a server of it for 127.0.0.1, and a client of it."""
    folder = tmp_path_factory.mktemp("papers")
    _sign(folder, "authority")
    _sign(folder, "server", by="authority")
    _sign(folder, "client", by="authority")
    _sign(folder, "stranger")
    return folder


def secure(folder: Path, papers: Path, **changes: object) -> ControllerSettings:
    given = {"tls_certificate": papers / "server.pem", "tls_key": papers / "server.key", **changes}
    return settings_in(folder, **given)


def trusting(papers: Path, client: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=papers / "authority.pem")
    if client is not None:
        context.load_cert_chain(papers / f"{client}.pem", papers / f"{client}.key")
    return context


async def test_with_a_certificate_the_console_speaks_tls_only_and_says_so(
    tmp_path: Path, papers: Path, database_url: str
) -> None:
    async with running(secure(tmp_path, papers), database_url) as controller:
        assert controller.url.startswith("https://127.0.0.1:")
        async with httpx.AsyncClient(base_url=controller.url, verify=trusting(papers), trust_env=False) as client:
            answer = await client.get("/sign-in")
            assert answer.status_code == 200
            assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
        plain = await said(controller.url, request("GET /healthz", url=controller.url))
        assert status_of(plain) == 0


def test_nothing_older_than_tls_1_2_is_spoken(tmp_path: Path, papers: Path) -> None:
    assert tls_context(secure(tmp_path, papers)).minimum_version is ssl.TLSVersion.TLSv1_2


async def test_a_client_may_show_a_certificate_of_the_right_authority_and_no_other(
    papers: Path, tmp_path: Path
) -> None:
    settings = secure(tmp_path, papers, tls_client_ca=papers / "authority.pem")
    async with _serving(settings) as url:
        for client, found in ((None, "none"), ("client", _fingerprint(papers / "client.pem"))):
            answer = await said(url, request("GET /", url=url), tls=trusting(papers, client))
            assert answer.endswith(found.encode()), client
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            assert await said(url, request("GET /", url=url), tls=trusting(papers, "stranger")) == b""


async def test_where_nodes_need_a_certificate_a_code_or_token_alone_is_refused(
    papers: Path, tmp_path: Path, database_url: str, db: Database
) -> None:
    settings = secure(tmp_path / "controller", papers, tls_client_ca=papers / "authority.pem")
    home = AgentSettings(home=tmp_path / "node", run_folder=tmp_path / "run", ca_file=papers / "authority.pem")
    shown = {"client_certificate": papers / "client.pem", "client_key": papers / "client.key"}
    async with running(settings, database_url) as controller:
        code = (await joining.create_enrolment_code(db, "Hall", by=system("test"))).code
        bare = home.model_copy(update={"controller_url": controller.url})
        with pytest.raises(UnauthorisedError, match="REELKEEPER_CLIENT_CERTIFICATE"):
            await enrol(bare, code)
        node = await enrol(bare.model_copy(update=shown), code)
        for told, is_heard in ((shown, True), ({}, False)):
            async with ControllerClient.of(bare.model_copy(update=told), controller.url, node.token) as client:
                if is_heard:
                    assert (await client.run(RunRequest(previous_run=0, version="1"))).node_run == 1
                else:
                    with pytest.raises(UnauthorisedError):
                        await client.run(RunRequest(previous_run=1, version="1"))


async def test_an_agent_trusts_the_authority_of_its_settings_and_no_other(
    papers: Path, tmp_path: Path, database_url: str
) -> None:
    told = {"home": tmp_path / "node", "run_folder": tmp_path / "run", "time_scale": 0.1}
    async with running(secure(tmp_path / "controller", papers), database_url) as controller:
        for ca_file, kind in (
            (papers / "stranger.pem", UnreachableError),
            (papers / "authority.pem", UnauthorisedError),
        ):
            with pytest.raises(kind):
                await enrol(AgentSettings(**told, ca_file=ca_file, controller_url=controller.url), "rkc_none")


def test_files_for_tls_that_cannot_be_used_are_said_in_one_line(tmp_path: Path, papers: Path) -> None:
    wrong = secure(tmp_path, papers, tls_key=papers / "client.key")
    with pytest.raises(StartError, match="REELKEEPER_TLS_KEY"):
        tls_context(wrong)
    with pytest.raises(ValueError, match="REELKEEPER_TLS_CERTIFICATE"):
        settings_in(tmp_path, tls_key=papers / "server.key")
    assert secure(tmp_path, papers, host="0.0.0.0").local_url.startswith("https://127.0.0.1:")


@asynccontextmanager
async def _serving(settings: ControllerSettings, timeouts: Timeouts | None = None) -> AsyncIterator[str]:
    """A server with the connections of the controller, that answers with the certificate of who asks."""

    async def tell(request: Request) -> Response:
        return PlainTextResponse(request.state.source.certificate or "none")

    app = Starlette(routes=[Route("/", tell)], middleware=[Middleware(Sources)])
    with listening(settings) as listener:
        server = uvicorn.Server(server_config(app, settings, timeouts or settings.timeouts))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"{settings.scheme}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


def _fingerprint(path: Path) -> str:
    return sha256(ssl.PEM_cert_to_DER_cert(path.read_text())).hexdigest()


def _sign(folder: Path, name: str, by: str | None = None) -> None:
    """A key and a certificate, by itself or by another one of the folder."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"] if by else []
    command += ["-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-addext", "basicConstraints=CA:FALSE"] if by else []
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
