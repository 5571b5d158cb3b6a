"""The pages of tokens and webhooks, as forms without script."""

import httpx
import pytest

from tests.integration.console import parsed
from tests.integration.room import SOMEBODY
from tests.integration.web_room import Running
from web.services.entry import tokens
from web.store.database import Database

pytestmark = pytest.mark.anyio


async def test_token_is_made_shown_once_used_and_revoked(visitor: httpx.AsyncClient, controller: Running) -> None:
    form = {"name": "backup", "permissions": ["recording:read", "node:read"], "days": "30", "folders": "Court/2026\n"}
    made = parsed(await visitor.post("/account/tokens", data=form))
    [secret] = [code.text for code in made.all("code", class_="link") if code.text.startswith("rku_")]

    async with httpx.AsyncClient(base_url=controller.url, trust_env=False) as program:
        program.headers["Authorization"] = f"Bearer {secret}"
        own = (await program.get("/api/v1/tokens/current")).json()
        listed = await visitor.get("/settings/tokens")
        page = parsed(await visitor.get("/account/tokens"))
        revoke = page.one("form", action=f"/account/tokens/{own['id']}/revoke")
        gone = await visitor.post(revoke.attributes["action"])
        refused = await program.get("/api/v1/tokens/current")

    assert (own["name"], own["folders"], own["permissions"]) == (
        "backup",
        ["Court/2026"],
        ["node:read", "recording:read"],
    )
    assert secret not in listed.text + str(page.text)
    assert "backup" in parsed(listed).one("table").text
    assert (gone.status_code, refused.status_code) == (303, 401)


async def test_form_without_permissions_comes_back_with_what_was_typed(visitor: httpx.AsyncClient) -> None:
    refused = await visitor.post("/account/tokens", data={"name": "backup", "days": "7", "folders": "a//b"})
    page = parsed(refused)
    assert refused.status_code == 422
    assert page.one("p", id="permissions-says").text == "Choose at least one thing that the token may do."
    assert page.one("input", id="name").attributes["value"] == "backup"
    assert page.has("div", class_="fault-summary")
    assert page.one("option", value="7").attributes.get("selected") is not None


async def test_a_token_of_nobody_may_do_everything_in_words(visitor: httpx.AsyncClient, db: Database) -> None:
    await tokens.create_token(db, "script", by=SOMEBODY)
    row = parsed(await visitor.get("/settings/tokens")).one("tbody").one("tr")
    assert [cell.text for cell in row.all("td")][:2] == ["made at the controller’s machine", "everything"]


async def test_webhook_is_made_tried_changed_and_removed(visitor: httpx.AsyncClient) -> None:
    form = {"name": "ticker", "url": "https://127.0.0.1/hook", "kinds": ["recording.*", "health.opened"]}
    made = parsed(await visitor.post("/settings/webhooks", data=form))
    link = parsed(await visitor.get("/settings/webhooks")).one("a", class_="row-link").attributes["href"]

    await visitor.post(f"{link}/test")
    shown = parsed(await visitor.get(link))
    refused = await visitor.post(link, data=form | {"url": "http://inside/"})
    nothing = parsed(await visitor.post(link, data={"name": "", "url": ""}))
    await visitor.post(f"{link}/disable")
    disabled = parsed(await visitor.get(link))
    asked = parsed(await visitor.get(f"{link}/remove"))
    removed = await visitor.post(f"{link}/remove")

    assert any(code.text.startswith("whsec_") for code in made.all("code"))
    assert "webhook.test" in shown.one("table").text
    assert (refused.status_code, parsed(refused).one("input", id="url").attributes["value"]) == (422, "http://inside/")
    assert "Choose at least one event." in nothing.one(class_="fault-summary").text
    assert disabled.has("form", action=f"{link}/enable")
    assert not disabled.has("form", action=f"{link}/test")
    assert asked.has("form", action=f"{link}/remove")
    assert (removed.status_code, (await visitor.get(link)).status_code) == (303, 404)


async def test_name_that_is_taken_is_a_fault_of_its_field(visitor: httpx.AsyncClient) -> None:
    form = {"name": "ticker", "url": "https://example.org/", "kinds": "health.*"}
    await visitor.post("/settings/webhooks", data=form)
    again = parsed(await visitor.post("/settings/webhooks", data=form))
    assert "already" in again.one("p", id="name-says").text
