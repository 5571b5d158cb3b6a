"""Nodes as people see them, and what they may set."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from protocol.messages import CaptureFormat, Phase, SpoolReport
from tests.integration.console import FRAGMENT, Element, parsed
from tests.integration.room import SOMEBODY, WIDE, inventory, make_room
from tests.integration.web_room import WebAgent
from web.domain.access import EVERYTHING
from web.domain.errors import InvalidError
from web.domain.health import Finding
from web.domain.nodes import Interface
from web.domain.states import Severity
from web.services.recorders import nodes, standing
from web.store import health_events
from web.store import nodes as stored_nodes
from web.store.database import Database

pytestmark = pytest.mark.anyio

UNSEEN = "UPDATE node_seen SET last_seen_at = clock_timestamp() - interval '12 minutes'"


async def interface(db: Database, name: str = "counter-32") -> Interface:
    found = await stored_nodes.interfaces_by_node(db, scope=EVERYTHING)
    return next(one for of_node in found.values() for one in of_node if one.ref.name == name)


def own(agent: WebAgent, rest: str = "") -> str:
    return f"/nodes/{agent.room.node.node_id}{rest}"


def input_card(page: Element, label: str) -> Element:
    return next(one for one in page.one("ul", class_="inputs").all("li") if one.one("h3").text == label)


async def test_every_node_has_a_card_with_what_it_has_and_does(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    await make_room(db, "Court 3")
    job = await agent.room.claimed(name="Council")
    await agent.room.heartbeat(job, phase=Phase.CAPTURING)
    page = parsed(await visitor.get("/nodes"))
    court, hall = page.all("li", class_="node")
    assert [card.one("h2").text for card in (court, hall)] == ["Court 3", "Town hall"]
    assert court.one(class_="doing").text == "Records nothing now"
    assert hall.one(class_="doing").one("a").attributes["href"] == f"/recordings/{job.recording_id}"
    assert hall.one(class_="badge").text == "Online"
    assert hall.one(class_="meters").attributes["data-meters"] == str((await _counter_of(db, agent)).id)
    assert "Counter, Counter-32" in hall.one("dl").text


async def test_a_node_that_is_not_seen_is_grey_with_its_age_and_has_no_meters(
    visitor: httpx.AsyncClient, agent: WebAgent, owner: Any
) -> None:
    await owner.execute(UNSEEN)
    card = parsed(await visitor.get("/nodes")).one("li", class_="unseen-node")
    assert card.one(class_="badge").text.startswith("Not seen for 12:0")
    assert int(card.one(class_="clock").attributes["data-elapsed-ms"]) >= 720_000
    assert not card.has(class_="meters")
    page = parsed(await visitor.get(own(agent)))
    assert not page.has(class_="meters")
    assert "12 min ago" in page.one("dl", class_="node-tiles").text


async def test_without_a_node_the_list_tells_how_to_add_one(visitor: httpx.AsyncClient) -> None:
    assert parsed(await visitor.get("/nodes")).has(class_="first-node")


async def test_a_node_shows_meters_and_formats_of_every_input(visitor: httpx.AsyncClient, agent: WebAgent) -> None:
    page = parsed(await visitor.get(own(agent)))
    assert page.one("h1").text == "Town hall"
    counter, wide = input_card(page, "Counter"), input_card(page, "Counter-32")
    assert counter.one(class_="badge").text == "Preferred"
    assert counter.one(class_="meters").attributes["data-channels"] == "0 1"
    assert wide.one("dl").text == (
        "Captured as 2 channels, 48 kHz, 16 bit Can do up to 32 channels; 16 kHz, 48 kHz, 96 kHz; 16 bit, 32 bit"
    )
    assert page.one("a", id="record-here").attributes["href"] == f"/record?node={agent.room.node.node_id}"


async def test_an_input_that_was_unplugged_stays_with_its_settings_and_no_meter(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    await nodes.update_inventory(db, inventory(agent.room.node_run, ("counter",)), node=agent.room.node)
    wide = input_card(parsed(await visitor.get(own(agent))), "Counter-32")
    assert wide.one(class_="badge").text == "Not connected"
    assert not wide.has(class_="meters")


async def test_jobs_and_events_of_this_node_are_listed_and_no_others(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    other = await make_room(db, "Court 3")
    await agent.room.finish(await agent.room.claimed(name="Council"))
    await other.finish(await other.claimed(name="Hearing"))
    page = parsed(await visitor.get(own(agent)))
    work = page.one(id="node-work")
    assert "Council" in work.text
    assert "Hearing" not in work.text
    fragment = parsed(await visitor.get(own(agent, "/work"), headers=FRAGMENT))
    assert fragment.text == work.text


async def test_parts_of_a_node_refresh_alone(visitor: httpx.AsyncClient, agent: WebAgent) -> None:
    page = parsed(await visitor.get(own(agent)))
    for region in page.one("main").all(hx_trigger="live"):
        fragment = parsed(await visitor.get(region.attributes["hx-get"], headers=FRAGMENT))
        assert not fragment.has("html")
        swapped = [region, *region.all()] if region.attributes.get("hx-swap") == "outerHTML" else region.all()
        assert [one.tag for one in fragment.all()] == [one.tag for one in swapped]
    card = parsed(await visitor.get(own(agent, "/card"), headers=FRAGMENT))
    assert card.one("li").attributes["id"] == f"node-{agent.room.node.node_id}"


async def test_a_capture_format_is_set_and_taken_back(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    one = await interface(db)
    path = own(agent, f"/interfaces/{one.id}/capture-format")
    wanted = {"channels": "8", "sample_rate_hz": "96000", "sample_type": "s32"}
    answer = await visitor.post(path, data=wanted)
    assert (answer.status_code, answer.headers["location"]) == (303, own(agent))
    assert (await interface(db)).chosen_capture == CaptureFormat(channels=8, sample_rate_hz=96_000, sample_type="s32")
    card = input_card(parsed(await visitor.get(own(agent))), "Counter-32")
    assert "8 channels, 96 kHz, 32 bit set by hand" in card.one("dl").text
    back = card.one("button", name="follow")
    assert back.text == "Back to 2 channels, 48 kHz, 16 bit"
    await visitor.post(path, data={**wanted, "follow": "default"})
    assert (await interface(db)).chosen_capture is None


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"channels": "33"}, "channels"),
        ({"channels": "many"}, "channels"),
        ({"sample_rate_hz": "44100"}, "sample_rate_hz"),
        ({"sample_type": "f32"}, "sample_type"),
        ({"sample_type": "u8"}, "sample_type"),
    ],
)
async def test_a_format_that_the_input_cannot_do_is_refused_beside_its_field(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database, values: dict[str, str], field: str
) -> None:
    one = await interface(db)
    answer = await visitor.post(
        own(agent, f"/interfaces/{one.id}/capture-format"),
        data={"channels": "2", "sample_rate_hz": "48000", "sample_type": "s16", **values},
    )
    assert answer.status_code == 422
    page = parsed(answer)
    assert page.one(class_="fault-summary").one("a").attributes["href"] == f"#{field}-{one.id}"
    assert page.one(id=f"{field}-{one.id}").attributes["aria-invalid"] == "true"
    assert (await interface(db)).chosen_capture is None


async def test_another_input_is_preferred(visitor: httpx.AsyncClient, agent: WebAgent, db: Database) -> None:
    one = await interface(db)
    answer = await visitor.post(own(agent, f"/interfaces/{one.id}/prefer"))
    assert answer.status_code == 303
    found = await stored_nodes.interfaces_of(db, agent.room.node.node_id, scope=EVERYTHING)
    assert [each.ref for each in found if each.is_preferred] == [WIDE]


async def test_capacity_is_set_within_its_limits(visitor: httpx.AsyncClient, agent: WebAgent, db: Database) -> None:
    async def capacity() -> int:
        return (await standing.node_card(db, agent.room.node.node_id, by=SOMEBODY)).node.capacity

    assert (await visitor.post(own(agent, "/capacity"), data={"capacity": "7"})).status_code == 303
    assert await capacity() == 7
    for text in ("0", "65", "-1", "many", ""):
        answer = await visitor.post(own(agent, "/capacity"), data={"capacity": text})
        assert answer.status_code == 422, text
        field = parsed(answer).one("input", name="capacity")
        assert (field.attributes["value"], field.attributes["aria-invalid"]) == (text, "true")
    assert await capacity() == 7


async def test_an_armed_input_says_so_wherever_it_is_shown_until_it_is_disarmed(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    one = await interface(db)
    path = own(agent, f"/interfaces/{one.id}/arm")
    words = "Armed: keeps the last 60 s"
    shown_on = ("/", "/nodes", own(agent), "/record")
    for page in shown_on:
        assert words not in parsed(await visitor.get(page)).text, page
    answer = await visitor.post(path, data={"preroll_seconds": "60"})
    assert (answer.status_code, answer.headers["location"]) == (303, own(agent))
    for page in shown_on:
        assert words in parsed(await visitor.get(page)).text, page
    await nodes.update_inventory(db, inventory(agent.room.node_run, ("counter",)), node=agent.room.node)
    for page in shown_on:
        found = parsed(await visitor.get(page)).text
        assert words not in found, page
        assert "Armed once it is connected" in found, page
    await visitor.post(path, data={"preroll_seconds": "60", "disarm": "yes"})
    assert not (await interface(db)).is_armed


@pytest.mark.parametrize("text", ["-1", "3601", "long", ""])
async def test_a_preroll_that_cannot_be_is_refused_beside_its_field(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database, text: str
) -> None:
    one = await interface(db)
    answer = await visitor.post(own(agent, f"/interfaces/{one.id}/arm"), data={"preroll_seconds": text})
    assert answer.status_code == 422
    field = parsed(answer).one("input", id=f"preroll_seconds-{one.id}")
    assert (field.attributes["value"], field.attributes["aria-invalid"]) == (text, "true")
    assert not (await interface(db)).is_armed


async def test_the_least_recording_is_set_and_taken_back(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    async def least() -> int | None:
        return (await standing.node_card(db, agent.room.node.node_id, by=SOMEBODY)).node.minimum_bytes

    for text, expected in (("4000", 4000), ("", None), ("0", 0)):
        assert (await visitor.post(own(agent, "/minimum"), data={"minimum_bytes": text})).status_code == 303
        assert await least() == expected
    for text in ("-1", "1000000001", "some"):
        answer = await visitor.post(own(agent, "/minimum"), data={"minimum_bytes": text})
        assert answer.status_code == 422, text
        assert parsed(answer).one("input", id="minimum_bytes").attributes["aria-invalid"] == "true"
    assert await least() == 0


async def test_disks_are_shown_with_how_long_they_last_as_measured(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    await agent.room.heartbeat(await agent.room.claimed(), phase=Phase.CAPTURING)
    spools = [
        SpoolReport(path="/spool", free_bytes=412_000_000_000, total_bytes=900_000_000_000, standing="usable"),
        SpoolReport(path="/spill", free_bytes=40_000, total_bytes=64_000_000_000, standing="full"),
    ]
    report = inventory(agent.room.node_run).model_copy(update={"spools": spools, "disk_seconds_left": 111_600})
    await nodes.update_inventory(db, report, node=agent.room.node)
    page = parsed(await visitor.get(own(agent)))
    first, second = page.one("table", class_="spools").all("tr")
    assert first.text == "/spool 412.0 GB of 900.0 GB free"
    assert second.text == "/spill Full 40.0 kB of 64.0 GB free"
    assert "31 h" in page.one("dl", class_="node-tiles").text
    for path in ("/", "/nodes"):
        assert "space for 31 h at the present rate" in parsed(await visitor.get(path)).text, path
    full = report.model_copy(update={"spools": spools[1:]})
    await nodes.update_inventory(db, full, node=agent.room.node)
    for path in ("/", "/nodes", own(agent)):
        assert "no space left" in parsed(await visitor.get(path)).text.lower(), path


async def test_what_is_not_there_is_not_found(visitor: httpx.AsyncClient, agent: WebAgent, db: Database) -> None:
    nothing = UUID(int=0)
    assert (await visitor.get(f"/nodes/{nothing}")).status_code == 404
    assert (await visitor.get("/nodes/nonsense")).status_code == 404
    assert (await visitor.post(own(agent, f"/interfaces/{nothing}/prefer"))).status_code == 404
    other = await make_room(db, "Court 3")
    of_other = (await stored_nodes.interfaces_of(db, other.node.node_id, scope=EVERYTHING))[0]
    assert (await visitor.post(own(agent, f"/interfaces/{of_other.id}/prefer"))).status_code == 404


async def _counter_of(db: Database, agent: WebAgent) -> Interface:
    found = await stored_nodes.interfaces_of(db, agent.room.node.node_id, scope=EVERYTHING)
    return next(one for one in found if one.ref.name == "counter")


async def test_people_name_inputs_and_channels_and_the_names_outlive_the_device(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    one = await interface(db, "counter")
    fields = {"label": "Desk", "channel-0": "Judge", "channel-1": ""}
    assert (await visitor.post(own(agent, f"/interfaces/{one.id}/name"), data=fields)).status_code == 303
    await nodes.update_inventory(db, inventory(agent.room.node_run, ("counter-32",)), node=agent.room.node)
    await nodes.update_inventory(db, inventory(agent.room.node_run), node=agent.room.node)
    assert (
        input_card(parsed(await visitor.get(own(agent))), "Desk").one("p", class_="device").text.startswith("Counter ·")
    )
    record = parsed(await visitor.get("/record"))
    assert "Channel Judge of Desk" in record.text
    assert "Channel 2 of Desk" in record.text
    job = await agent.room.claimed()
    assert "Desk" in parsed(await visitor.get(f"/jobs/{job.job_id}")).one(id="job").text
    too_long = await visitor.post(own(agent, f"/interfaces/{one.id}/name"), data={"label": "x" * 101})
    assert too_long.status_code == 422
    assert parsed(too_long).one("input", id=f"label-{one.id}").attributes["aria-invalid"] == "true"


async def test_an_input_that_is_switched_off_is_neither_offered_nor_started(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    one = await interface(db, "counter")
    await visitor.post(own(agent, f"/interfaces/{one.id}/enable"), data={"enabled": "no"})
    assert "Switched off" in input_card(parsed(await visitor.get(own(agent))), "Counter").text
    box = next(
        each
        for each in parsed(await visitor.get("/record")).all("input", name="interface")
        if each.attributes["value"] == str(one.id)
    )
    assert "disabled" in box.attributes
    with pytest.raises(InvalidError, match="switched off"):
        await agent.room.start(interface=one.ref)
    await visitor.post(own(agent, f"/interfaces/{one.id}/enable"), data={"enabled": "yes"})
    await agent.room.start(interface=one.ref)


async def test_a_node_that_drains_says_so_and_is_removed_once_it_owes_nothing(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    job = await agent.room.claimed(name="Council")
    assert "Set it to drain first" in parsed(await visitor.get(own(agent, "/remove"))).text
    assert (await visitor.post(own(agent, "/drain"), data={"draining": "yes"})).status_code == 303
    assert "Draining" in parsed(await visitor.get("/nodes")).text
    assert "It still owes 1 recording" in parsed(await visitor.get(own(agent, "/remove"))).text
    assert (await visitor.post(own(agent, "/remove"))).status_code == 409
    await agent.room.finish(job)
    assert (await visitor.post(own(agent, "/remove"))).status_code == 303
    assert parsed(await visitor.get("/nodes")).has(class_="first-node")
    assert (await visitor.get(own(agent))).status_code == 404
    assert "Council" in parsed(await visitor.get("/recordings")).text
    assert (await visitor.get(f"/recordings/{job.recording_id}")).status_code == 200


async def test_an_absence_that_somebody_knows_of_needs_attention_no_more(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database, owner: Any
) -> None:
    await owner.execute(UNSEEN)
    async with db.transaction() as session:
        found = Finding("node_not_seen", Severity.WARNING, "Town hall has not been heard of.")
        await health_events.begin(session, found, node_id=agent.room.node.node_id)
    assert "has not been heard of" in parsed(await visitor.get("/")).text
    assert (await visitor.post(own(agent, "/acknowledge"))).status_code == 303
    dashboard = parsed(await visitor.get("/")).text
    assert "has not been heard of" not in dashboard
    assert "Nothing needs attention" in dashboard
    assert "Somebody knows that it is away" in parsed(await visitor.get(own(agent))).text


async def test_a_node_is_described_and_found_by_what_is_said_of_it(visitor: httpx.AsyncClient, agent: WebAgent) -> None:
    said = {"name": "Great hall", "location": "2nd floor", "tags": "music, court", "site_zone": "Europe/Berlin"}
    assert (await visitor.post(own(agent, "/describe"), data=said)).status_code == 303
    card = parsed(await visitor.get("/nodes?q=music")).one("li", class_="node")
    assert card.one("h2").text == "Great hall"
    assert "2nd floor · music, court" in card.text
    refused = await visitor.post(own(agent, "/describe"), data={**said, "site_zone": "Mars/Base"})
    assert refused.status_code == 422
    assert parsed(refused).one("input", id="site_zone").attributes["value"] == "Mars/Base"


async def test_the_token_of_a_node_is_rotated_and_revoked_on_its_page(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    assert "In use" in parsed(await visitor.get(own(agent))).one(id="node-tokens").text
    await visitor.post(own(agent, "/rotate-token"))
    assert "asked for another" in parsed(await visitor.get(own(agent, "/tokens"), headers=FRAGMENT)).text
    assert (await agent.room.heartbeat()).rotate_token
    assert "Its agent is refused at once" in parsed(await visitor.get(own(agent, "/revoke"))).text
    assert (await visitor.post(own(agent, "/revoke"))).status_code == 303
    assert "No token of this node is good" in parsed(await visitor.get(own(agent))).one(id="node-tokens").text
    refused = await agent.http.get("/wake?after=0")
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorised")
    assert "Join again" in refused.json()["detail"]
