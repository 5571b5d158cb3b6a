"""A machine joins as a node before the eyes of whoever added it; groups of nodes."""

import re
from typing import Any

import httpx
import pytest

from protocol.messages import EnrolRequest, RunRequest
from tests.integration.console import FRAGMENT, Element, parsed
from tests.integration.room import SOMEBODY, inventory, make_room
from tests.integration.web_room import Running
from web.domain.errors import UnauthorisedError
from web.services.recorders import joining, node_groups, nodes
from web.store.database import Database

pytestmark = pytest.mark.anyio


async def added(visitor: httpx.AsyncClient, name: str = "Hall 1", **fields: str) -> tuple[Element, str, str]:
    """The page that shows a new code, the code, and the address at which the page asks how far it is."""
    answer = await visitor.post("/nodes/new", data={"name": name, **fields})
    assert answer.status_code == 200, answer.text
    page = parsed(answer)
    code = page.one(id="command").text.split("--code ")[1].split()[0]
    return page, code, page.one(id="standing").attributes["hx-get"]


async def test_a_node_is_added_by_one_command_and_the_page_turns_green_when_it_reports(
    visitor: httpx.AsyncClient, controller: Running, db: Database
) -> None:
    page, code, where = await added(visitor)
    assert page.one(id="command").text == f"reelkeeper agent --controller {controller.url} --code {code}"
    assert "Waiting for Hall 1" in page.one(id="standing").text
    assert code not in where

    answer = await joining.enrol(db, EnrolRequest(code=code, version="1.0"))
    assert "Hall 1 has joined" in parsed(await visitor.get(where, headers=FRAGMENT)).text
    node = await joining.authenticate_node(db, answer.token)
    run = await nodes.begin_run(db, RunRequest(previous_run=0, version="1.0"), node=node)
    await nodes.update_inventory(db, inventory(run.node_run), node=node)
    for headers in (FRAGMENT, {}):
        shown = parsed(await visitor.get(where, headers=headers))
        assert shown.one(class_="good").one("h2").text == "Hall 1 is here"
        assert code not in shown.text


async def test_a_command_with_an_address_that_only_this_machine_reaches_says_so(
    visitor: httpx.AsyncClient, controller: Running
) -> None:
    page, _, _ = await added(visitor)
    assert f"Only this machine itself reaches {controller.url}" in page.one(class_="joining").text


async def test_what_may_stand_in_the_way_is_said_after_a_while_and_a_code_is_shown_only_once(
    visitor: httpx.AsyncClient, owner: Any
) -> None:
    _, code, where = await added(visitor)
    assert not parsed(await visitor.get(where)).has("dl", class_="trouble")
    await owner.execute("UPDATE enrolment_code SET created_at = created_at - interval '31 seconds'")
    again = parsed(await visitor.get(where))
    assert "getent hosts 127.0.0.1" in again.one("dl", class_="trouble").text
    assert code not in again.text


async def test_an_open_code_is_listed_and_revoked(visitor: httpx.AsyncClient, db: Database) -> None:
    _, code, where = await added(visitor, address_range="192.0.2.0/24")
    listed = parsed(await visitor.get("/nodes/new")).one("ul", class_="lines").one("li")
    assert "from 192.0.2.0/24" in listed.text
    answer = await visitor.post(listed.one("form").attributes["action"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/nodes/new")
    assert not parsed(await visitor.get("/nodes/new")).has("ul", class_="lines")
    assert "This code was revoked" in parsed(await visitor.get(where)).text
    with pytest.raises(UnauthorisedError):
        await joining.enrol(db, EnrolRequest(code=code, version="1.0"))


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [({"name": " "}, "name"), ({"name": "x" * 201}, "name"), ({"name": "Taken"}, "name"),
     ({"name": "Hall", "address_range": "here"}, "address_range")],
)  # fmt: skip
async def test_a_name_or_range_that_cannot_be_is_refused_beside_its_field(
    visitor: httpx.AsyncClient, db: Database, fields: dict[str, str], at_fault: str
) -> None:
    await make_room(db, "Taken")
    answer = await visitor.post("/nodes/new", data=fields)
    assert answer.status_code == 422
    field = parsed(answer).one("input", id=at_fault)
    assert (field.attributes["value"], field.attributes["aria-invalid"]) == (fields[at_fault].strip(), "true")


async def test_a_node_joins_again_by_a_code_of_its_page(visitor: httpx.AsyncClient, db: Database) -> None:
    room = await make_room(db)
    page = parsed(await visitor.post(f"/nodes/{room.node.node_id}/join-again", data={"address_range": ""}))
    assert page.one("h1").text == "Town hall joins again"
    code = re.findall(r"rkc_\S+", page.one(id="command").text)[0]
    assert (await joining.enrol(db, EnrolRequest(code=code, version="2"))).node_id == room.node.node_id


async def test_groups_are_made_filled_renamed_and_removed(visitor: httpx.AsyncClient, db: Database) -> None:
    court, hall = await make_room(db, "Court"), await make_room(db, "Hall")
    assert (await visitor.post("/nodes/groups", data={"name": "Upstairs"})).status_code == 303
    (group,) = await node_groups.all_groups(db, by=SOMEBODY)
    path = f"/nodes/groups/{group.id}"
    members = {"name": "Downstairs", "node": str(hall.node.node_id)}
    assert (await visitor.post(path, data=members)).status_code == 303
    (group,) = await node_groups.all_groups(db, by=SOMEBODY)
    assert (group.name, group.node_ids) == ("Downstairs", frozenset({hall.node.node_id}))
    for query, found in (
        ("?group=Downstairs", ["Hall"]),
        ("?q=court", ["Court"]),
        ("?state=away", []),
        ("", ["Court", "Hall"]),
    ):
        page = parsed(await visitor.get(f"/nodes{query}"))
        assert [card.one("h2").text for card in page.all("li", class_="node")] == found, query
    refused = await visitor.post("/nodes/groups", data={"name": "Downstairs"})
    assert (refused.status_code, parsed(refused).one("input", id="name").attributes["value"]) == (422, "Downstairs")
    assert (await visitor.post(f"{path}/remove")).status_code == 303
    assert not await node_groups.all_groups(db, by=SOMEBODY)
    assert (await visitor.get(f"/nodes/{court.node.node_id}")).status_code == 200
