"""The first run: one link, one administrator, and pages that nobody else can open."""

import asyncio
from typing import Any

import httpx
import pytest
import typer

from protocol.ids import new_id
from reelkeeper.cli import app
from tests.integration.console import parsed
from tests.integration.room import SOMEBODY, make_room
from tests.integration.web_room import Running
from web.domain.access import everywhere
from web.domain.errors import LinkSpentError, SetupClosedError
from web.services import setup
from web.services.entry import accounts
from web.services.entry.passwords import Passwords
from web.store.access import held_by
from web.store.database import Database

pytestmark = pytest.mark.anyio

PASSWORD = "seven green ladders sing"
FROM_HERE = {"Sec-Fetch-Site": "same-origin"}


async def code_of(db: Database) -> str:
    code = await setup.link_code(db)
    assert code is not None
    return code


async def begun(controller: Running, db: Database) -> httpx.AsyncClient:
    """A browser that has made the first account."""
    browser = httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE, trust_env=False)
    answer = await browser.post(f"/setup/begin/{await code_of(db)}", data={"name": "Ana", "password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/setup/recorder"), answer.text
    return browser


async def test_who_has_the_link_becomes_the_administrator(db: Database) -> None:
    begun = await setup.begin(db, Passwords(), await code_of(db), "Ana", PASSWORD)
    assert await held_by(db, begun.user.id) == everywhere()
    assert (await accounts.authenticate_session(db, begun.token))[1].name == "Ana"


async def test_two_browsers_at_once_make_one_administrator(db: Database, owner: Any) -> None:
    codes = [await code_of(db), await code_of(db)]
    passwords = Passwords()
    done = await asyncio.gather(
        *(setup.begin(db, passwords, codes[index % 2], f"Ana {index}", PASSWORD) for index in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, LinkSpentError) for one in done) == 3, done
    assert await owner.fetchval("SELECT count(*) FROM user_account") == 1
    assert await owner.fetchval("SELECT count(*) FROM access_grant") == 1


async def test_a_link_works_once_and_not_for_ever(db: Database, owner: Any) -> None:
    old = await code_of(db)
    await owner.execute("UPDATE setup_code SET expires_at = now()")
    good = await code_of(db)
    with pytest.raises(LinkSpentError):
        await setup.require_good_code(db, old)
    await setup.begin(db, Passwords(), good, "Ana", PASSWORD)
    with pytest.raises(LinkSpentError):
        await setup.begin(db, Passwords(), good, "Ben", PASSWORD)
    assert await setup.link_code(db) is None


async def test_an_account_made_at_the_machine_closes_the_first_run(db: Database) -> None:
    code = await code_of(db)
    await accounts.spend_code(db, await accounts.sign_in_link_code(db))
    with pytest.raises(LinkSpentError):
        await setup.begin(db, Passwords(), code, "Eve", PASSWORD)


async def test_steps_are_closed_to_everybody_else(
    controller: Running, db: Database, visitor: httpx.AsyncClient
) -> None:
    for path in ("/setup/recorder", "/setup/input", "/setup/try", "/setup/done"):
        assert (await visitor.get(path)).status_code == 409
        assert (await visitor.post(path, data={"id": str(new_id())})).status_code == 409
    with pytest.raises(SetupClosedError):
        await setup.progress(db, by=SOMEBODY)
    assert (await visitor.get("/setup")).headers["location"] == "/"
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE) as stranger:
        assert "reelkeeper setup" in parsed(await stranger.get("/setup")).text
        assert (await stranger.get("/setup/recorder")).headers["location"].startswith("/sign-in")
        assert (await stranger.get("/setup/begin/nonsense")).status_code == 410


async def test_a_poor_password_gives_the_form_back_and_spends_nothing(controller: Running, db: Database) -> None:
    path = f"/setup/begin/{await code_of(db)}"
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE) as browser:
        answer = await browser.post(path, data={"name": "Ana", "password": "short"})
        assert answer.status_code == 422
        page = parsed(answer)
        assert page.one("input", name="name").attributes["value"] == "Ana"
        assert page.one("input", name="password").attributes["aria-invalid"] == "true"
        assert (await browser.post(path, data={"name": "Ana", "password": PASSWORD})).status_code == 303


async def test_the_first_run_is_resumed_where_it_was_left(controller: Running, db: Database) -> None:
    browser = await begun(controller, db)
    assert (await browser.get("/setup/try")).headers["location"] == "/setup/recorder"
    assert "No recorder has answered yet" in parsed(await browser.get("/setup/recorder")).text
    made = parsed(await browser.post("/setup/recorder/code", data={"name": "Hall"}))
    program, verb, *arguments = made.one("code", class_="link").text.split()
    assert (program, verb) == ("reelkeeper", "agent")
    understood = typer.main.get_command(app).commands[verb].make_context(verb, arguments).params  # type: ignore[attr-defined]
    assert understood["controller"] == controller.url
    assert understood["code"].startswith("rkc_")
    room = await make_room(db, "Court")
    page = parsed(await browser.get("/setup/recorder?block=nodes"))
    assert page.one("input", name="node_id").attributes["checked"] == ""
    await browser.post("/setup/recorder", data={"node_id": str(room.node.node_id)})
    assert (await browser.get("/setup")).headers["location"] == "/setup/input"
    inputs = parsed(await browser.get("/setup/input")).all("input", name="interface_id")
    assert [one.attributes.get("checked") for one in inputs].count("") == 1
    answer = await browser.post("/setup/input", data={"interface_id": inputs[0].attributes["value"]})
    assert answer.headers["location"] == "/setup/try"
    assert (await browser.get("/setup")).headers["location"] == "/setup/try"
    form = parsed(await browser.get("/setup/try")).one("form", action="/setup/try")
    sent = {"id": form.one("input", name="id").attributes["value"]}
    for _ in range(2):
        assert (await browser.post("/setup/try", data=sent)).headers["location"] == "/setup/try"
    assert await room.claim() is not None
    assert await room.claim() is None
    assert "hx-get" in parsed(await browser.get("/setup/try")).one("div", id="attempt").attributes
    await browser.aclose()


async def test_what_is_left_over_waits_on_the_dashboard_until_it_is_put_away(controller: Running, db: Database) -> None:
    browser = await begun(controller, db)
    listed = parsed(await browser.get("/")).one("section", class_="leftovers")
    assert "Invite a person" in listed.text
    assert listed.has("a", href="/setup")
    await browser.post("/setup/put-away")
    assert not parsed(await browser.get("/")).has("section", class_="leftovers")
    await browser.aclose()
