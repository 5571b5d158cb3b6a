"""Jobs as people see them."""

import httpx
import pytest

from protocol.messages import Phase
from tests.integration.console import FRAGMENT, parsed, shown_without
from tests.integration.web_room import WebAgent
from web.domain.access import EVERYTHING, Permission
from web.domain.jobs import JobCount
from web.domain.states import JobState
from web.pages import jobs
from web.store import job_cards
from web.store.database import Database

pytestmark = pytest.mark.anyio


async def test_without_jobs_the_page_offers_to_record(visitor: httpx.AsyncClient) -> None:
    page = parsed(await visitor.get("/jobs"))
    empty = page.one(class_="empty")
    assert empty.one("a", class_="record").attributes["href"] == "/record"
    assert [tile.one("b").text for tile in page.all("a", class_="tile")] == ["0"] * 5
    assert not page.has("a", class_="failed")  # red says that something failed


async def test_jobs_are_listed_with_their_state_in_words_and_what_can_be_done(
    visitor: httpx.AsyncClient, agent: WebAgent
) -> None:
    failed = await agent.room.claimed(name="Council")
    await agent.room.finish(failed)
    running = await agent.room.claimed(name="Court 3")
    await agent.room.heartbeat(running, phase=Phase.CAPTURING)
    page = parsed(await visitor.get("/jobs"))
    first, second = page.all("tr", data_row="")
    assert (first.one("th").one("a").text, first.one(class_="badge").text) == ("Court 3", "Capturing")
    assert first.one("td", class_="number").text == "0:01"
    assert first.one("td", class_="actions").one("a").attributes["href"] == f"/recordings/{running.recording_id}/stop"
    assert (second.one("th").one("a").text, second.one(class_="badge").text) == ("Council", "Failed")
    assert second.one("form").attributes["action"] == f"/recordings/{failed.recording_id}/retry"


async def test_tiles_are_filters_and_count_everything(visitor: httpx.AsyncClient, agent: WebAgent) -> None:
    await agent.room.finish(await agent.room.claimed(name="Council"))
    await agent.room.claimed(name="Court 3")
    page = parsed(await visitor.get("/jobs"))
    link = next(tile.attributes["href"] for tile in page.all("a", class_="tile") if "Failed" in tile.text)
    filtered = parsed(await visitor.get(link))
    assert [row.one("th").one("a").text for row in filtered.all("tr", data_row="")] == ["Council"]
    assert filtered.one("a", class_="tile", aria_current="true").one("b").text == "1"


async def test_a_text_finds_names_and_no_character_of_it_stands_for_others(
    visitor: httpx.AsyncClient, agent: WebAgent
) -> None:
    for name in ("Council 100%", "Court 3"):
        await agent.room.finish(await agent.room.claimed(name=name))
    for text, found in (("council", 1), ("100%", 1), ("c%t", 0), ("Town hall", 2), ("c_urt", 0)):
        page = parsed(await visitor.get("/jobs", params={"q": text}))
        assert len(page.all("tr", data_row="")) == found, text
    assert page.one(class_="empty").one("a").attributes["href"] == "/jobs"


async def test_older_jobs_are_on_a_page_of_their_own(visitor: httpx.AsyncClient, agent: WebAgent) -> None:
    for number in range(52):
        await agent.room.finish(await agent.room.claimed(name=f"Meeting {number}"))
    page = parsed(await visitor.get("/jobs"))
    assert len(page.all("tr", data_row="")) == 50
    older = parsed(await visitor.get(page.one(class_="pager").one("a").attributes["href"]))
    assert [row.one("th").one("a").text for row in older.all("tr", data_row="")] == ["Meeting 1", "Meeting 0"]
    again = parsed(await visitor.get(older.one(id="results").attributes["hx-get"], headers=FRAGMENT))
    assert [row.one("th").one("a").text for row in again.all("tr", data_row="")] == ["Meeting 1", "Meeting 0"]


