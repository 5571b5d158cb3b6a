"""The pages of the settings: who may open which, and what the others are told."""

from pathlib import Path

import httpx
import pytest

from tests.integration.console import parsed, shown_without
from web.domain.access import Permission
from web.domain.errors import ForbiddenError
from web.pages import settings
from web.settings import ControllerSettings
from web.store.database import Database


@pytest.mark.anyio
async def test_settings_lead_to_the_first_page_that_may_be_opened(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get("/settings", follow_redirects=True)
    assert answer.status_code == 200
    page = parsed(answer)
    assert page.one("nav", aria_label="Settings").has("a", aria_current="page")
    assert page.one("nav", aria_label="Pages").one("a", href="/settings").attributes["aria-current"] == "page"


@pytest.mark.anyio
async def test_who_may_read_no_settings_is_told_what_is_missing(db: Database) -> None:
    with pytest.raises(ForbiddenError) as refused:
        await shown_without(settings.system, db, Permission.SETTINGS_READ)
    assert refused.value.permission == Permission.SETTINGS_READ


@pytest.mark.anyio
async def test_the_system_page_tells_what_the_controller_stands_on(visitor: httpx.AsyncClient, tmp_path: Path) -> None:
    page = parsed(await visitor.get("/settings/system"))
    assert "PostgreSQL" in page.text
    told = {row.one("th").text: row.one("td").text for row in page.one("table").one("tbody").all("tr")}
    assert told["REELKEEPER_HOME"] == str(tmp_path)


def test_an_address_with_a_password_is_not_told() -> None:
    told = ControllerSettings(database_url="postgresql://app:hidden@db/reelkeeper").told
    assert told["REELKEEPER_DATABASE_URL"] == "set"
