"""The form that records: a page and a dialog, with and without script."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx
import pytest

from protocol.ids import new_id
from protocol.messages import Limits, SpoolReport
from tests import profiles
from tests.integration.console import FRAGMENT, Element, parsed
from tests.integration.room import COUNTER, SOMEBODY, inventory, make_room
from tests.integration.web_room import WebAgent
from web.domain.access import EVERYTHING
from web.domain.recordings import Recording
from web.services.recorders import nodes
from web.services.work.profiles import protect
from web.store import recordings
from web.store.database import Database

pytestmark = pytest.mark.anyio

Fields = list[tuple[str, str]]


def fields(form: Element) -> Fields:
    """What a browser would send of it, untouched."""
    found: Fields = []
    for one in form.all():
        name, kind = one.attributes.get("name", ""), one.attributes.get("type", "text")
        is_sent = kind not in ("radio", "checkbox") or "checked" in one.attributes
        if one.tag == "input" and name and is_sent and "disabled" not in one.attributes:
            found.append((name, one.attributes.get("value", "")))
        elif one.tag == "select":
            options = one.all("option")
            chosen = next((option for option in options if "selected" in option.attributes), options[0])
            found.append((name, chosen.attributes["value"]))
    return found


def changed(sent: Fields, **values: str) -> Fields:
    return [(name, values.get(name, value)) for name, value in sent]


async def opened(visitor: httpx.AsyncClient, query: str = "") -> Element:
    """Through the address without the keys that were left empty."""
    answer = await visitor.get(f"/record{query}", follow_redirects=True)
    assert answer.status_code == 200, answer.text
    return parsed(answer).one("form", id="record-form")


async def send(visitor: httpx.AsyncClient, sent: Fields, **headers: str) -> httpx.Response:
    return await visitor.post(
        "/record", content=urlencode(sent), headers={"Content-Type": "application/x-www-form-urlencoded", **headers}
    )


async def all_of(db: Database) -> list[Recording]:
    return await recordings.latest(db, scope=EVERYTHING, nodes=EVERYTHING)


async def interface_id(owner: Any, name: str) -> UUID:
    found: UUID = await owner.fetchval("SELECT id FROM interface WHERE name = $1", name)
    return found


@pytest.mark.parametrize("headers", [{}, FRAGMENT], ids=["page", "dialog"])
async def test_untouched_form_records_the_likeliest_input(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database, headers: dict[str, str]
) -> None:
    answer = await visitor.get("/record", headers=headers)
    page = parsed(answer)
    assert page.has("html") == (not headers)
    form = page.one("form", id="record-form")
    done = await send(visitor, fields(form), **headers)
    (recording,) = await all_of(db)
    assert recording.name.startswith("Recording 20")
    assert (recording.interface.name, recording.node_name) == ("counter", "Town hall")
    assert str(recording.profile_id) == str(profiles.VOICE)
    path = f"/recordings/{recording.id}"
    if headers:
        assert (done.status_code, done.headers["HX-Redirect"]) == (204, path)
    else:
        assert (done.status_code, done.headers["location"]) == (303, path)


async def test_first_button_starts_so_that_enter_does(visitor: httpx.AsyncClient, agent: WebAgent) -> None:
    form = await opened(visitor)
    first = form.all("button")[0]
    assert first.text == "Start"
    assert not {"formaction", "formmethod"} & set(first.attributes)


async def test_every_input_has_a_meter_for_each_captured_channel(
    visitor: httpx.AsyncClient, agent: WebAgent, owner: Any
) -> None:
    form = await opened(visitor)
    for name in ("counter", "counter-32"):
        banks = form.all(class_="meters", data_meters=str(await interface_id(owner, name)))
        assert [bank.attributes["data-channels"] for bank in banks] == ["0", "1"]


async def test_everything_that_can_be_chosen_is_recorded(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database, owner: Any
) -> None:
    form = await opened(visitor)
    wide = await interface_id(owner, "counter-32")
    sent = changed(
        fields(form),
        name="Council",
        interface=str(wide),
        profile_id=str(profiles.WAV),
        output="mono",
        folder="Court/2026",
        tags="plenary, open , plenary",
        duration_hours="1",
        duration_minutes="30",
    )
    sent = [pair for pair in sent if pair != ("channel", f"{wide}.0")]
    assert (await send(visitor, sent)).status_code == 303
    (recording,) = await all_of(db)
    assert (recording.name, recording.folder, recording.tags) == ("Council", "Court/2026", ["open", "plenary"])
    job = await agent.room.claim()
    assert job is not None
    assert job.settings.interface.name == "counter-32"
    assert job.settings.channel_map == [[0.0, 1.0]]
    assert (job.settings.encoding.codec, job.settings.duration_ms) == ("wav", 5_400_000)


async def test_ten_identical_posts_make_one_recording(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    sent = fields(await opened(visitor))
    paths = {(await send(visitor, sent)).headers["location"] for _ in range(10)}
    assert len(paths) == len(await all_of(db)) == 1


async def test_each_opened_form_has_an_id_of_its_own_and_a_refused_one_keeps_it(
    visitor: httpx.AsyncClient, agent: WebAgent
) -> None:
    first, second = await opened(visitor), await opened(visitor)
    identity = first.one("input", name="id").attributes["value"]
    assert identity != second.one("input", name="id").attributes["value"]
    answer = await send(visitor, changed(fields(first), name=""))
    assert answer.status_code == 422
    assert parsed(answer).one("form", id="record-form").one("input", name="id").attributes["value"] == identity
    again = await opened(visitor, f"?id={identity}")
    assert again.one("input", name="id").attributes["value"] != identity


async def test_a_form_that_was_used_for_something_else_gets_a_new_id_and_works_then(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    sent = fields(await opened(visitor))
    await send(visitor, changed(sent, name="First"))
    refused = await send(visitor, changed(sent, name="Second"))
    assert refused.status_code == 422
    form = parsed(refused).one("form", id="record-form")
    assert form.one("input", name="name").attributes["value"] == "Second"
    assert (await send(visitor, fields(form))).status_code == 303
    assert {recording.name for recording in await all_of(db)} == {"First", "Second"}


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"name": " "}, "name", "name"),
        ({"name": "x" * 201}, "name", "200"),
        ({"folder": "a//b"}, "folder", "Court/2026"),
        ({"tags": "\x07"}, "tags", "printed"),
        ({"duration_hours": "soon"}, "duration_hours", "whole hours"),
        ({"duration_hours": "99999999"}, "duration_hours", ""),
        ({"node": "00000000-0000-0000-0000-000000000000"}, "node", "not there"),
        ({"interface": "00000000-0000-0000-0000-000000000000"}, "interface", "Choose an input"),
    ],
    ids=["blank", "long", "folder", "tags", "duration", "too long a duration", "node", "input"],
)
async def test_what_is_wrong_is_said_beside_its_field_and_nothing_starts(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database, values: dict[str, str], field: str, words: str
) -> None:
    sent = changed(fields(await opened(visitor)), **values)
    for headers in ({}, FRAGMENT):
        answer = await send(visitor, sent, **headers)
        assert answer.status_code == 422
        page = parsed(answer)
        links = page.one(class_="fault-summary").all("a")
        assert [link.attributes["href"] for link in links] == [f"#{field}"]
        assert words in links[0].text
        if field == "name":
            assert page.one("input", id="name").attributes["value"] == values["name"].strip()
        assert page.one(id=field)
    assert await all_of(db) == []


async def test_without_a_channel_nothing_starts(visitor: httpx.AsyncClient, agent: WebAgent, db: Database) -> None:
    sent = [pair for pair in fields(await opened(visitor)) if pair[0] != "channel"]
    page = parsed(await send(visitor, sent))
    assert page.one(class_="fault-summary").one("a").attributes["href"] == "#channels"
    assert page.one(id="channels")
    assert await all_of(db) == []


async def test_a_profile_that_does_not_fit_is_named_before_and_refused(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database, owner: Any
) -> None:
    wide = await interface_id(owner, "counter-32")
    await owner.execute(
        """UPDATE interface SET chosen_capture = '{"channels": 32, "sample_rate_hz": 48000, "sample_type": "s32"}'
        WHERE id = $1""",
        wide,
    )
    form = await opened(visitor, f"?interface={wide}")
    chosen = form.one("select", name="profile_id").one("option", selected="")
    assert chosen.attributes["value"] == str(profiles.WAV)
    assert len([one for one in form.one("select", name="profile_id").all("option") if "does not fit" in one.text]) == 5
    sent = changed(fields(form), profile_id=str(profiles.VOICE))
    preview = parsed(await visitor.get(f"/record/fit?{urlencode(sent)}", headers=FRAGMENT))
    assert "MP3 takes 1 or 2 channels, not 32" in preview.one(class_="warn").text
    answer = await send(visitor, sent)
    assert answer.status_code == 422
    assert "not 32" in parsed(answer).one(class_="fault-summary").text
    assert await all_of(db) == []


async def test_a_busy_node_is_named_with_what_it_records(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    form = await opened(visitor)
    for number in range(3):
        await agent.room.start(f"Meeting {number}")
    later = await opened(visitor)
    assert "busy with Meeting 0, Meeting 1, Meeting 2" in later.one("select", name="node").text
    assert "may record 3 at once" in later.one(id="record-fit").text
    answer = await send(visitor, fields(form))
    assert answer.status_code == 422
    assert "Town hall is busy" in parsed(answer).one(class_="fault-summary").text
    assert len(await all_of(db)) == 3


async def test_another_node_is_chosen_by_a_plain_get_and_what_was_typed_stays(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    other = await make_room(db, "Court 3")
    sent = changed(fields(await opened(visitor)), name="Council", folder="Court/2026", node=str(other.node.node_id))
    query = urlencode(sent)
    form = await opened(visitor, f"?{query}")
    assert form.one("input", name="name").attributes["value"] == "Council"
    assert form.one("input", name="folder").attributes["value"] == "Court/2026"
    assert (await send(visitor, fields(form))).status_code == 303
    (recording,) = await all_of(db)
    assert (recording.node_name, recording.name) == ("Court 3", "Council")


async def test_inputs_of_another_node_than_the_chosen_one_start_nothing(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    other = await make_room(db, "Court 3")
    town_hall = await opened(visitor, f"?node={agent.room.node.node_id}")
    answer = await send(visitor, changed(fields(town_hall), node=str(other.node.node_id)))
    assert answer.status_code == 422
    form = parsed(answer).one("form", id="record-form")
    assert "Choose an input of “Court 3”" in form.one(class_="fault-summary").text
    assert await all_of(db) == []
    assert (await send(visitor, fields(form))).status_code == 303
    assert (await all_of(db))[0].node_name == "Court 3"


async def test_without_a_node_the_form_tells_how_to_add_one(visitor: httpx.AsyncClient) -> None:
    page = parsed(await visitor.get("/record"))
    assert not page.has("form", id="record-form")
    assert page.one(class_="first-node").one("a", class_="button").text == "Add a node"


async def test_a_page_elsewhere_cannot_start_anything(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    sent = fields(await opened(visitor))
    assert (await send(visitor, sent, **{"Sec-Fetch-Site": "cross-site"})).status_code == 403
    assert await all_of(db) == []


async def test_limits_are_typed_in_hours_megabytes_and_minutes_and_said_before(
    visitor: httpx.AsyncClient, agent: WebAgent
) -> None:
    sent = changed(fields(await opened(visitor)), limit_hours="1.5", limit_megabytes="0,5", limit_silence="10")
    preview = parsed(await visitor.get(f"/record/fit?{urlencode(sent)}", headers=FRAGMENT))
    assert "It ends by itself after 1:30:00 of length, 500.0 kB, 10 min of silence." in preview.text
    assert (await send(visitor, sent)).status_code == 303
    job = await agent.room.claim()
    assert job is not None
    assert job.settings.limits == Limits(length_ms=5_400_000, size_bytes=500_000, idle_ms=600_000)


async def test_limits_of_the_profile_hold_unless_another_or_none_is_typed(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    usual = Limits(length_ms=7_200_000, idle_ms=600_000)
    await protect(db, profiles.VOICE, limits=usual, minimum_bytes=None, by=SOMEBODY)
    form = await opened(visitor)
    assert "It ends by itself after 2:00:00 of length, 10 min of silence." in form.one(id="record-fit").text
    await send(visitor, changed(fields(form), limit_silence="0"))
    job = await agent.room.claim()
    assert job is not None
    assert job.settings.limits == Limits(length_ms=7_200_000)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *(("limit_hours", text) for text in ("long", "-1", "+5", "5_000", "1234567890", "99999999")),
        *(("limit_megabytes", text) for text in ("0.01", "1e9")),
        ("limit_silence", "0.001"),
    ],
)
async def test_a_limit_that_cannot_be_is_refused_beside_its_field(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database, field: str, text: str
) -> None:
    answer = await send(visitor, changed(fields(await opened(visitor)), **{field: text}))
    assert answer.status_code == 422
    page = parsed(answer)
    assert [link.attributes["href"] for link in page.one(class_="fault-summary").all("a")] == [f"#{field}"]
    assert page.one("input", id=field).attributes["value"] == text
    assert await all_of(db) == []


async def test_beginning_earlier_is_offered_for_an_armed_input_and_never_chosen_by_itself(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database, owner: Any
) -> None:
    assert not (await opened(visitor)).has("input", name="preroll")
    await nodes.arm_interface(db, agent.room.node.node_id, COUNTER, 60, by=SOMEBODY)
    form = await opened(visitor)
    box = form.one("input", name="preroll")
    assert "checked" not in box.attributes
    counter, wide = await interface_id(owner, "counter"), await interface_id(owner, "counter-32")
    wanted = [*fields(form), ("preroll", str(counter))]
    for sent, expected in ((fields(form), 0), (changed(wanted, interface=str(wide)), 0), (wanted, 60_000)):
        again = [(name, str(new_id()) if name == "id" else value) for name, value in sent]
        assert (await send(visitor, again)).status_code == 303
        job = await agent.room.claim()
        assert job is not None
        assert job.settings.preroll_ms == expected


async def test_a_node_without_space_is_named_before_and_refused(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    full = SpoolReport(path="/spool", free_bytes=1, total_bytes=1_000, standing="full")
    report = inventory(agent.room.node_run).model_copy(update={"spools": [full]})
    await nodes.update_inventory(db, report, node=agent.room.node)
    form = await opened(visitor)
    assert "Town hall – no space left" in form.one("select", name="node").text
    assert "nothing can start there" in form.one(id="record-fit").text
    answer = await send(visitor, fields(form))
    assert answer.status_code == 422
    assert "Town hall has no space for another recording: /spool (full)" in parsed(answer).text
    assert await all_of(db) == []
    await make_room(db, "Court 3")
    assert (await opened(visitor)).one("select", name="node").one("option", selected="").text == "Court 3"
