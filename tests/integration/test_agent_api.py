"""Agents speak with the controller: each call does its act, and none is heard from an older run or epoch."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from protocol.ids import new_id
from protocol.messages import (
    CacheFileRequest,
    ClaimedJob,
    ClaimRequest,
    EventReport,
    EventsRequest,
    FinishRequest,
    HeartbeatRequest,
    JobReport,
    Message,
    Origin,
    Phase,
    RunRequest,
)
from tests.integration.database_proxy import database_proxy
from tests.integration.room import SOMEBODY, inventory
from tests.integration.web_room import AGENT, Running, WebAgent, make_content, running, settings_in, web_agent
from web.api import agent as agent_api
from web.services.entry import tokens
from web.services.work import recordings
from web.store.database import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def job(agent: WebAgent) -> ClaimedJob:
    return await agent.room.claimed()


def claim(agent: WebAgent) -> ClaimRequest:
    return ClaimRequest(claim_id=new_id(), node_run=agent.room.node_run, interfaces=agent.room.interfaces)


def finish(agent: WebAgent, job: ClaimedJob) -> FinishRequest:
    return FinishRequest(
        epoch=job.epoch,
        node_run=agent.room.node_run,
        outcome="failed",
        reason="device_gone",
        message="The input is gone. Connect it.",
    )


def heartbeat(agent: WebAgent, job: ClaimedJob) -> HeartbeatRequest:
    report = JobReport(job_id=job.job_id, epoch=job.epoch, phase=Phase.CAPTURING, frames=1, uploaded_bytes=0)
    return HeartbeatRequest(node_run=agent.room.node_run, jobs=[report])


def event(agent: WebAgent) -> EventsRequest:
    one = EventReport(id=new_id(), kind="disk_low", severity="warning", message="The disk is nearly full.", age_ms=5)
    return EventsRequest(node_run=agent.room.node_run, events=[one])


def opening(agent: WebAgent, job: ClaimedJob) -> CacheFileRequest:
    return CacheFileRequest(
        id=new_id(),
        job_id=job.job_id,
        epoch=job.epoch,
        node_run=agent.room.node_run,
        origin=Origin.NORMAL,
        codec="wav",
    )


async def put(agent: WebAgent, path: str, body: Message) -> httpx.Response:
    return await agent.http.put(path, content=body.model_dump_json())


async def test_each_call_answers_as_the_protocol_says(agent: WebAgent) -> None:
    nothing = await agent.post("/claim-next", claim(agent).model_dump_json())
    assert (nothing.status_code, nothing.content) == (204, b"")
    await agent.room.start()
    claimed = await agent.post("/claim-next", claim(agent).model_dump_json())
    job = ClaimedJob.model_validate_json(claimed.content)

    beaten = (await agent.post("/heartbeat", heartbeat(agent, job).model_dump_json())).json()
    assert [one["standing"] for one in beaten["jobs"]] == ["renewed"]
    assert (await put(agent, "/inventory", inventory(agent.room.node_run))).status_code == 204
    assert (await agent.post("/events", event(agent).model_dump_json())).status_code == 204
    assert (await agent.post(f"/jobs/{job.job_id}/finish", finish(agent, job).model_dump_json())).status_code == 204
    again = RunRequest(previous_run=agent.room.node_run, version="1")
    run = (await agent.post("/run", again.model_dump_json())).json()
    assert (run["node_run"], run["jobs"]) == (agent.room.node_run + 1, [])


async def test_claim_is_answered_the_same_again(agent: WebAgent) -> None:
    await agent.room.start()
    request = claim(agent).model_dump_json()

    answers = await asyncio.gather(*(agent.post("/claim-next", request) for _ in range(10)))

    jobs = [ClaimedJob.model_validate_json(answer.content) for answer in answers]
    assert len({(job.job_id, job.epoch) for job in jobs}) == 1


@pytest.mark.parametrize("token", [None, "rkn_x", "user"])
@pytest.mark.parametrize(
    "endpoint", [one for one in agent_api.ENDPOINTS if one.is_guarded], ids=lambda endpoint: endpoint.name
)
async def test_no_call_is_heard_without_the_token_of_a_node(
    controller: Running, db: Database, endpoint: Any, token: str | None
) -> None:
    if token == "user":
        token = await tokens.create_token(db, "test", by=SOMEBODY)
    path = endpoint.path
    for name in endpoint.path_parameters:
        path = path.replace(f"{{{name}}}", "audio" if name == "part" else str(new_id()))
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(trust_env=False) as stranger:
        refused = await stranger.request(endpoint.method, controller.url + AGENT + path, headers=headers, content=b"{")
    assert refused.status_code == 401


Act = Callable[[WebAgent, ClaimedJob, Any], Awaitable[httpx.Response]]

_OF_A_RUN: dict[str, Act] = {
    "inventory": lambda agent, job, file: put(agent, "/inventory", inventory(agent.room.node_run)),
    "claim": lambda agent, job, file: agent.post("/claim-next", claim(agent).model_dump_json()),
    "heartbeat": lambda agent, job, file: agent.post("/heartbeat", heartbeat(agent, job).model_dump_json()),
    "events": lambda agent, job, file: agent.post("/events", event(agent).model_dump_json()),
}
_OF_A_JOB: dict[str, Act] = {
    "finish": lambda agent, job, file: agent.post(f"/jobs/{job.job_id}/finish", finish(agent, job).model_dump_json()),
    "open": lambda agent, job, file: agent.post("/cache-files", opening(agent, job).model_dump_json()),
    "append": lambda agent, job, file: agent.append(job, file, "audio", b"late"),
    "seal": lambda agent, job, file: agent.seal(job, file, make_content(1000)),
}


@pytest.mark.parametrize("act", [*_OF_A_RUN, *_OF_A_JOB])
async def test_nothing_is_heard_from_an_older_run(agent: WebAgent, job: ClaimedJob, owner: Any, act: str) -> None:
    cache_file_id = await agent.open_file(job)
    await agent.post("/run", RunRequest(previous_run=agent.room.node_run, version="1").model_dump_json())
    before = await _everything(owner)

    refused = await (_OF_A_RUN | _OF_A_JOB)[act](agent, job, cache_file_id)

    assert (refused.status_code, refused.json()["code"]) == (409, "node_run_superseded")
    *after, alarms = await _everything(owner)
    assert after == before[:-1]
    assert [alarm["kind"] for alarm in alarms] == (["node_run_superseded"] if act == "heartbeat" else [])
    assert await agent.offset(cache_file_id, "audio") == 0


@pytest.mark.parametrize("act", _OF_A_JOB)
async def test_nothing_is_heard_from_an_older_epoch(agent: WebAgent, job: ClaimedJob, owner: Any, act: str) -> None:
    cache_file_id = await agent.open_file(job)
    await owner.execute("UPDATE job SET epoch = epoch + 1")
    await owner.execute("UPDATE lease SET epoch = epoch + 1")
    before = await _everything(owner)

    refused = await _OF_A_JOB[act](agent, job, cache_file_id)

    assert (refused.status_code, refused.json()["code"]) == (409, "epoch_superseded")
    assert await _everything(owner) == before
    assert await agent.offset(cache_file_id, "audio") == 0


async def test_node_does_not_reach_what_belongs_to_another(
    controller: Running, agent: WebAgent, job: ClaimedJob, db: Database
) -> None:
    cache_file_id = await agent.open_file(job)
    async with web_agent(controller.url, db, "Elsewhere") as stranger:
        answers = [await act(stranger, job, cache_file_id) for act in _OF_A_JOB.values()]
        hidden = await stranger.http.head(f"/cache-files/{cache_file_id}/audio")

    assert {answer.status_code for answer in answers} <= {403, 404}
    assert hidden.status_code == 404
    assert await agent.offset(cache_file_id, "audio") == 0


@pytest.mark.parametrize("body", ["", "{", "[]", '{"node_run": 1}', '{"node_run": 1, "jobs": 1}'])
async def test_body_that_says_nothing_is_refused(agent: WebAgent, body: str) -> None:
    refused = await agent.post("/heartbeat", body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")


async def test_body_beyond_its_limit_is_refused(agent: WebAgent) -> None:
    refused = await agent.post("/heartbeat", " " * (1024 * 1024 + 1))
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


async def test_body_that_does_not_arrive_is_not_waited_for(tmp_path: Path, database_url: str, db: Database) -> None:
    settings = settings_in(tmp_path, time_scale=0.1)
    async with running(settings, database_url) as controller, web_agent(controller.url, db) as agent:
        base = urlsplit(str(agent.http.base_url))
        reader, writer = await asyncio.open_connection(base.hostname, base.port)
        authorization = agent.http.headers["Authorization"]
        head = (
            f"POST {AGENT}/heartbeat HTTP/1.1\r\nHost: {base.netloc}\r\n"
            f"Authorization: {authorization}\r\nContent-Length: 2\r\n\r\n"
        )
        writer.write(head.encode() + b"{")
        async with asyncio.timeout(60):
            assert b" 503 " in await reader.readline()
        writer.close()


async def test_long_body_may_come_over_a_slow_line(tmp_path: Path, database_url: str, db: Database) -> None:
    settings = settings_in(tmp_path, time_scale=0.02)
    async with running(settings, database_url) as controller, web_agent(controller.url, db) as agent:

        async def slowly() -> AsyncIterator[bytes]:
            for _ in range(6):
                yield b" " * 65_536
                await asyncio.sleep(0.06)

        assert settings.timeouts.http_total < 6 * 0.06
        answer = await agent.http.post("/heartbeat", content=slowly())
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


# ---- waiting ----


async def test_wake_is_answered_as_soon_as_something_is_there_to_do(agent: WebAgent) -> None:
    known = (await agent.http.get("/wake", params={"after": 0})).json()["change_no"]
    waiting = asyncio.create_task(agent.http.get("/wake", params={"after": known}, timeout=20))
    await asyncio.sleep(0)

    await agent.room.start()

    assert (await waiting).json()["change_no"] > known


async def test_change_before_the_wake_is_not_missed(agent: WebAgent) -> None:
    known = (await agent.http.get("/wake", params={"after": 0})).json()["change_no"]
    await agent.room.start()
    assert (await agent.http.get("/wake", params={"after": known})).json()["change_no"] > known


async def test_wake_of_a_running_job_is_answered_by_its_stop(agent: WebAgent, job: ClaimedJob, db: Database) -> None:
    known = (await agent.http.get("/wake", params={"after": 0})).json()["change_no"]
    waiting = asyncio.create_task(agent.http.get("/wake", params={"after": known}, timeout=20))

    await recordings.stop_recording(db, job.recording_id, by=SOMEBODY)

    await waiting
    standing = (await agent.post("/heartbeat", heartbeat(agent, job).model_dump_json())).json()["jobs"][0]
    assert standing["wish"] == "stop"


async def test_lost_notification_is_made_up_for(tmp_path: Path, database_url: str, db: Database, owner: Any) -> None:
    settings = settings_in(tmp_path, time_scale=0.2)
    async with running(settings, database_url) as controller, web_agent(controller.url, db) as agent:
        known = (await agent.http.get("/wake", params={"after": 0})).json()["change_no"]
        waiting = asyncio.create_task(agent.http.get("/wake", params={"after": known}, timeout=20))

        await owner.execute("UPDATE node SET change_no = change_no + 1")

        assert (await waiting).json()["change_no"] == known + 1


async def test_wake_ends_with_nothing_new_when_its_time_is_up(tmp_path: Path, database_url: str, db: Database) -> None:
    settings = settings_in(tmp_path, time_scale=0.01)
    async with running(settings, database_url) as controller, web_agent(controller.url, db) as agent:
        known = (await agent.http.get("/wake", params={"after": 0})).json()["change_no"]
        assert (await agent.http.get("/wake", params={"after": known})).json()["change_no"] == known


async def test_waiting_holds_no_database_connection(agent: WebAgent, controller: Running) -> None:
    known = (await agent.http.get("/wake", params={"after": 0})).json()["change_no"]
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=agent.http.base_url, headers=agent.http.headers, limits=limits, trust_env=False, timeout=30
    ) as many:
        waiting = [asyncio.create_task(many.get("/wake", params={"after": known})) for _ in range(60)]
        ready = await many.get(f"{controller.url}/readyz")
        await agent.room.start()
        answers = await asyncio.gather(*waiting)

    assert ready.status_code == 200
    assert {answer.json()["change_no"] for answer in answers} == {known + 1}


async def test_stopping_controller_answers_who_waits(agent: WebAgent, controller: Running) -> None:
    known = (await agent.http.get("/wake", params={"after": 0})).json()["change_no"]
    waiting = asyncio.create_task(agent.http.get("/wake", params={"after": known}, timeout=20))
    await agent.http.get("/wake", params={"after": 0})

    async with asyncio.timeout(20):
        await controller.end()

    assert (await waiting).json()["change_no"] == known


# ---- the database goes away ----


async def test_controller_says_that_it_cannot_work_and_recovers_by_itself(
    tmp_path: Path, database_url: str, db: Database
) -> None:
    async with (
        database_proxy(database_url) as database,
        running(settings_in(tmp_path), database.url) as controller,
        web_agent(controller.url, db) as agent,
    ):
        body = heartbeat(agent, await agent.room.claimed()).model_dump_json()
        assert (await agent.post("/heartbeat", body)).status_code == 200

        await database.go_away()
        refused = await agent.post("/heartbeat", body)
        ready = await agent.http.get(f"{controller.url}/readyz")
        alive = await agent.http.get(f"{controller.url}/healthz")
        await database.come_back()
        recovered = await agent.post("/heartbeat", body)

    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert (ready.status_code, alive.status_code) == (503, 200)
    assert recovered.status_code == 200


async def test_wake_that_waited_through_an_outage_still_hears_of_changes(
    tmp_path: Path, database_url: str, db: Database
) -> None:
    async with (
        database_proxy(database_url) as database,
        running(settings_in(tmp_path), database.url) as controller,
        web_agent(controller.url, db) as agent,
    ):
        known = (await agent.http.get("/wake", params={"after": 0})).json()["change_no"]
        await database.go_away()
        await agent.room.start()
        await database.come_back()

        answer = await agent.http.get("/wake", params={"after": known}, timeout=20)

    assert answer.json()["change_no"] == known + 1


async def _everything(owner: Any) -> list[Any]:
    """All rows that an agent could change, but for signs of life."""
    tables = ("node", "interface", "recording", "job", "lease", "job_event", "cache_file", "health_event")
    return [await owner.fetch(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]
