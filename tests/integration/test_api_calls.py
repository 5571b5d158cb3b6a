"""What holds for every call of the JSON API: once per key, counted, and refused in the same form."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from protocol.ids import new_id
from tests.integration.room import SOMEBODY, until_somebody_waits
from tests.integration.web_room import Running, WebAgent, running, settings_in, user_client
from web.domain.access import Permission
from web.domain.tokens import TokenRequest
from web.services.entry import tokens
from web.store import grants
from web.store import tokens as stored_tokens
from web.store.database import Database

pytestmark = pytest.mark.anyio

API = "/api/v1"


def keyed(key: str = "k-1") -> dict[str, str]:
    return {"Idempotency-Key": key}


async def test_twins_with_a_key_make_one_thing_and_get_one_answer(user: httpx.AsyncClient, owner: Any) -> None:
    body = {"name": "Script", "permissions": ["recording:read"], "days": None}

    answers = await asyncio.gather(*(user.post(f"{API}/tokens", json=body, headers=keyed()) for _ in range(5)))

    assert {one.status_code for one in answers} == {201}
    assert len({one.json()["secret"] for one in answers}) == 1
    assert sorted(one.headers.get("Idempotency-Replayed", "") for one in answers) == ["", *["true"] * 4]
    assert await owner.fetchval("SELECT count(*) FROM access_token WHERE name = 'Script'") == 1
    assert answers[0].json()["secret"].encode() not in (await owner.fetchval("SELECT answer FROM kept_answer"))


async def test_key_with_another_request_is_refused(user: httpx.AsyncClient) -> None:
    await user.post(f"{API}/groups", json={"name": "One"}, headers=keyed())

    refused = await user.post(f"{API}/groups", json={"name": "Another"}, headers=keyed())

    assert (refused.status_code, refused.json()["code"]) == (422, "key_reused")
    assert [one["name"] for one in (await user.get(f"{API}/groups")).json()["items"]] == ["One"]
    assert (await user.post(f"{API}/groups", json={"name": "x"}, headers=keyed("k" * 256))).status_code == 422


async def test_request_that_was_refused_may_come_again_with_its_key(user: httpx.AsyncClient) -> None:
    body = {"name": "ticker", "url": "https://example.org/", "kinds": ["recording.*"]}
    first = await user.post(f"{API}/webhooks", json=body)
    refused = await user.post(f"{API}/webhooks", json=body, headers=keyed())
    await user.delete(f"{API}/webhooks/{first.json()['id']}")

    made = await user.post(f"{API}/webhooks", json=body, headers=keyed())

    assert (first.status_code, refused.status_code, made.status_code) == (201, 409, 201)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("groups", {"name": "One"}, id="that waits for the same turn"),
        pytest.param("profiles", {"name": "One", "encoding": {"codec": "wav"}}, id="that waits for its end"),
    ],
)
async def test_call_with_a_key_whose_token_is_revoked_meanwhile_does_nothing(
    controller: Running, db: Database, user: httpx.AsyncClient, owner: Any, path: str, body: dict[str, Any]
) -> None:
    token_id = UUID((await user.get(f"{API}/tokens/current")).json()["id"])
    before = (await user.get(f"{API}/{path}")).json()
    async with asyncio.TaskGroup() as tasks, db.transaction() as session:
        await grants.change_in_turn(session)
        if path == "groups":
            call = tasks.create_task(user.post(f"{API}/{path}", json=body, headers=keyed()))
            await until_somebody_waits(owner)
            await stored_tokens.remove(session, token_id)
        else:
            await stored_tokens.remove(session, token_id)
            call = tasks.create_task(user.post(f"{API}/{path}", json=body, headers=keyed()))
            await until_somebody_waits(owner)

    assert call.result().status_code == 401
    async with user_client(controller.url, db) as other:
        assert (await other.get(f"{API}/{path}")).json() == before


async def test_key_belongs_to_its_token_and_its_day(
    controller: Running, db: Database, user: httpx.AsyncClient, owner: Any
) -> None:
    async with user_client(controller.url, db) as other:
        for client, name in ((user, "One"), (other, "Two")):
            assert (await client.post(f"{API}/groups", json={"name": name}, headers=keyed())).status_code == 201
    await owner.execute("UPDATE kept_answer SET created_at = now() - interval '25 h'")

    assert (await user.post(f"{API}/groups", json={"name": "Three"}, headers=keyed())).status_code == 201


async def test_too_many_calls_of_one_token_wait_and_others_do_not(
    tmp_path: Path, database_url: str, db: Database
) -> None:
    settings = settings_in(tmp_path, api_calls_per_minute=3)
    async with running(settings, database_url) as controller, user_client(controller.url, db) as user:
        answers = [await user.get(f"{API}/nodes") for _ in range(4)]
        async with user_client(controller.url, db) as other:
            unconcerned = await other.get(f"{API}/nodes")
        alive = await user.get("/healthz")

    assert [one.status_code for one in answers] == [200, 200, 200, 429]
    refused = answers[-1]
    assert (refused.json()["code"], refused.json()["limit"]) == ("too_many_requests", "token")
    assert 1 <= int(refused.headers["Retry-After"]) <= 20
    assert refused.headers["RateLimit-Policy"] == '"token";q=3;w=60'
    assert answers[0].headers["RateLimit"].startswith('"token";r=2;t=')
    assert (unconcerned.status_code, alive.status_code) == (200, 200)


async def test_guesses_of_tokens_from_one_address_end_soon_and_a_good_one_is_let_through(
    tmp_path: Path, database_url: str, db: Database
) -> None:
    settings = settings_in(tmp_path, api_failures_per_minute=2)
    async with running(settings, database_url) as controller, user_client(controller.url, db) as user:
        good = user.headers.pop("Authorization")
        guesses = [
            await user.get(f"{API}/nodes", headers={"Authorization": f"Bearer rku_{new_id().hex}_guess"})
            for _ in range(3)
        ]
        let_through = await user.get(f"{API}/nodes", headers={"Authorization": good})

    assert [one.status_code for one in guesses] == [401, 401, 429]
    assert guesses[-1].json()["limit"] == "failures"
    assert let_through.status_code == 200


async def test_body_of_another_kind_is_refused_by_name(user: httpx.AsyncClient) -> None:
    refused = await user.post(f"{API}/groups", content=b"name=x", headers={"Content-Type": "text/plain"})
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_body")


async def test_unknown_key_is_answered_with_those_that_are_known(user: httpx.AsyncClient) -> None:
    words = "This key is not known here; known are: "
    of_body = (await user.post(f"{API}/groups", json={"name": "x", "nmae": "y"})).json()
    of_query = (await user.get(f"{API}/recordings?limitt=5")).json()

    assert of_body["errors"] == [{"field": "nmae", "message": f"{words}name."}]
    assert (of_body["field"], of_body["detail"]) == ("nmae", f"nmae: {words}name.")
    assert of_query["errors"] == [{"field": "limitt", "message": f"{words}limit, before, state, text."}]


async def test_lists_are_filtered_by_several_states_and_text(user: httpx.AsyncClient, agent: WebAgent) -> None:
    for name in ("Council", "Court"):
        body = {"id": str(new_id()), "node_id": str(agent.room.node.node_id), "name": name}
        await user.post(f"{API}/recordings", json=body)

    async def names(query: str) -> list[str]:
        return [one["name"] for one in (await user.get(f"{API}/recordings?{query}")).json()["items"]]

    assert await names("state=queued&state=failed&text=cour") == ["Court"]
    assert await names("state=failed") == []
    assert (await user.get(f"{API}/recordings?limit=1&limit=2")).status_code == 422
    jobs = (await user.get(f"{API}/jobs?node_id={agent.room.node.node_id}&text=council")).json()["items"]
    assert len(jobs) == 1


async def test_token_tells_what_it_is_and_ends_itself(
    controller: Running, db: Database, user: httpx.AsyncClient
) -> None:
    made = await tokens.make(db, TokenRequest(name="narrow", permissions=[Permission.NODE_READ]), by=SOMEBODY)
    user.headers["Authorization"] = f"Bearer {made.secret}"

    own = (await user.get(f"{API}/tokens/current")).json()
    forbidden = await user.get(f"{API}/recordings")
    gone = await user.delete(f"{API}/tokens/{own['id']}")

    assert (own["name"], own["permissions"]) == ("narrow", ["node:read"])
    assert (forbidden.status_code, forbidden.json()["permission"]) == (403, "recording:read")
    assert (gone.status_code, (await user.get(f"{API}/nodes")).status_code) == (204, 401)


async def test_people_get_rights_by_calls_as_they_do_by_pages(user: httpx.AsyncClient) -> None:
    invited = (await user.post(f"{API}/users", json={"name": "ANA"})).json()
    group = (await user.post(f"{API}/groups", json={"name": "Court"})).json()
    role = next(one for one in (await user.get(f"{API}/roles")).json()["items"] if one["name"] == "viewer")
    member = await user.put(f"{API}/groups/{group['id']}/members/{invited['user_id']}")
    grant = {"role_id": role["id"], "scope": "folder", "folder": "Court/2026"}
    given = await user.post(f"{API}/groups/{group['id']}/grants", json=grant)

    held = (await user.get(f"{API}/users/{invited['user_id']}/grants")).json()["items"]

    assert invited["path"].startswith("/invitation/")
    assert [one["name"] for one in member.json()["members"]] == ["ANA"]
    assert [one["id"] for one in held] == [given.json()["id"]]
    assert (await user.delete(f"{API}/grants/{given.json()['id']}")).status_code == 204
    assert (await user.post(f"{API}/users/{invited['user_id']}/disable")).json()["disabled_at"]
    assert (await user.delete(f"{API}/users/{invited['user_id']}")).status_code == 204
    assert (await user.get(f"{API}/users/{invited['user_id']}")).status_code == 404


async def test_node_is_set_drained_grouped_and_removed_by_calls(user: httpx.AsyncClient, agent: WebAgent) -> None:
    node = f"{API}/nodes/{agent.room.node.node_id}"
    interface = {"backend": "synthetic", "name": "counter", "label": "Bench", "channel_labels": ["Judge", "Witness"]}
    group = (await user.post(f"{API}/node-groups", json={"name": "Halls"})).json()
    members = {"node_ids": [str(agent.room.node.node_id)]}
    grouped = (await user.patch(f"{API}/node-groups/{group['id']}", json=members)).json()

    described = (await user.patch(node, json={"name": "Hall 1", "tags": ["court"], "capacity": 2})).json()
    named = (await user.patch(f"{node}/interfaces", json=interface)).json()["interfaces"][0]
    refused = await user.patch(node, json={"capacity": 7, "site_zone": "Nowhere/At_all"})
    busy = await user.delete(node)
    drained = (await user.post(f"{node}/drain")).json()

    assert (described["name"], described["tags"], described["capacity"]) == ("Hall 1", ["court"], 2)
    assert (named["label"], named["channel_labels"]) == ("Bench", ["Judge", "Witness"])
    assert (refused.status_code, (await user.get(node)).json()["capacity"]) == (422, 2)
    assert grouped["node_ids"] == members["node_ids"]
    assert (busy.status_code, drained["is_draining"]) == (409, True)
    assert (await user.delete(node)).status_code == 204
    assert (await user.get(node)).status_code == 404


async def test_audit_tells_of_calls_and_is_taken_along_as_lines(user: httpx.AsyncClient) -> None:
    await user.post(f"{API}/groups", json={"name": "Court"})

    page = (await user.get(f"{API}/audit?object_kind=group&limit=1")).json()
    exported = await user.get(f"{API}/audit/export?object_kind=group")

    [entry] = page["items"]
    assert (entry["actor_kind"], entry["of"]["name"], entry["outcome"]) == ("token", "Court", "done")
    assert entry["address"] == "127.0.0.1"
    assert (await user.get(f"{API}/audit/{entry['id']}")).json() == entry
    assert exported.headers["Content-Type"] == "application/x-ndjson"
    assert len(exported.text.splitlines()) == 1


async def test_webhook_is_made_tried_and_removed_by_calls(user: httpx.AsyncClient) -> None:
    body = {"name": "ticker", "url": "https://127.0.0.1/", "kinds": ["recording.*"]}
    made = (await user.post(f"{API}/webhooks", json=body)).json()
    hook = f"{API}/webhooks/{made['id']}"

    tried = await user.post(f"{hook}/test")
    changed = (await user.put(hook, json=body | {"kinds": ["health.*", "recording.failed"]})).json()
    listed = (await user.get(f"{hook}/deliveries")).json()["items"]
    disabled = (await user.post(f"{hook}/disable")).json()

    assert made["secret"].startswith("whsec_")
    assert "secret" not in (await user.get(hook)).json()
    assert (tried.status_code, tried.json()["kind"], [one["id"] for one in listed]) == (
        202,
        "webhook.test",
        [tried.json()["id"]],
    )
    assert (changed["kinds"], disabled["is_enabled"]) == (["health.*", "recording.failed"], False)
    assert (await user.post(f"{hook}/test")).status_code == 409
    assert (await user.post(f"{API}/webhooks", json=body | {"url": "http://x/"})).json()["field"] == "url"
    assert (await user.delete(hook)).status_code == 204
