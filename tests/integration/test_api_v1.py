"""The JSON API, answer by answer held against its OpenAPI document."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from protocol.ids import new_id
from tests import profiles
from tests.integration.room import inventory
from tests.integration.web_room import Running, WebAgent, make_content
from web.api import v1

pytestmark = pytest.mark.anyio

API = "/api/v1"


def start_body(agent: WebAgent, **changes: Any) -> dict[str, Any]:
    return {"id": str(new_id()), "node_id": str(agent.room.node.node_id), "name": "Council", **changes}


async def test_ten_identical_starts_make_one_recording(user: httpx.AsyncClient, agent: WebAgent) -> None:
    body = start_body(agent)

    answers = await asyncio.gather(*(user.post(f"{API}/recordings", json=body) for _ in range(10)))

    assert {answer.status_code for answer in answers} == {201}
    assert {answer.json()["id"] for answer in answers} == {body["id"]}
    assert len((await user.get(f"{API}/jobs")).json()["items"]) == 1


async def test_profiles_are_listed_with_one_default(user: httpx.AsyncClient) -> None:
    found = (await user.get(f"{API}/profiles")).json()["items"]
    assert {one["encoding"]["codec"] for one in found} == {"mp3", "flac", "wav"}
    assert [one["name"] for one in found if one["is_default"]] == ["Voice"]


async def test_same_id_with_another_body_is_refused(user: httpx.AsyncClient, agent: WebAgent) -> None:
    body = start_body(agent)
    await user.post(f"{API}/recordings", json=body)

    refused = await user.post(f"{API}/recordings", json=body | {"name": "Another"})

    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


async def test_start_on_a_busy_node_is_refused_and_names_what_is_busy(user: httpx.AsyncClient, agent: WebAgent) -> None:
    await user.patch(f"{API}/nodes/{agent.room.node.node_id}", json={"capacity": 1})
    await user.post(f"{API}/recordings", json=start_body(agent, name="First"))

    refused = await user.post(f"{API}/recordings", json=start_body(agent))

    assert (refused.status_code, refused.json()["code"], refused.json()["busy"]) == (409, "node_busy", ["First"])


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"channels": [64]},
        {"duration_ms": 0},
        {"unknown": 1},
        {"id": "x"},
        {"channels": [2]},
        {"folder": "a//b"},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_start_that_cannot_be_is_refused_naming_the_field(
    user: httpx.AsyncClient, agent: WebAgent, changes: dict[str, Any]
) -> None:
    refused = await user.post(f"{API}/recordings", json=start_body(agent, **changes))

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert "field" in refused.json()
    assert (await user.get(f"{API}/recordings")).json()["items"] == []


async def test_stop_before_the_claim_cancels_and_twice_is_once(user: httpx.AsyncClient, agent: WebAgent) -> None:
    recording = (await user.post(f"{API}/recordings", json=start_body(agent))).json()

    first = (await user.post(f"{API}/recordings/{recording['id']}/stop")).json()
    second = (await user.post(f"{API}/recordings/{recording['id']}/stop")).json()

    assert first["state"] == second["state"] == "cancelled"
    assert await agent.room.claim() is None


async def test_cancel_reaches_a_running_job_as_a_wish(user: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await agent.room.claimed()

    await user.post(f"{API}/recordings/{job.recording_id}/cancel")

    shown = (await user.get(f"{API}/jobs/{job.job_id}")).json()
    assert (shown["state"], shown["wish"], shown["phase"]) == ("running", "cancel", "starting")


async def test_pages_of_recordings_and_jobs_hold_everything_once(user: httpx.AsyncClient, agent: WebAgent) -> None:
    await user.patch(f"{API}/nodes/{agent.room.node.node_id}", json={"capacity": 64})
    for number in range(7):
        await user.post(f"{API}/recordings", json=start_body(agent, name=f"Number {number}"))

    for noun in ("recordings", "jobs"):
        found, before = [], None
        while True:
            query = {"limit": 3} | ({"before": before} if before else {})
            page = (await user.get(f"{API}/{noun}", params=query)).json()
            found += [item["id"] for item in page["items"]]
            before = page["next"]
            if before is None:
                break
        assert len(found) == len(set(found)) == 7
    names = [item["name"] for item in (await user.get(f"{API}/recordings")).json()["items"]]
    assert names == [f"Number {number}" for number in reversed(range(7))]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "before=x", "unknown=1", "state=x"])
async def test_query_that_says_nothing_is_refused(user: httpx.AsyncClient, query: str) -> None:
    assert (await user.get(f"{API}/recordings?{query}")).status_code == 422


async def test_recordings_and_jobs_are_found_by_state_and_jobs_by_their_recording(
    user: httpx.AsyncClient, agent: WebAgent
) -> None:
    running = await agent.room.claimed(name="Running")
    queued = (await user.post(f"{API}/recordings", json=start_body(agent, folder="Court/2026", tags=["b", "a"]))).json()
    assert (queued["folder"], queued["tags"]) == ("Court/2026", ["a", "b"])

    async def ids(path: str) -> list[str]:
        return [item["id"] for item in (await user.get(f"{API}/{path}")).json()["items"]]

    assert await ids(f"jobs?recording_id={queued['id']}") == [queued["job_id"]]
    assert await ids("jobs?state=running") == [str(running.job_id)]
    assert await ids(f"jobs?state=running&recording_id={queued['id']}") == []
    assert await ids("recordings?state=failed") == []
    assert sorted(await ids("recordings?state=queued")) == sorted([queued["id"], str(running.recording_id)])


async def test_recording_shows_its_file_once_it_is_cached(user: httpx.AsyncClient, agent: WebAgent) -> None:
    content = make_content()
    job = await agent.room.claimed()
    assert (await user.get(f"{API}/recordings/{job.recording_id}")).json()["cache_file"] is None

    cache_file_id = await agent.deliver(job, content)

    recording = (await user.get(f"{API}/recordings/{job.recording_id}")).json()
    assert recording["cache_file"]["id"] == str(cache_file_id)
    assert recording["cache_file"]["content"]["bytes"] == len(content.audio)
    assert recording["cache_file"]["content"]["frames"] == content.frames
    assert recording["duration_ms"] == content.frames * 1000 // 48_000


async def test_node_is_shown_with_its_interfaces_and_can_be_set(user: httpx.AsyncClient, agent: WebAgent) -> None:
    path = f"{API}/nodes/{agent.room.node.node_id}"
    wide = {"backend": "synthetic", "name": "counter-32"}
    capture = {"channels": 32, "sample_rate_hz": 48_000, "sample_type": "s32"}

    await user.patch(path, json={"capacity": 9})
    await user.patch(f"{path}/interfaces", json=wide | {"capture": capture, "is_preferred": True})

    node = (await user.get(path)).json()
    interfaces = {interface["name"]: interface for interface in node["interfaces"]}
    assert node["capacity"] == 9
    assert (interfaces["counter-32"]["chosen_capture"], interfaces["counter-32"]["is_preferred"]) == (capture, True)
    assert not interfaces["counter"]["is_preferred"]
    followed = await user.patch(f"{path}/interfaces", json=wide | {"capture": None})
    assert [one["chosen_capture"] for one in followed.json()["interfaces"]] == [None, None]
    assert [item["id"] for item in (await user.get(f"{API}/nodes")).json()["items"]] == [node["id"]]


async def test_capture_format_that_the_interface_cannot_do_is_refused(user: httpx.AsyncClient, agent: WebAgent) -> None:
    capture = {"channels": 3, "sample_rate_hz": 48_000, "sample_type": "s16"}
    refused = await user.patch(
        f"{API}/nodes/{agent.room.node.node_id}/interfaces",
        json={"backend": "synthetic", "name": "counter", "capture": capture},
    )
    assert refused.status_code == 422


async def test_enrolment_code_makes_a_node_once(user: httpx.AsyncClient, controller: Running) -> None:
    code = (await user.post(f"{API}/enrolment-codes", json={"name": "Library"})).json()["code"]
    async with httpx.AsyncClient(base_url=f"{controller.url}/api/agent/v1", trust_env=False) as agent:
        first = await agent.post("/enrol", json={"code": code, "version": "1"})
        second = await agent.post("/enrol", json={"code": code, "version": "1"})

    assert (first.status_code, first.json()["name"]) == (200, "Library")
    assert (second.status_code, second.json()["code"]) == (401, "unauthorised")
    taken = await user.post(f"{API}/enrolment-codes", json={"name": "Library"})
    assert taken.status_code == 409


@pytest.mark.long
async def test_no_route_answers_without_the_token_of_a_user(user: httpx.AsyncClient, agent: WebAgent) -> None:
    del user.headers["Authorization"]
    for endpoint in v1.ENDPOINTS:
        path = endpoint.path
        for name, kind in endpoint.path_parameters.items():
            path = path.replace(f"{{{name}}}", str(new_id()) if kind is UUID else "1")
        for token in (None, "rku_x", agent.room.token):
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}

            refused = await user.request(endpoint.method, API + path, headers=headers, content=b"{")

            assert (refused.status_code, refused.json()["code"]) == (401, "unauthorised"), endpoint.name
            assert refused.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "path", ["recordings/{id}", "recordings/{id}/audio", "recordings/{id}/stop", "jobs/{id}", "nodes/{id}"]
)
async def test_unknown_thing_is_not_found(user: httpx.AsyncClient, path: str) -> None:
    method = "POST" if path.endswith("stop") else "GET"
    answer = await user.request(method, f"{API}/{path.format(id=new_id())}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_answers_are_kept_by_nobody_and_guessed_by_nobody(user: httpx.AsyncClient) -> None:
    headers = (await user.get(f"{API}/nodes")).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


async def test_unknown_path_and_method_are_problems(user: httpx.AsyncClient) -> None:
    missing, wrong = await user.get(f"{API}/nothing"), await user.delete(f"{API}/nodes")
    assert (missing.status_code, missing.headers["Content-Type"]) == (404, "application/problem+json")
    assert (wrong.status_code, wrong.headers["Content-Type"]) == (405, "application/problem+json")


async def test_body_beyond_its_limit_is_refused(user: httpx.AsyncClient) -> None:
    refused = await user.post(f"{API}/recordings", content=b" " * (1024 * 1024 + 1))
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


async def test_a_profile_is_protected_and_its_recordings_are_pinned_so(
    user: httpx.AsyncClient, agent: WebAgent
) -> None:
    limits = {"length_ms": 7_200_000, "size_bytes": None, "idle_ms": 600_000}
    path = f"{API}/profiles/{profiles.VOICE}/protection"
    changed = await user.put(path, json={"limits": limits, "minimum_bytes": 4_000})
    assert (changed.status_code, changed.json()["limits"], changed.json()["minimum_bytes"]) == (200, limits, 4_000)

    started = (await user.post(f"{API}/recordings", json=start_body(agent, limits={"length_ms": 0}))).json()

    settings = (await user.get(f"{API}/jobs/{started['job_id']}")).json()["settings"]
    assert settings["limits"] == {"length_ms": None, "size_bytes": None, "idle_ms": 600_000}
    assert settings["minimum_bytes"] == 4_000
    for wrong in (
        *(
            {"limits": {name: value}}
            for name, value in (("size_bytes", 1), ("idle_ms", 1), ("length_ms", 10**12), ("lenght_ms", 1))
        ),
        {"minimum_bytes": 1},
    ):
        assert (await user.put(path, json=wrong)).status_code == 422
    assert (await user.put(path.replace("2/", "9/"), json={"limits": limits})).status_code == 404


async def test_an_interface_is_armed_and_a_start_reaches_back(user: httpx.AsyncClient, agent: WebAgent) -> None:
    path = f"{API}/nodes/{agent.room.node.node_id}/interfaces"
    wide = {"backend": "synthetic", "name": "counter-32"}
    armed = (await user.patch(path, json=wide | {"preroll_seconds": 60})).json()
    assert [one["preroll_seconds"] for one in armed["interfaces"]] == [0, 60]
    body = start_body(agent, interface=wide, preroll_ms=60_000)

    assert (await user.post(f"{API}/recordings", json=body)).status_code == 201

    refused = await user.post(f"{API}/recordings", json=start_body(agent, preroll_ms=1))
    assert (refused.status_code, refused.json()["field"]) == (422, "preroll_ms")
    planned = start_body(agent, interface=wide, preroll_ms=1, starts_at="2030-01-01T00:00:00Z")
    assert (await user.post(f"{API}/recordings", json=planned)).status_code == 422


async def test_a_start_on_a_full_node_is_a_conflict_that_names_its_folders(
    user: httpx.AsyncClient, agent: WebAgent
) -> None:
    full = {"path": "/spool", "free_bytes": 1, "total_bytes": 1_000, "standing": "full"}
    report = inventory(agent.room.node_run).model_dump(mode="json") | {"spools": [full], "disk_seconds_left": 0}
    assert (await agent.http.put("/inventory", json=report)).status_code == 204

    refused = await user.post(f"{API}/recordings", json=start_body(agent))

    assert (refused.status_code, refused.json()["code"]) == (409, "no_space")
    assert refused.json()["spools"] == [{"path": "/spool", "standing": "full"}]
    node = (await user.get(f"{API}/nodes/{agent.room.node.node_id}")).json()
    assert (node["spools"], node["disk_seconds_left"]) == ([full], 0)
    assert (await user.get(f"{API}/recordings")).json()["items"] == []


async def test_what_is_left_out_of_a_change_of_a_node_stays(user: httpx.AsyncClient, agent: WebAgent) -> None:
    path = f"{API}/nodes/{agent.room.node.node_id}"
    await user.patch(path, json={"capacity": 9})
    changed = (await user.patch(path, json={"minimum_bytes": 4_000})).json()
    assert (changed["capacity"], changed["minimum_bytes"]) == (9, 4_000)
