"""An open form when somebody else saves what it shows: it is told, and saving over it asks first."""

import httpx
import pytest

from tests.integration.console import FRAGMENT, Element, parsed
from tests.integration.room import SOMEBODY
from tests.integration.web_room import WebAgent
from web.domain.webhooks import WebhookRequest
from web.services import webhooks
from web.services.access import groups
from web.services.recorders import nodes
from web.store.database import Database

pytestmark = pytest.mark.anyio


async def opened(client: httpx.AsyncClient, path: str) -> Element:
    """A page whose banner says nothing yet."""
    page = parsed(await client.get(path))
    assert page.one(id="saved").text == ""
    return page


async def told(client: httpx.AsyncClient, page: Element) -> str:
    """What its banner says once it asks again."""
    address = page.one(id="saved").attributes["hx-get"]
    return parsed(await client.get(address, headers=FRAGMENT)).one(id="saved").text


async def test_an_open_form_tells_who_saved_since(visitor: httpx.AsyncClient, db: Database) -> None:
    made = await groups.make(db, "Clerks", by=SOMEBODY)
    path = f"/settings/groups/{made.id}"
    page = await opened(visitor, path)
    assert page.one(id="saved").attributes["data-live-on"] == f"settings:{made.id}"
    assert await told(visitor, page) == ""
    await groups.rename(db, made.id, "Clerks of the court", was="Clerks", by=SOMEBODY)
    assert f"Changed by {SOMEBODY.name} since you opened it." in await told(visitor, page)
    await opened(visitor, path)
    refused = await visitor.post(f"{path}/name", data={"name": "Scribes", "was": "Clerks"})
    assert refused.status_code == 409
    assert both(refused) == ["Clerks of the court", "Scribes"]


async def test_a_node_that_was_described_meanwhile_is_not_overwritten(
    visitor: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    node_id = agent.room.node.node_id
    page = await opened(visitor, f"/nodes/{node_id}")
    await nodes.describe(db, node_id, location="Second floor", by=SOMEBODY)
    assert SOMEBODY.name in await told(visitor, page)
    mine = {"name": page.one("input", id="name").attributes["value"], "location": "Attic", "tags": "", "site_zone": ""}
    seen = page.one("input", name="seen").attributes["value"]
    refused = await visitor.post(f"/nodes/{node_id}/describe", data={**mine, "seen": seen})
    assert refused.status_code == 409
    assert both(refused) == ["Second floor", "Attic"]
    shown = parsed(refused)
    assert shown.one("input", id="location").attributes["value"] == "Attic"
    again = {**mine, "seen": shown.one("input", name="seen").attributes["value"]}
    assert (await visitor.post(f"/nodes/{node_id}/describe", data=again)).status_code == 303


async def test_a_webhook_that_was_changed_meanwhile_is_not_overwritten(
    visitor: httpx.AsyncClient, db: Database
) -> None:
    sent = {"name": "Pager", "url": "https://pager.example.org/a", "kinds": "recording.failed"}
    made = parsed(await visitor.post("/settings/webhooks", data=sent))
    path = made.one(id="saved").attributes["hx-get"].partition("?")[0]
    page = await opened(visitor, path)
    known = next(one for one in await webhooks.all_webhooks(db, by=SOMEBODY) if one.name == "Pager")
    theirs = WebhookRequest(name="Pager", url="https://pager.example.org/b", kinds=["recording.failed"])
    await webhooks.change(db, known.id, theirs, by=SOMEBODY)
    mine = {**sent, "url": "https://pager.example.org/c", "seen": page.one("input", name="seen").attributes["value"]}
    refused = await visitor.post(path, data=mine)
    assert refused.status_code == 409
    assert both(refused) == ["https://pager.example.org/b", "https://pager.example.org/c"]
    assert (await webhooks.get(db, known.id, by=SOMEBODY)).url == theirs.url


def both(refused: httpx.Response) -> list[str]:
    """What stands there now, and what the reader wants instead."""
    rows = parsed(refused).one("section", role="alert").all("tr")
    return [cell.text for cell in rows[1].all("td")]
