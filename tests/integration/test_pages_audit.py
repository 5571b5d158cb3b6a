"""The audit as people see it."""

import csv
import io
from datetime import datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from protocol.ids import new_id
from tests.integration.console import parsed, shown_without
from tests.integration.web_room import WebAgent, make_content
from web.domain.access import Actor, Permission, Source, everywhere
from web.domain.audit import Filter, Object, Outcome
from web.domain.errors import ForbiddenError
from web.pages import audit as pages
from web.services.auditing import audit
from web.store import audit as stored
from web.store.database import Database

pytestmark = pytest.mark.anyio

ANA = Actor("user", uuid4(), "ANA", everywhere(), Source("192.0.2.7", uuid4()))
BEN = Actor("token", uuid4(), "Ben's script", everywhere(), Source("198.51.100.3", uuid4()))
COUNCIL, COURT = Object("recording", new_id(), "Council"), Object("recording", new_id(), "Court <b>")


async def note_some(db: Database) -> None:
    await audit.note(db, ANA, "recording.start", COUNCIL, after={"channels": [0, 1]})
    await audit.note(db, BEN, "recording.stop", COUNCIL, before={"wish": "run"}, after={"wish": "stop"})
    await audit.note(db, BEN, "recording.control", COURT, outcome=Outcome.DENIED, reason="The permission is missing.")
    await audit.note(db, ANA, "node.edit", Object("node", new_id(), "Town hall"), before={"a": 1}, after={"a": 2})


async def ids(visitor: httpx.AsyncClient, **query: str) -> list[int]:
    """Of the entries that the page lists."""
    page = parsed(await visitor.get("/audit", params=query))
    return [int(row.attributes["id"].removeprefix("entry-")) for row in page.all("tr") if row.attributes.get("id")]


async def test_each_entry_tells_who_did_what_to_which_thing_from_where(
    visitor: httpx.AsyncClient, db: Database
) -> None:
    await note_some(db)
    page = parsed(await visitor.get("/audit?q=council"))
    row = page.all("tr")[1].text
    for words in ("Ben's script", "token", "Recording stopped", "Council", "Done", "198.51.100.3", "run", "stop"):
        assert words in row
    assert str(BEN.source.request_id)[-12:] in row
    assert "kept for good" in page.text


async def test_every_filter_narrows_the_list_and_is_a_part_of_the_address(
    visitor: httpx.AsyncClient, db: Database
) -> None:
    since = await stored.newest_id(db)
    await note_some(db)
    start, stop, denied, edit = range(since + 1, since + 5)
    assert await ids(visitor, actor="ANA") == [edit, start]
    assert await ids(visitor, action="recording.stop") == [stop]
    assert await ids(visitor, action="recording") == [denied, stop, start]
    assert await ids(visitor, outcome="denied") == [denied]
    assert await ids(visitor, object=str(COUNCIL.id)) == [stop, start]
    assert await ids(visitor, kind="node") == [edit]
    assert await ids(visitor, address="198.51.100.3") == [denied, stop]
    assert await ids(visitor, q="perm miss") == [denied]
    assert await ids(visitor, q="council", actor="ANA") == [start]
    assert await ids(visitor, q="it's & !weird:*") == []
    page = parsed(await visitor.get("/audit?actor=ANA&colour=red&outcome=odd"))
    assert "colour, outcome" in page.text
    assert [chip.attributes["href"] for chip in page.all("a", class_="chip")] == ["/audit?colour=red&outcome=odd"]


async def test_the_time_of_an_entry_leads_to_what_happened_around_it(visitor: httpx.AsyncClient, db: Database) -> None:
    await note_some(db)
    (entry, *_) = await stored.matching(db, Filter(), limit=1)
    page = parsed(await visitor.get(f"/audit/{entry.id}"))
    around = next(link.attributes["href"] for link in page.all("a") if "± 5 min" in link.text)
    query = httpx.URL(around).params
    instants = [datetime.fromisoformat(query[key]) for key in ("from", "to")]
    assert (instants[1] - instants[0], instants[0] + timedelta(minutes=5)) == (timedelta(minutes=10), entry.at)
    assert entry.id in await ids(visitor, **dict(query))
    assert await ids(visitor, to=query["from"]) == []


async def test_pages_go_back_by_key_and_new_entries_are_counted(visitor: httpx.AsyncClient, db: Database) -> None:
    for _ in range(60):
        await audit.note(db, BEN, "recording.stop")
    newest = await stored.newest_id(db)
    page = parsed(await visitor.get("/audit?actor=Ben%27s+script"))
    older = next(link.attributes["href"] for link in page.all("a", rel="next"))
    assert await ids(visitor, **dict(httpx.URL(older).params)) == list(range(newest - 50, newest - 60, -1))
    news = page.one("span", id="audit-news")
    assert news.attributes["data-live-on"] == "audit"
    await audit.note(db, BEN, "recording.stop")
    assert "1 new" in parsed(await visitor.get(news.attributes["hx-get"], headers={"HX-Request": "true"})).text
    assert "new – show" not in parsed(await visitor.get("/audit/news?actor=ANA&after=0")).text


async def test_an_empty_list_says_why(visitor: httpx.AsyncClient) -> None:
    text = parsed(await visitor.get("/audit?actor=nobody")).text
    assert "No entry matches" in text
    assert "The oldest entry is of" in text


async def test_the_same_list_comes_as_csv_without_formulas_and_its_taking_is_on_record(
    visitor: httpx.AsyncClient, db: Database
) -> None:
    await audit.note(db, BEN, "recording.start", Object("recording", new_id(), '=HYPERLINK("x")'))
    await note_some(db)
    answer = await visitor.get("/audit.csv", params={"actor": BEN.name})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    head, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))
    assert {len(row) for row in (head, *rows)} == {19}
    assert [row[7] for row in rows] == ["recording.control", "recording.stop", "recording.start"]
    assert rows[-1][10] == '\'=HYPERLINK("x")'
    assert head[-1].startswith(("sealed up to ", "nothing is sealed"))
    (entry,) = await stored.matching(db, Filter(action="audit.export"), limit=2)
    assert entry.after is not None
    assert entry.after["actor"] == BEN.name


async def test_without_the_permission_there_is_no_list_and_no_download(db: Database) -> None:
    for handler, permission in ((pages.index, Permission.AUDIT_READ), (pages.export, Permission.AUDIT_DOWNLOAD)):
        with pytest.raises(ForbiddenError, match=permission):
            await shown_without(handler, db, permission)
    page = await shown_without(pages.index, db, Permission.AUDIT_DOWNLOAD)
    assert "Downloading the audit needs the permission audit:download" in page.text
    assert "/audit.csv" not in [link.attributes.get("href", "").partition("?")[0] for link in page.all("a")]


async def test_hearing_again_within_minutes_is_one_entry(
    user: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    job, content = await agent.room.claimed(), make_content(48_000)
    await agent.deliver(job, content)
    for _ in range(3):
        answer = await user.get(f"/api/v1/recordings/{job.recording_id}/audio", headers={"Range": "bytes=0-99"})
        assert answer.status_code == 206
    await user.get(f"/api/v1/recordings/{job.recording_id}/download")
    entries = await stored.matching(db, Filter(object_id=job.recording_id), limit=10)
    assert [entry.action for entry in entries][:3] == ["recording.download", "recording.play", "recording.end"]
    assert entries[0].source.address == "127.0.0.1"
