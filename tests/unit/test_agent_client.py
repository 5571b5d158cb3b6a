"""What the controller answers becomes one of the agent's errors, and nothing is spoken in the clear."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from agent.controller_client import ControllerClient, FileRange, Lease
from agent.errors import (
    AgentError,
    ControllerFault,
    DigestMismatchError,
    InsecureControllerError,
    LeaseLostError,
    NodeRunSupersededError,
    RetryLaterError,
    UnauthorisedError,
    UnreachableError,
    WrongOffsetError,
)
from agent.patience import Patience, run_together
from protocol.ids import new_id
from protocol.messages import FinishRequest, HeartbeatRequest
from protocol.timeouts import Timeouts

JOB = new_id()
USUAL = Timeouts()
FINISH = FinishRequest(epoch=4, node_run=1, outcome="failed", reason="x", message="y")


def raised_by(answer: Callable[[httpx.Request], httpx.Response], timeouts: Timeouts = USUAL) -> AgentError:
    """What a client says when its controller answers so."""

    async def ask() -> None:
        transport = httpx.MockTransport(answer)
        async with ControllerClient("https://controller.example", "token", timeouts, transport) as client:
            await client.finish(JOB, FINISH)

    with pytest.raises(AgentError) as found:
        asyncio.run(ask())
    return found.value


def problem(status: int, code: str, **facts: object) -> Callable[[httpx.Request], httpx.Response]:
    body = {"title": "no", "status": status, "detail": "because", "code": code, **facts}
    return lambda request: httpx.Response(status, json=body)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "epoch_superseded", LeaseLostError),
        (409, "job_ended", LeaseLostError),
        (409, "node_run_superseded", NodeRunSupersededError),
        (422, "digest_mismatch", DigestMismatchError),
        (401, "unauthorised", UnauthorisedError),
        (422, "invalid", ControllerFault),
        (404, "not_found", ControllerFault),
        (503, "unavailable", RetryLaterError),
        (507, "no_space", RetryLaterError),
    ],
)
def test_problem_becomes_the_error_of_its_code(status: int, code: str, kind: type[AgentError]) -> None:
    error = raised_by(problem(status, code))
    assert type(error) is kind
    assert "because" in str(error)


def test_lost_lease_names_job_and_epoch() -> None:
    error = raised_by(problem(409, "epoch_superseded"))
    assert isinstance(error, LeaseLostError)
    assert (error.job_id, error.epoch) == (JOB, 4)


def test_wrong_offset_carries_the_true_one() -> None:
    error = raised_by(problem(409, "wrong_offset", offset=4711))
    assert isinstance(error, WrongOffsetError)
    assert error.offset == 4711


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0), ("soon", None)])
def test_patience_that_is_asked_for_is_read(header: str, seconds: float | None) -> None:
    error = raised_by(lambda request: httpx.Response(503, headers={"Retry-After": header}))
    assert isinstance(error, RetryLaterError)
    assert error.after_seconds == seconds


def test_answer_of_a_proxy_without_a_problem_is_understood() -> None:
    assert type(raised_by(lambda request: httpx.Response(502, text="<html>bad gateway</html>"))) is RetryLaterError
    assert type(raised_by(lambda request: httpx.Response(401, text=""))) is UnauthorisedError


def test_redirect_is_not_followed() -> None:
    asked: list[str] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"Location": "https://elsewhere.example/"})

    assert isinstance(raised_by(redirect), ControllerFault)
    assert len(asked) == 1


def test_request_without_an_answer_ends_at_its_limit() -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    error = raised_by(never, Timeouts().scaled(0.01))  # type: ignore[arg-type]
    assert isinstance(error, UnreachableError)


def test_token_travels_only_in_the_header() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"jobs": [], "change_no": 3})

    async def ask() -> int:
        transport = httpx.MockTransport(answer)
        async with ControllerClient("https://controller.example/", "secret", Timeouts(), transport) as client:
            return (await client.heartbeat(HeartbeatRequest(node_run=1, jobs=[]))).change_no

    assert asyncio.run(ask()) == 3
    assert seen[0].url == "https://controller.example/api/agent/v1/heartbeat"
    assert seen[0].headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("url", ["http://controller.example", "ftp://127.0.0.1", "controller", "http://127.0.0.1.evil"])
def test_plain_http_to_another_machine_is_refused(url: str) -> None:
    with pytest.raises(InsecureControllerError, match="https"):
        ControllerClient(url, None, Timeouts())


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:8000", "https://x.example"]
)
def test_this_machine_and_https_are_fine(url: str) -> None:
    asyncio.run(ControllerClient(url, None, Timeouts()).close())


def test_range_is_sent_from_disk_with_its_length(tmp_path: Path) -> None:
    path = tmp_path / "audio.wav"
    path.write_bytes(bytes(range(256)) * 4096)
    seen: list[httpx.Request] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        await request.aread()
        seen.append(request)
        return httpx.Response(204, headers={"Upload-Offset": "700000"})

    async def send() -> int:
        transport = httpx.MockTransport(answer)
        async with ControllerClient("https://controller.example", "secret", Timeouts(), transport) as client:
            return await client.append(new_id(), "audio", Lease(JOB, 2, 3), FileRange(path, 100, 700_000))

    assert asyncio.run(send()) == 700_000
    assert seen[0].content == path.read_bytes()[100:700_000]
    assert seen[0].headers["Content-Range"] == "bytes 100-699999/*"
    assert seen[0].headers["Content-Length"] == "699900"
    assert (seen[0].headers["Reelkeeper-Epoch"], seen[0].headers["Reelkeeper-Node-Run"]) == ("2", "3")


def test_patience_doubles_to_its_limit_and_asked_for_hours_it_still_tries_again_soon() -> None:
    patience = Patience(Timeouts(retry_first=1.0, retry_longest=8.0))
    waits = [patience.after() for _ in range(6)]
    limits = [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert all(limit / 2 <= wait <= limit for wait, limit in zip(waits, limits, strict=True))
    assert patience.after(RetryLaterError("later", 3600.0)) == 8.0
    patience.reset()
    assert patience.after(RetryLaterError("later", 5.0)) == 5.0
    patience.reset()
    assert patience.after() <= 1.0


def test_what_runs_together_ends_together_with_the_first_fault() -> None:
    ended: list[str] = []

    async def works_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("other")

    async def fails() -> None:
        raise NodeRunSupersededError("clone")

    with pytest.raises(NodeRunSupersededError):
        asyncio.run(run_together(works_for_ever(), fails()))
    assert ended == ["other"]