async def test_counts_end_at_their_limit(db: Database, agent: WebAgent) -> None:
    for _ in range(3):
        await agent.room.finish(await agent.room.claimed())
    await agent.room.claimed()
    counted = await job_cards.counts(db, scope=EVERYTHING, limit=2)
    assert counted[JobState.FAILED] == JobCount(jobs=2, of_today=2)
    assert counted[JobState.RUNNING] == JobCount(jobs=1, of_today=0)
    assert counted[JobState.CANCELLED] == JobCount(jobs=0, of_today=0)


async def test_whoever_may_not_control_reads_why_there_is_no_stop(db: Database, agent: WebAgent) -> None:
    job = await agent.room.claimed()
    assert (await shown_without(jobs.show, db, job_id=job.job_id)).has(id=f"stop-{job.job_id}")
    for handler in (jobs.show, jobs.row):
        page = await shown_without(handler, db, Permission.RECORDING_CONTROL, job_id=job.job_id)
        assert not page.has("a", data_dialog="", id=f"stop-{job.job_id}")
    page = await shown_without(jobs.show, db, Permission.RECORDING_CONTROL, job_id=job.job_id)
    assert "needs the permission recording:control" in page.one(id="job").text


async def test_regions_and_rows_can_be_fetched_alone(visitor: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await agent.room.claimed()
    for block, tag in (("tiles", "a"), ("results", "table")):
        answer = await visitor.get(f"/jobs?block={block}", headers=FRAGMENT)
        fragment = parsed(answer)
        assert fragment.has(tag)
        assert not fragment.has("html")
    row = parsed(await visitor.get(f"/jobs/{job.job_id}/row", headers=FRAGMENT))
    assert row.one("tr").attributes["id"] == f"job-{job.job_id}"


async def test_a_job_shows_its_pinned_settings_its_lease_and_its_history(
    visitor: httpx.AsyncClient, agent: WebAgent
) -> None:
    job = await agent.room.claimed(name="Council")
    page = parsed(await visitor.get(f"/jobs/{job.job_id}"))
    assert "2 channels, 48000 Hz, s16" in page.text
    assert "Epoch 1" in page.text
    assert [event.one("b").text for event in page.one(class_="timeline").all("li")] == ["created", "claimed"]
    await agent.room.finish(job)
    page = parsed(await visitor.get(f"/jobs/{job.job_id}"))
    assert "nobody holds it any more" in page.text
    assert page.one(id="job").one(class_="notice").text == "The input is gone. Connect it."


async def test_a_retry_is_another_attempt_that_both_pages_name(visitor: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await agent.room.claimed()
    await agent.room.finish(job)
    answer = await visitor.post(f"/recordings/{job.recording_id}/retry")
    assert answer.status_code == 303
    page = parsed(await visitor.get(f"/jobs/{job.job_id}"))
    attempts = page.all("table")[-1].all("tr")[1:]
    assert [row.one("th").text for row in attempts] == ["2", "1"]
    assert not page.has("form", action=f"/recordings/{job.recording_id}/retry")


async def test_a_refused_act_offers_no_link_that_would_lead_nowhere(
    visitor: httpx.AsyncClient, agent: WebAgent
) -> None:
    job = await agent.room.claimed()
    answer = await visitor.post(f"/recordings/{job.recording_id}/retry")
    assert answer.status_code == 409
    links = parsed(answer).one(class_="fault-page").all("a")
    assert [link.attributes["href"] for link in links] == ["/"]
    missing = "/jobs/00000000-0000-7000-8000-000000000000?a=1&b=2"
    links = parsed(await visitor.get(missing)).one(class_="fault-page").all("a")
    assert [link.attributes["href"] for link in links] == ["/"]


async def test_an_unknown_job_is_not_found(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get("/jobs/00000000-0000-7000-8000-000000000000")
    assert answer.status_code == 404
    assert "There is no job" in parsed(answer).text
