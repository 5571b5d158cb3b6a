"""What people hold decides in each request, and in each read, what there is for them."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from starlette.requests import Request

from protocol.ids import new_id
from protocol.messages import EventReport, EventsRequest
from tests.integration.console import FRAGMENT, parsed
from tests.integration.room import SOMEBODY, Room, make_room
from tests.integration.test_live import opened
from tests.integration.web_room import Running, WebAgent, make_content
from web.domain.access import Actor, Permission, Scope
from web.domain.errors import ForbiddenError, NotFoundError
from web.domain.grants import GrantDraft, Holder, RoleDraft
from web.domain.people import FROM_NOWHERE
from web.domain.recordings import StartRecording
from web.domain.roles import BUILT_IN, Effect, ScopeKind
from web.domain.tokens import TokenRequest
from web.services.access import grants, roles
from web.services.entry import login_sessions, tokens
from web.services.work import jobs, recordings
from web.sessions import signed_out
from web.store import accounts
from web.store.access import held_by
from web.store.database import Database
from web.store.migrate import migrate

pytestmark = pytest.mark.anyio

FOLDERS = ["", "A", "A/B", "AB", "a", "A+B", "A.B", "Court (2026)/1", "50%", "Зал/Ä", "A\\B", "[x]", "A B"]


async def account(owner: Any, name: str = "ANA") -> UUID:
    user_id = new_id()
    await owner.execute("INSERT INTO user_account (id, name, password_hash) VALUES ($1, $2, 'x')", user_id, name)
    return user_id


async def give(db: Database, user_id: UUID, role: str, **where: Any) -> UUID:
    role_id = next(one.role.id for one in await roles.all_roles(db, by=SOMEBODY) if one.role.name == role)
    draft = GrantDraft(role_id=role_id, **{"scope": ScopeKind.EVERYTHING, **where})
    return (await grants.give(db, Holder("user", user_id), draft, by=SOMEBODY)).id


@asynccontextmanager
async def signed_in(controller: Running, db: Database, user_id: UUID) -> AsyncIterator[httpx.AsyncClient]:
    """A browser of this account, however it got in."""
    found = await accounts.account(db, user_id)
    assert found is not None
    async with db.transaction() as session:
        begun = await login_sessions.begin(session, found.user, FROM_NOWHERE, how="test")
    cookies = {f"reelkeeper-{urlsplit(controller.url).port}": begun.token}
    async with httpx.AsyncClient(
        base_url=controller.url, headers={"Sec-Fetch-Site": "same-origin"}, cookies=cookies, trust_env=False
    ) as client:
        yield client


async def tell(room: Room, job_id: UUID) -> None:
    event = EventReport(
        id=new_id(), job_id=job_id, kind="level_low", severity="warning", message="It is too quiet.", age_ms=0
    )
    await jobs.record_events(db=room.db, request=EventsRequest(node_run=room.node_run, events=[event]), node=room.node)


# ---- one meaning of a scope ----


async def test_scopes_mean_the_same_in_python_and_in_the_database(owner: Any) -> None:
    chance, nodes = random.Random(7), [UUID(int=number) for number in range(1, 5)]

    def some(values: list[Any]) -> frozenset[Any]:
        return frozenset(chance.sample(values, chance.choice([0, 0, 1, 2])))

    scopes = [Scope(chance.random() < 0.4, some(nodes), some(FOLDERS), some(nodes), some(FOLDERS)) for _ in range(400)]
    things = [
        (node, folder) for node in [*nodes, None] for folder in [*FOLDERS, *(f"{one}/x" for one in FOLDERS), None]
    ]
    cases = [(scope, *chance.choice(things)) for scope in scopes for _ in range(10)]
    said = await owner.fetch(
        "SELECT in_scope(s, n, f) AS is_in FROM unnest($1::jsonb[], $2::uuid[], $3::text[]) WITH ORDINALITY"
        " AS t (s, n, f, at) ORDER BY at",
        [None if scope.sql is None else json.dumps(scope.sql) for scope, _, _ in cases],
        [node for _, node, _ in cases],
        [folder for _, _, folder in cases],
    )
    expected = [scope.covers(node, folder) for scope, node, folder in cases]
    assert [row["is_in"] for row in said] == expected
    assert 500 < sum(expected) < len(cases) - 500


async def test_the_scope_becomes_part_of_the_query(owner: Any) -> None:
    plan = await owner.fetch("EXPLAIN SELECT FROM recording WHERE in_scope(NULL::jsonb, node_id, folder)")
    assert "in_scope" not in str(plan)
    assert "Filter" not in str(plan)
    plan = await owner.fetch("EXPLAIN SELECT FROM recording WHERE in_scope('{}'::jsonb, node_id, folder)")
    assert "in_scope" not in str(plan)
    assert "Filter" in str(plan)


async def test_roles_of_the_database_are_those_of_the_code(owner: Any) -> None:
    rows = await owner.fetch("SELECT name, description, permissions FROM role WHERE is_built_in")
    assert {row["name"]: (row["description"], frozenset(row["permissions"])) for row in rows} == {
        name: (description, frozenset(map(str, permissions))) for name, (description, permissions) in BUILT_IN.items()
    }


# ---- what is held ----


async def test_what_is_held_comes_of_own_grants_and_of_groups_with_the_nodes_that_a_group_has_now(
    db: Database, owner: Any
) -> None:
    here, there = [(await make_room(db, name)).node.node_id for name in ("Here", "There")]
    user_id, people, halls = await account(owner), new_id(), new_id()
    await owner.execute("INSERT INTO user_group (id, name) VALUES ($1, 'clerks')", people)
    await owner.execute("INSERT INTO user_group_member (user_group_id, user_id) VALUES ($1, $2)", people, user_id)
    await owner.execute("INSERT INTO node_group (id, name) VALUES ($1, 'halls')", halls)
    await owner.execute("INSERT INTO node_group_member (node_group_id, node_id) VALUES ($1, $2)", halls, here)
    await owner.execute(
        "INSERT INTO access_grant (id, user_group_id, role_id, effect, scope_kind, node_group_id, created_by)"
        " SELECT gen_random_uuid(), $1, id, 'allow', 'node_group', $2, 'test' FROM role WHERE name = 'viewer'",
        people,
        halls,
    )
    assert await held_by(db, new_id()) == {}
    assert (await held_by(db, user_id))[Permission.NODE_READ] == Scope(nodes=frozenset({here}))
    await owner.execute("INSERT INTO node_group_member (node_group_id, node_id) VALUES ($1, $2)", halls, there)
    await give(db, user_id, "operator", scope=ScopeKind.FOLDER, folder="A")
    held = await held_by(db, user_id)
    assert held[Permission.RECORDING_READ] == Scope(nodes=frozenset({here, there}), folders=frozenset({"A"}))
    assert held[Permission.RECORDING_CREATE] == Scope(folders=frozenset({"A"}))
    await give(db, user_id, "viewer", scope=ScopeKind.NODE, node_id=there, effect=Effect.DENY)
    held = await held_by(db, user_id)
    assert held[Permission.NODE_READ] == Scope(
        nodes=frozenset({here}), folders=frozenset({"A"}), but_nodes=frozenset({there})
    )


async def test_an_account_of_before_keeps_what_it_could_do(db: Database, owner: Any, owner_url: str) -> None:
    """An upgrade lets nobody be locked out."""
    user_id = await account(owner)
    assert await held_by(db, user_id) == {}
    await owner.execute("DELETE FROM migration WHERE name = '0023_held_grants'")
    await owner.execute("DROP FUNCTION tell_access() CASCADE; DROP VIEW held_grant CASCADE")
    assert await migrate(owner_url) == ["0023_held_grants"]
    assert set(await held_by(db, user_id)) == set(Permission)


async def test_a_changed_grant_counts_in_the_next_request(controller: Running, db: Database, owner: Any) -> None:
    user_id = await account(owner)
    async with signed_in(controller, db, user_id) as browser:
        refused = await browser.get("/recordings")
        assert refused.status_code == 403
        grant_id = await give(db, user_id, "viewer")
        assert (await browser.get("/recordings")).status_code == 200
        await grants.take(db, grant_id, by=SOMEBODY)
        assert (await browser.get("/recordings")).status_code == 403


# ---- a viewer of one folder ----


async def test_a_viewer_of_a_folder_sees_counts_and_finds_nothing_of_another(
    controller: Running, db: Database, owner: Any
) -> None:
    room, user_id = await make_room(db, "Vault"), await account(owner)
    mine = await room.start("Mine", folder="A/1")
    first = await room.claim()
    theirs = await room.start("Theirs", folder="B")
    second = await room.claim()
    assert first is not None
    assert second is not None
    await room.heartbeat(first, second)
    await tell(room, first.job_id)
    await tell(room, second.job_id)
    await give(db, user_id, "operator", scope=ScopeKind.FOLDER, folder="A")
    async with signed_in(controller, db, user_id) as browser:
        for path in ("/", "/recordings", "/jobs", "/recordings?q=e", "/jobs?q=t", "/nodes"):
            page = (await browser.get(path)).text
            assert "Theirs" not in page, path
            assert str(theirs.id) not in page, path
            assert "Vault" not in page, path
        library = parsed(await browser.get("/recordings"))
        assert [row.one("a", class_="name").text for row in library.all(class_="recording")] == ["Mine"]
        assert "1 recording" in library.one(class_="count-line").text
        assert "another node" in library.text
        assert not parsed(await browser.get("/recordings?q=Vault")).has(class_="recording")
        assert not parsed(await browser.get("/jobs?q=Vault")).has("tbody")
        tiles = parsed(await browser.get("/jobs?block=tiles", headers=FRAGMENT))
        assert [tile.one("b").text for tile in tiles.all("a")] == ["1", "0", "0", "0", "0"]
        bar = parsed(await browser.get("/dashboard/bar", headers=FRAGMENT))
        assert [count.text for count in bar.all("b")] == ["1", "1"]
        for path in ("", "/row", "/stop", "/audio", "/live", "/download", "/waveform.dat", "/peaks", "/ledger"):
            assert (await browser.get(f"/recordings/{theirs.id}{path}")).status_code == 404, path
        for act in ("stop", "cancel", "retry"):
            assert (await browser.post(f"/recordings/{theirs.id}/{act}")).status_code == 404, act
        assert (await browser.get(f"/jobs/{theirs.job_id}")).status_code == 404
        assert (await browser.get(f"/jobs/{theirs.job_id}/row")).status_code == 404
        assert (await browser.get(f"/recordings/{mine.id}")).status_code == 200
        assert (await browser.get(f"/jobs/{mine.job_id}")).status_code == 200
        assert (await browser.get(f"/nodes/{room.node.node_id}")).status_code == 404
    assert await owner.fetchval("SELECT wish FROM job WHERE id = $1", theirs.job_id) == "run"


async def test_an_operator_of_a_folder_alone_is_told_that_no_node_is_within_reach_and_who_can_give_one(
    controller: Running, visitor: httpx.AsyncClient, user: httpx.AsyncClient, db: Database, owner: Any
) -> None:
    room, user_id = await make_room(db, "Vault"), await account(owner)
    wanted = {"id": str(new_id()), "node_id": str(room.node.node_id), "name": "Council", "folder": "A"}
    sentence = "No node to record on is within your reach; an administrator can give you one."
    named = "No node to record on is within your reach; admin can give you one."
    await give(db, user_id, "operator", scope=ScopeKind.FOLDER, folder="A")
    by = Actor("user", user_id, "ANA", await held_by(db, user_id))
    token = TokenRequest(name="script", permissions=[Permission.RECORDING_CREATE, Permission.RECORDING_READ])
    script = (await tokens.make(db, token, by=by)).secret
    async with signed_in(controller, db, user_id) as browser:
        for headers in ({}, FRAGMENT):
            page = parsed(await browser.get("/record", headers=headers))
            assert page.one(class_="empty").one("p").text == sentence
            assert not page.has("form", id="record-form")
        sent = {"id": wanted["id"], "node": wanted["node_id"], "name": "Council", "folder": "A"}
        refused = await browser.post("/record", data=sent)
        assert refused.status_code == 404
        assert sentence in parsed(refused).one("main").text
        for node_id in (wanted["node_id"], str(new_id())):
            answer = await user.post(
                "/api/v1/recordings",
                json={**wanted, "node_id": node_id},
                headers={"Authorization": f"Bearer {script}"},
            )
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            assert answer.json()["detail"] == sentence
        seeing = RoleDraft(name="Seeing people", permissions=frozenset({Permission.USER_READ}))
        await roles.make(db, seeing, by=SOMEBODY)
        await give(db, user_id, "Seeing people")
        assert parsed(await browser.get("/record")).one(class_="empty").one("p").text == named
        await give(db, user_id, "viewer", scope=ScopeKind.NODE, node_id=room.node.node_id)
        assert parsed(await browser.get("/record")).has("form", id="record-form")
    assert await owner.fetchval("SELECT count(*) FROM recording") == 0


async def test_a_stream_tells_of_the_folders_and_nodes_that_somebody_may_read_and_of_no_others(
    controller: Running, db: Database, owner: Any
) -> None:
    room, user_id = await make_room(db), await account(owner)
    grant_id = await give(db, user_id, "viewer", scope=ScopeKind.FOLDER, folder="A")
    async with (
        signed_in(controller, db, user_id) as browser,
        opened(browser, "topics=recording,job,health,node") as page,
    ):
        await room.start("Theirs", folder="B")
        theirs = await room.claim()
        assert theirs is not None
        await tell(room, theirs.job_id)
        await room.finish(theirs)
        mine = await room.start("Mine", folder="A")
        assert await page.next() == ("job", f"{mine.job_id} queued")
        assert await page.next() == ("recording", f"{mine.id} queued")
        job = await room.claim()
        assert job is not None
        await tell(room, job.job_id)
        heard = await page.next()
        while heard[0] != "health":
            assert str(mine.id) in heard[1] or str(mine.job_id) in heard[1]
            heard = await page.next()
        assert heard[1].endswith(str(mine.id))
        await grants.take(db, grant_id, by=SOMEBODY)
        while (await page.next())[0] != "resync":
            pass
        await room.finish(job)
        await give(db, user_id, "viewer", scope=ScopeKind.FOLDER, folder="B")
        assert await page.next() == ("resync", "")


async def test_what_the_viewer_cannot_see_is_counted_in_a_refusal_without_a_name(
    controller: Running, db: Database, owner: Any
) -> None:
    room, user_id = await make_room(db, capacity=1), await account(owner)
    await room.start("Secret", folder="B")
    await give(db, user_id, "viewer", scope=ScopeKind.NODE, node_id=room.node.node_id)
    await give(db, user_id, "operator", scope=ScopeKind.FOLDER, folder="A")
    await give(db, user_id, "viewer", scope=ScopeKind.FOLDER, folder="B", effect=Effect.DENY)
    async with signed_in(controller, db, user_id) as browser:
        form = await browser.get("/record")
        assert "Secret" not in form.text
        assert "1 that you cannot see" in form.text
        refused = await browser.post("/record", data={"name": "Mine"})
        assert refused.status_code == 422
        assert "Secret" not in refused.text
        assert "1 that you cannot see" in refused.text


async def test_what_is_heard_breaks_off_soon_after_playing_was_taken(db: Database, owner: Any) -> None:
    user_id = await account(owner)
    grant_id = await give(db, user_id, "viewer")
    found = await accounts.account(db, user_id)
    assert found is not None
    async with db.transaction() as session:
        begun = await login_sessions.begin(session, found.user, FROM_NOWHERE, how="test")
    controller = SimpleNamespace(db=db, timeouts=SimpleNamespace(page_session=0.02))
    scope = {
        "type": "http",
        "scheme": "http",
        "path": "/",
        "server": ("127.0.0.1", 80),
        "headers": [(b"host", b"127.0.0.1"), (b"cookie", f"reelkeeper-80={begun.token}".encode())],
        "app": SimpleNamespace(state=SimpleNamespace(controller=controller)),
    }
    may_play = lambda by: by.may(Permission.RECORDING_PLAYBACK)  # noqa: E731
    listening = asyncio.create_task(signed_out(Request(scope), may_play))
    await asyncio.wait([listening], timeout=0.2)
    assert not listening.done()
    await give(db, user_id, "auditor")
    await grants.take(db, grant_id, by=SOMEBODY)
    async with asyncio.timeout(30):
        await listening


async def test_who_may_read_but_not_play_is_shown_the_waveform(
    controller: Running, agent: WebAgent, db: Database, owner: Any
) -> None:
    job = await agent.room.claimed()
    await agent.room.heartbeat(job)
    content, cache_file_id = make_content(48_000), await agent.open_file(job)
    await agent.append(job, cache_file_id, "waveform", content.waveform[: 24 + 4 * 40])
    user_id = await account(owner)
    await give(db, user_id, "auditor")
    async with signed_in(controller, db, user_id) as browser:
        page = parsed(await browser.get(f"/recordings/{job.recording_id}"))
        assert page.one(class_="sound-facts").attributes["data-sound"] == "none"
        assert page.has("path", class_="wave")
        assert "needs the permission recording:playback" in page.one(id="timeline").text
        assert (await browser.get(f"/recordings/{job.recording_id}/live")).status_code == 403


async def test_a_profile_is_named_to_whoever_may_know_it_and_nobody_is_shown_its_id(
    controller: Running, db: Database, owner: Any
) -> None:
    room, user_id = await make_room(db, "Here"), await account(owner)
    job = await room.claimed()
    profile_id, name = await owner.fetchrow(
        "SELECT p.id, p.name FROM recording r JOIN profile p ON p.id = r.profile_id WHERE r.id = $1", job.recording_id
    )
    await give(db, user_id, "viewer")
    async with signed_in(controller, db, user_id) as browser:
        head = parsed(await browser.get(f"/recordings/{job.recording_id}")).one("p", class_="badges").text
        assert str(profile_id) not in head
        assert name not in head
        await give(db, user_id, "operator")
        assert name in parsed(await browser.get(f"/recordings/{job.recording_id}")).one("p", class_="badges").text


# ---- starting ----


async def test_the_form_offers_the_nodes_and_the_folder_that_a_start_accepts_and_refuses_others(
    controller: Running, db: Database, owner: Any
) -> None:
    here, there, user_id = await make_room(db, "Here"), await make_room(db, "There"), await account(owner)
    await give(db, user_id, "viewer")
    await give(db, user_id, "operator", scope=ScopeKind.FOLDER, folder="A")
    await give(db, user_id, "operator", scope=ScopeKind.NODE, node_id=there.node.node_id, effect=Effect.DENY)
    async with signed_in(controller, db, user_id) as browser:
        form = parsed(await browser.get("/record"))
        assert [option.text for option in form.one("select", id="node").all("option")] == ["Here"]
        assert form.one("input", id="folder").attributes["value"] == "A"
        for wrong in ({"node": str(there.node.node_id)}, {"folder": "B"}, {"folder": "AB"}):
            answer = await browser.post("/record", data={"name": "Mine", **wrong})
            assert answer.status_code == 422, wrong
        assert await owner.fetchval("SELECT count(*) FROM recording") == 0
        assert (await browser.post("/record", data={"name": "Mine"})).status_code == 303
        assert (await browser.post("/record", data={"name": "Mine", "folder": "A/2"})).status_code == 303
    rows = await owner.fetch("SELECT node_id, folder FROM recording ORDER BY created_at")
    assert [tuple(row) for row in rows] == [(here.node.node_id, "A"), (here.node.node_id, "A/2")]


async def test_a_start_needs_the_permission_for_its_node_and_its_folder(db: Database, owner: Any) -> None:
    room, user_id = await make_room(db), await account(owner)
    await give(db, user_id, "operator", scope=ScopeKind.FOLDER, folder="A")

    async def start(folder: str) -> None:
        request = StartRecording(id=new_id(), node_id=room.node.node_id, name="Mine", folder=folder)
        by = Actor("user", user_id, "ANA", await held_by(db, user_id))
        await recordings.start_recording(db, request, by=by)

    with pytest.raises(NotFoundError):
        await start("A")
    await give(db, user_id, "viewer", scope=ScopeKind.NODE, node_id=room.node.node_id)
    await start("A")
    with pytest.raises(ForbiddenError):
        await start("B")
    assert await owner.fetchval("SELECT array_agg(folder) FROM recording") == ["A"]


# ---- what is shown of what may not be done ----


async def test_each_control_is_shown_with_the_reason_why_it_does_nothing(
    controller: Running, db: Database, owner: Any
) -> None:
    room, user_id = await make_room(db), await account(owner)
    job = await room.claimed(folder="A")
    await room.heartbeat(job)
    await give(db, user_id, "viewer")
    async with signed_in(controller, db, user_id) as browser:
        for path in ("/", "/jobs", f"/recordings/{job.recording_id}", f"/jobs/{job.job_id}"):
            page = parsed(await browser.get(path))
            for button in page.all("button", aria_disabled="true"):
                reason = page.one(id=button.attributes["aria-describedby"])
                assert "Needs the permission recording:" in reason.text, path
            assert page.has("button", id="record-denied"), path
            assert [
                one.text for one in page.one("main").all("button", aria_disabled="true") if one.text.startswith("Stop")
            ]
        assert (await browser.post(f"/recordings/{job.recording_id}/stop")).status_code == 403
        await give(db, user_id, "operator", scope=ScopeKind.FOLDER, folder="A")
        page = parsed(await browser.get(f"/recordings/{job.recording_id}"))
        assert page.has("a", id="stop")
        assert not page.has(id="stop-denied")


async def test_a_refusal_names_the_permission_and_whoever_can_give_it_to_who_may_know_people(
    controller: Running, db: Database, owner: Any
) -> None:
    ana, ben, gone = await account(owner), await account(owner, "BEN"), await account(owner, "GONE")
    for one in (ben, gone):
        await give(db, one, "administrator")
    await owner.execute("UPDATE user_account SET disabled_at = clock_timestamp() WHERE id = $1", gone)
    async with signed_in(controller, db, ana) as browser:
        page = await browser.get("/recordings")
        assert page.status_code == 403
        words = parsed(page).one(class_="fault-page").text
        assert "recording:read" in words
        assert "See recordings" in words
        assert "An administrator can give it to you" in words
        await give(db, ana, "auditor", scope=ScopeKind.EVERYTHING)
        words = parsed(await browser.get("/record")).one(class_="fault-page").text
        assert "recording:create" in words
        assert "BEN can give it to you" in words
        assert "GONE" not in words


async def test_who_holds_nothing_gets_a_dashboard_that_says_so(controller: Running, db: Database, owner: Any) -> None:
    room, user_id = await make_room(db, "Vault"), await account(owner)
    await room.start("Secret")
    async with signed_in(controller, db, user_id) as browser:
        page = await browser.get("/")
        assert page.status_code == 200
        for permission in ("recording:read", "health:read", "node:read", "recording:create"):
            assert permission in parsed(page).text
        assert "Secret" not in page.text
        assert "Vault" not in page.text
