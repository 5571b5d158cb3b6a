"""Profiles as pages: made, changed for later starts only, and never over what somebody else saved."""

import httpx
import pytest

from tests import profiles as known
from tests.integration.console import parsed
from tests.integration.room import SOMEBODY, make_room
from tests.integration.test_pages_people import form_to, sent_again
from web.services.work import profiles
from web.store.database import Database

pytestmark = pytest.mark.anyio

LIST = "/settings/profiles"
COURT = {"name": "Court", "kind": "mp3-cbr", "bitrate_kbps": "96", "channel_mode": "mono", "limit_hours": "12"}


async def test_a_profile_is_made_as_it_was_typed_and_shown_so(db: Database, visitor: httpx.AsyncClient) -> None:
    path = (await visitor.post(LIST, data=COURT)).headers["location"]
    page = parsed(await visitor.get(path))
    assert page.one("input", id="limit_hours").attributes["value"] == "12"
    assert page.one("input", value="mp3-cbr").attributes["checked"] == ""
    assert "MP3, 96 kbit/s" in parsed(await visitor.get(LIST)).one("tbody").text
    answer = await visitor.post(LIST, data=COURT)
    assert answer.status_code == 422
    assert "already" in parsed(answer).one("p", id="name-says").text


async def test_what_is_no_limit_is_refused_beside_its_field(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post(LIST, data={**COURT, "limit_hours": "soon", "minimum_bytes": "few", "kind": "ogg"})
    assert answer.status_code == 422
    page = parsed(answer)
    assert page.one("input", id="limit_hours").attributes["value"] == "soon"
    assert page.has("p", id="limit_hours-says")
    assert page.has("p", id="minimum_bytes-says")


async def test_a_changed_profile_leaves_what_was_started_as_it_was(db: Database, visitor: httpx.AsyncClient) -> None:
    room = await make_room(db)
    job = await room.claimed(profile_id=known.WAV)
    path = f"{LIST}/{known.WAV}"
    fields = sent_again(form_to(parsed(await visitor.get(path)), path), name="Other", limit_hours="1")
    assert (await visitor.post(path, data=fields)).status_code == 303
    changed = await profiles.profile(db, known.WAV, by=SOMEBODY)
    assert (changed.name, changed.limits.length_ms, changed.version) == ("Other", 3_600_000, 2)
    assert job.settings.limits.length_ms is None


async def test_who_saves_an_old_page_sees_both_values(db: Database, visitor: httpx.AsyncClient) -> None:
    path = (await visitor.post(LIST, data=COURT)).headers["location"]
    seen = sent_again(form_to(parsed(await visitor.get(path)), path), kind="mp3-cbr", bitrate_kbps="96")
    await visitor.post(path, data={**seen, "name": "Theirs"})
    answer = await visitor.post(path, data={**seen, "name": "Mine"})
    assert answer.status_code == 409
    page = parsed(answer)
    assert [one.text for one in page.one("section", role="alert").all("tr")[1].all("td")] == ["Theirs", "Mine"]
    assert page.one("input", id="name").attributes["value"] == "Mine"
    again = await visitor.post(path, data={**seen, "name": "Mine", "version": "2"})
    assert again.status_code == 303


async def test_the_default_is_one_and_stays(db: Database, visitor: httpx.AsyncClient) -> None:
    path = (await visitor.post(LIST, data=COURT)).headers["location"]
    assert (await visitor.post(f"{path}/default")).status_code == 303
    assert [one.name for one in await profiles.all_profiles(db, by=SOMEBODY) if one.is_default] == ["Court"]
    answer = await visitor.post(f"{path}/delete")
    assert answer.status_code == 409
    assert "another default first" in parsed(answer).one("p", role="alert").text


async def test_a_profile_that_recordings_tell_of_is_not_deleted(db: Database, visitor: httpx.AsyncClient) -> None:
    await (await make_room(db)).start()
    assert (await visitor.post(f"{LIST}/{known.WAV}/delete")).status_code == 409
    path = (await visitor.post(LIST, data=COURT)).headers["location"]
    assert (await visitor.post(f"{path}/delete")).headers["location"] == LIST
