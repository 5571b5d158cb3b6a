"""The dashboard and the bar over every page, as people see them."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from protocol.ids import new_id
from protocol.messages import EventReport, EventsRequest, GapReport, Phase
from tests.integration.console import FRAGMENT, parsed, shown_without
from tests.integration.web_room import Running, WebAgent
from web.domain.access import Actor, Permission, everywhere
from web.domain.errors import DatabaseUnavailableError, ForbiddenError
from web.domain.health import Finding
from web.domain.states import Severity
from web.pages import dashboard, nodes, record
from web.pages.page import count_for_bar
from web.services.work import recordings
from web.store import health_events
from web.store.database import Database, Row

pytestmark = pytest.mark.anyio

PANELS = ("verdict", "recording-now", "attention", "nodes", "last-day")


async def test_without_a_node_it_tells_how_to_add_one(visitor: httpx.AsyncClient) -> None:
    page = parsed(await visitor.get("/"))
    assert page.one(class_="first-node").one("a", class_="button").text == "Add a node"
    assert not page.has(class_="verdict")


async def test_an_idle_one_says_so_and_offers_to_record(visitor: httpx.AsyncClient, agent: WebAgent) -> None:
    page = parsed(await visitor.get("/"))
    verdict = page.one(class_="verdict")
    assert verdict.text == "Nothing is recording. Nothing needs attention. The node is online."
    assert page.one(id="now").one("a").attributes["href"] == "/record"
    assert page.one("nav", class_="pages").one("a", aria_current="page").text == "Dashboard"


async def test_a_running_recording_has_a_card_with_clock_meters_and_stop(
    visitor: httpx.AsyncClient, agent: WebAgent
) -> None:
    job = await agent.room.claimed(name="Council", channels=[1])
    await agent.room.heartbeat(job, phase=Phase.CAPTURING)
    page = parsed(await visitor.get("/"))
    card = page.one(id="now").one("li")
    assert card.one("h3").text == "Council"
    assert int(card.one(class_="clock").attributes["data-elapsed-ms"]) >= 0
    assert card.one(class_="meters").attributes["data-channels"] == "1"
    links = {link.text.split()[0]: link.attributes["href"] for link in card.all("a", class_="button")}
    assert links == {"Listen": f"/recordings/{job.recording_id}", "Stop": f"/recordings/{job.recording_id}/stop"}
    assert page.one(class_="verdict").text.startswith("1 recording is running.")
    assert page.one(id="bar-counts").one("b").text == "1"


async def test_a_recording_that_was_asked_to_stop_offers_no_second_stop(
    visitor: httpx.AsyncClient, agent: WebAgent
) -> None:
    job = await agent.room.claimed()
    await agent.room.heartbeat(job, phase=Phase.CAPTURING)
    await recordings.stop_recording(agent.room.db, job.recording_id, by=_somebody())
    card = parsed(await visitor.get("/dashboard/recording-now", headers=FRAGMENT)).one("li")
    assert card.one(class_="badge").text == "Stopping"
    assert not card.has("a", class_="stop")
    assert not card.has(class_="meters")


async def test_a_failed_recording_needs_attention_and_counts_in_the_bar_of_every_page(
    visitor: httpx.AsyncClient, agent: WebAgent
) -> None:
    await agent.room.finish(await agent.room.claimed(name="Council"))
    page = parsed(await visitor.get("/"))
    concern = page.one(id="attention").one("li")
    assert "Council failed" in concern.text
    assert "The input is gone. Connect it." in concern.text
    tiles = {tile.one(class_="label").text: tile for tile in page.all("a", class_="tile")}
    assert tiles["Failed"].one("b").text == "1"
    assert tiles["Failed"].attributes["href"] == "/recordings?state=failed"
    for path in ("/", "/record", "/nodes", "/jobs", "/account"):
        assert parsed(await visitor.get(path)).one("a", class_="attention").one("b").text == "1", path


async def test_a_gap_can_be_heard_three_seconds_before_it(visitor: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await agent.room.claimed()
    cache_file = await agent.room.open_file(job)
    gaps = [GapReport(start_frame=240_000, frames=480, cause="xrun")]
    await agent.room.seal(job, cache_file, agent.room.sealing(job, gaps=gaps))
    concern = parsed(await visitor.get("/dashboard/attention", headers=FRAGMENT)).one("li")
    assert concern.one("a", class_="button").attributes["href"] == f"/recordings/{job.recording_id}?t=2.0"


async def test_every_panel_refreshes_alone_with_what_the_page_shows(
    visitor: httpx.AsyncClient, agent: WebAgent
) -> None:
    job = await agent.room.claimed()
    await agent.room.heartbeat(job, phase=Phase.CAPTURING)
    page = parsed(await visitor.get("/"))
    regions = {region.attributes["hx-get"]: region for region in page.all(hx_trigger="live")}
    assert set(regions) == {f"/dashboard/{panel}" for panel in (*PANELS, "bar")}
    for path, region in regions.items():
        fragment = parsed(await visitor.get(path, headers=FRAGMENT))
        assert not fragment.has("html")
        swaps_itself = region.attributes.get("hx-swap") == "outerHTML"
        shown = [one.tag for one in region.all()]
        assert [one.tag for one in fragment.all()] == ([region.tag, *shown] if swaps_itself else shown), path


@pytest.mark.parametrize("path", ["/", *(f"/dashboard/{panel}" for panel in PANELS), "/record", "/nodes"])
async def test_a_stranger_is_led_to_sign_in(controller: Running, path: str) -> None:
    async with httpx.AsyncClient(base_url=controller.url) as stranger:
        page = await stranger.get(path)
        assert (page.status_code, page.headers["location"].partition("?")[0]) == (303, "/sign-in")
        fragment = await stranger.get(path, headers=FRAGMENT)
        assert fragment.headers["HX-Redirect"].startswith("/sign-in")


@pytest.mark.parametrize(
    "handler",
    [
        *(nodes.index, nodes.show, nodes.card, nodes.head, nodes.work),
        *(record.form, record.fit, record.start),
    ],
    ids=lambda handler: f"{handler.__module__}.{handler.__name__}",
)
async def test_without_the_permission_nothing_is_told(handler: Callable[[Request], Awaitable[Response]]) -> None:
    nobody = Actor("user", None, "ANA", {})
    with pytest.raises(ForbiddenError):
        await handler(Request({"type": "http", "user": nobody, "headers": []}))


class Lame(Database):
    """Answers all queries but one."""

    failing = ""

    async def rows(self, name: str, /, **values: object) -> list[Row]:
        if name == self.failing:
            raise DatabaseUnavailableError("it took too long")
        return await super().rows(name, **values)


@pytest.mark.parametrize(
    ("failing", "regions"),
    [
        ("newest_concerns", {"verdict", "attention"}),
        ("last_day", {"day"}),
        ("live_recordings", {"verdict", "now", "nodes"}),
    ],
)
async def test_a_panel_that_cannot_be_read_says_so_alone(
    db: Database, agent: WebAgent, failing: str, regions: set[str]
) -> None:
    lame = Lame(db.url, db.timeouts)
    lame.failing = failing
    async with lame:
        page = await shown_without(dashboard.show, lame)
    for region in ("verdict", "now", "attention", "nodes", "day"):
        assert ("cannot be read" in page.one(id=region).text) == (region in regions), region


async def test_whoever_may_not_control_sees_no_act_that_would_be_refused(db: Database, agent: WebAgent) -> None:
    job = await agent.room.claimed(name="Council")
    await agent.room.heartbeat(job, phase=Phase.CAPTURING)
    assert (await shown_without(dashboard.show, db)).has(id=f"stop-{job.recording_id}")
    page = await shown_without(
        dashboard.show, db, Permission.RECORDING_CONTROL, Permission.RECORDING_CREATE, Permission.NODE_READ
    )
    assert page.one(id="now").one("h3").text == "Council"
    assert not page.has(id=f"stop-{job.recording_id}")
    assert not page.has("a", href="/record")
    assert not page.has(class_="meters")


def _somebody() -> Actor:
    return Actor("user", None, "ANA", everywhere())


async def test_what_lasts_counts_on_since_it_began_and_links_to_its_node(
    visitor: httpx.AsyncClient, agent: WebAgent, owner: Any
) -> None:
    event = EventReport(
        id=new_id(), kind="disk_low", severity="warning", message="The disk lasts 2 h.", age_ms=0, lasts=True
    )
    request = EventsRequest(node_run=agent.room.node_run, events=[event])
    assert (await agent.post("/events", request.model_dump_json())).status_code == 204
    await owner.execute("UPDATE health_event SET happened_at = happened_at - interval '42 minutes'")
    concern = parsed(await visitor.get("/")).one(id="attention").one("li")
    assert int(concern.one(class_="clock").attributes["data-elapsed-ms"]) >= 42 * 60_000
    assert concern.all("a")[0].attributes["href"] == f"/nodes/{agent.room.node.node_id}"
    assert "since 20" in concern.text


async def test_a_condition_of_the_controller_itself_is_shown_without_a_node(
    visitor: httpx.AsyncClient, db: Database, agent: WebAgent
) -> None:
    await health_events.begin(db, Finding("controller_disk_full", Severity.CRITICAL, "No room."), node_id=None)
    concern = parsed(await visitor.get("/dashboard/attention", headers=FRAGMENT)).one("li")
    assert "This controller" in concern.text
    assert not concern.has("a")


async def test_a_bar_that_cannot_be_read_takes_no_page_along(db: Database, agent: WebAgent) -> None:
    lame = Lame(db.url, db.timeouts)
    lame.failing = "bar_counts"
    async with lame:
        page = await shown_without(count_and_show, lame)
    assert page.has(class_="verdict")
    assert not page.has(id="bar-counts")


async def count_and_show(request: Request) -> Response:
    """As every page is answered."""
    await count_for_bar(request)
    return await dashboard.show(request)
