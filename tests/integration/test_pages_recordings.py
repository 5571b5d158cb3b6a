"""The library and a recording's page, as a browser without script meets them, and as fragments."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from protocol.ids import new_id
from protocol.messages import (
    ChannelLevel,
    ClaimedJob,
    EndReason,
    EventReport,
    EventsRequest,
    GapReport,
    Origin,
    Phase,
)
from tests.integration.console import FRAGMENT, parsed, person, shown_without
from tests.integration.room import COUNTER, SOMEBODY
from tests.integration.web_room import Running, WebAgent, make_content
from web.domain.access import Permission
from web.pages import recordings
from web.services.recorders import nodes
from web.store.database import Database

pytestmark = pytest.mark.anyio

CONTENT = make_content(96_000)


@pytest.fixture
async def browser(controller: Running, db: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with person(controller.url, db) as client:
        yield client


async def delivered(agent: WebAgent, name: str = "Council", **wanted: object) -> ClaimedJob:
    """A recording whose content has arrived whole."""
    job = await agent.room.claimed(name=name, **wanted)
    await agent.deliver(job, CONTENT)
    return job


# ---- the list ----


async def test_empty_library_says_what_to_do(browser: httpx.AsyncClient) -> None:
    page = parsed(await browser.get("/recordings"))
    assert page.one("h1").text == "Recordings"
    assert "Nothing is recorded yet" in page.one(class_="empty").text
    assert page.one(class_="empty").one("a").attributes["href"] == "/record"


async def test_list_shows_newest_first_with_length_and_words(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    first = await delivered(agent, "Court", folder="Court/2026", tags=["open"])
    second = await delivered(agent, "Council")
    rows = parsed(await browser.get("/recordings")).all("li", class_="recording")
    assert [row.attributes["id"] for row in rows] == [
        f"recording-{second.recording_id}",
        f"recording-{first.recording_id}",
    ]
    older = rows[1]
    assert older.one(class_="name").attributes["href"] == f"/recordings/{first.recording_id}"
    assert older.one(class_="length").text == "0:02"
    assert "Court/2026" in older.text
    assert "open" in older.text
    assert "Town hall" in older.text
    assert "Completed" in older.text
    assert "Warning" in older.text
    assert older.has("a", data_play=f"/recordings/{first.recording_id}/audio")


async def test_running_recording_cannot_be_played_before_sound_arrives(
    browser: httpx.AsyncClient, agent: WebAgent
) -> None:
    job = await agent.room.claimed()
    await agent.room.heartbeat(job)
    row = parsed(await browser.get("/recordings")).one("li", class_="recording")
    assert "Recording" in row.one(class_="words").text
    assert not row.has("a", class_="play")
    assert "data-elapsed-ms" in row.one(class_="clock").attributes


@pytest.mark.parametrize("text", ["council", "COURT/2026", "open day", "town HALL"])
async def test_search_finds_names_folders_tags_and_nodes(
    browser: httpx.AsyncClient, agent: WebAgent, text: str
) -> None:
    await agent.room.start("Council", folder="Court/2026", tags=["open day"])
    page = parsed(await browser.get("/recordings", params={"q": text}))
    assert len(page.all("li", class_="recording")) == 1
    assert page.one("input", id="q").attributes["value"] == text


async def test_search_takes_wild_cards_literally(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    await agent.room.start("Council")
    page = parsed(await browser.get("/recordings", params={"q": "C%l"}))
    assert not page.has("li", class_="recording")
    assert "No recording matches" in page.one(class_="empty").text


async def test_states_of_the_url_filter_and_each_chip_takes_its_own_away(
    browser: httpx.AsyncClient, agent: WebAgent
) -> None:
    await delivered(agent, "Council")
    await agent.room.finish(await agent.room.claimed(name="Broken"))
    await agent.room.start("Waiting")
    page = parsed(await browser.get("/recordings?state=failed&state=queued"))
    assert sorted(row.one(class_="name").text for row in page.all("li", class_="recording")) == ["Broken", "Waiting"]
    lit = {
        chip.text: chip.attributes["href"] for chip in page.all("a", class_="chip") if "aria-current" in chip.attributes
    }
    assert lit == {"Failed": "/recordings?state=queued", "Queued": "/recordings?state=failed"}


async def test_pages_follow_one_another_without_loss_or_repeat(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    names = [f"Part {number}" for number in range(12)]
    for name in names:
        await agent.room.start(name, starts_at="2099-01-01T00:00:00Z", ends_at="2099-01-01T01:00:00Z")
    first = parsed(await browser.get("/recordings?per=10"))
    second = parsed(await browser.get(first.one("a", rel="next").attributes["href"]))
    shown = [row.one(class_="name").text for page in (first, second) for row in page.all("li", class_="recording")]
    assert shown == names[::-1]
    assert not second.has("a", rel="next")
    assert "12 recordings" in second.text


async def test_a_form_without_script_leads_to_the_address_without_empty_keys(browser: httpx.AsyncClient) -> None:
    for path, sent, kept in (
        ("/recordings", "?state=failed&q=&state=cancelled", "?state=cancelled&state=failed"),
        ("/jobs", "?q=&node=", ""),
        ("/nodes", "?q=hall&state=&group=", "?q=hall"),
        ("/audit", "?q=&actor=&action=user&from=", "?action=user"),
        ("/settings/users", "?q=", ""),
    ):
        answer = await browser.get(f"{path}{sent}")
        assert (answer.status_code, answer.headers["location"]) == (303, f"{path}{kept}")
        assert (await browser.get(f"{path}{kept}")).status_code == 200


async def test_unknown_keys_are_named_and_passed_over(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    await agent.room.start("Council")
    page = parsed(await browser.get("/recordings?colour=red&per=7"))
    assert any("colour" in notice.text for notice in page.all("p", class_="notice"))
    assert len(page.all("li", class_="recording")) == 1


async def test_news_counts_what_came_after_the_first_of_the_list(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    await agent.room.start("Old")
    news = parsed(await browser.get("/recordings")).one(id="recordings-news")
    address = news.attributes["hx-get"]
    assert parsed(await browser.get(address, headers=FRAGMENT)).one(id="recordings-news").text == ""
    await agent.room.start("New")
    assert parsed(await browser.get(address, headers=FRAGMENT)).one("a").text == "1 new – show"


async def test_refreshed_rows_are_those_that_were_shown(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    await agent.room.start("Old")
    address = parsed(await browser.get("/recordings")).one(id="recordings").attributes["hx-get"]
    await agent.room.start("New")
    again = parsed(await browser.get(address, headers=FRAGMENT))
    assert [row.one(class_="name").text for row in again.all("li", class_="recording")] == ["Old"]
    assert not again.has("h1")


async def test_row_refreshes_alone(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await delivered(agent)
    row = parsed(await browser.get(f"/recordings/{job.recording_id}/row", headers=FRAGMENT))
    assert row.one("li").attributes["id"] == f"recording-{job.recording_id}"
    assert not row.has("h1")


# ---- one recording ----


async def test_finished_recording_shows_its_facts(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await delivered(agent, folder="Court", tags=["open"])
    answer = await browser.get(f"/recordings/{job.recording_id}")
    page = parsed(answer)
    assert page.one("h1").text == "Council"
    facts = page.one(id="details").text
    assert "WAV" in facts
    assert "48000 Hz" in facts
    assert "stopped" in facts
    assert "96 000 frames" in facts
    assert "input 1" in facts
    assert "Attempt 1" in facts
    assert "claimed" in facts
    assert page.one("audio").attributes["src"] == f"/recordings/{job.recording_id}/audio"
    assert page.has("a", href=f"/recordings/{job.recording_id}/download")
    assert page.has("a", href=f"/nodes/{agent.room.node.node_id}")


async def test_each_region_comes_alone(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await delivered(agent)
    page = parsed(await browser.get(f"/recordings/{job.recording_id}"))
    for region, holds in (("head", "h1"), ("timeline", "svg"), ("details", "dl")):
        address = page.one(id=region).attributes["hx-get"]
        fragment = parsed(await browser.get(address, headers=FRAGMENT))
        assert fragment.has(holds), region
        assert not fragment.has("main"), region


async def test_finished_recording_is_drawn_in_the_page_itself(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await delivered(agent)
    page = parsed(await browser.get(f"/recordings/{job.recording_id}"))
    drawn = page.one("svg", class_="overview")
    assert len(drawn.one("path", class_="wave").attributes["d"]) > 2_000
    assert page.one(class_="sound-facts").attributes["data-seconds"] == "2.0"
    preview = parsed(await browser.get(f"/recordings/{job.recording_id}/row")).one("svg", class_="preview")
    assert preview.attributes["viewbox"] == "0 0 160 16"


async def test_gap_is_hatched_in_the_drawing_and_told_in_words(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await agent.room.claimed()
    facts = CONTENT.sealing(agent.room, job).facts
    gap = GapReport(start_frame=72_000, frames=4_800, cause="owner_died")
    cache_file_id = await agent.open_file(job)
    await agent.send(job, cache_file_id, CONTENT)
    sealed = await agent.seal(job, cache_file_id, CONTENT, facts=facts.model_copy(update={"gaps": [gap]}))
    assert sealed.status_code == 200, sealed.text
    page = parsed(await browser.get(f"/recordings/{job.recording_id}"))
    assert len(page.one("svg", class_="overview").all("rect", class_="gap")) == 1
    mark = page.one("rect", class_="mark", data_kind="gap")
    assert (mark.attributes["data-at"], mark.attributes["data-length"]) == ("1.5", "0.1")
    told = page.one("table", class_="moments")
    assert "owner died" in told.text
    assert "0.100 s are missing" in told.text
    assert told.all("a", class_="hear")[0].attributes["href"] == "?t=0.000#sound"


async def test_peaks_and_live_sound_come_with_a_session(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await delivered(agent)
    tile = await browser.get(f"/recordings/{job.recording_id}/peaks?level=1&start=2&count=5")
    assert tile.headers["reelkeeper-frames"] == "96000"
    assert len(tile.content) == 5 * 2 * 2
    nonsense = await browser.get(f"/recordings/{job.recording_id}/peaks?level=x&start=-1&count=9999999")
    assert (nonsense.status_code, len(nonsense.content)) == (200, len(CONTENT.waveform) - 24)
    sound = await browser.get(f"/recordings/{job.recording_id}/live?from_seconds=1")
    assert sound.headers["reelkeeper-start-seconds"] == "1.000000"
    assert sound.content.endswith(CONTENT.audio[4096 + 48_000 * 4 :])


async def test_without_a_permission_its_controls_are_away_and_the_page_says_which(
    db: Database, agent: WebAgent
) -> None:
    job = await agent.room.claimed()
    control = await shown_without(recordings.show, db, Permission.RECORDING_CONTROL, recording_id=job.recording_id)
    assert not control.has(id="stop")
    assert not control.has(id="cancel")
    assert "needs the permission recording:control" in control.one(id="head").text
    playback = await shown_without(recordings.show, db, Permission.RECORDING_PLAYBACK, recording_id=job.recording_id)
    assert playback.has(id="stop")
    assert playback.one(class_="sound-facts").attributes["data-sound"] == "none"
    assert "needs the permission recording:playback" in playback.one(id="timeline").text
    row = await shown_without(recordings.row, db, Permission.RECORDING_PLAYBACK, recording_id=job.recording_id)
    assert not row.has("a", class_="play")


async def test_growing_recording_is_the_same_page(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await agent.room.claimed()
    await agent.room.heartbeat(job)
    cache_file_id = await agent.open_file(job)
    await agent.append(job, cache_file_id, "audio", CONTENT.audio[:200_000])
    await agent.append(job, cache_file_id, "waveform", CONTENT.waveform[: 24 + 4 * 40])
    page = parsed(await browser.get(f"/recordings/{job.recording_id}"))
    facts = page.one(class_="sound-facts").attributes
    assert (facts["data-sound"], float(facts["data-seconds"])) == ("growing", pytest.approx(40 * 512 / 48_000))
    assert page.has("path", class_="wave")
    assert page.one("audio").attributes["src"] == f"/recordings/{job.recording_id}/live"
    assert page.has("a", href=f"/recordings/{job.recording_id}/stop")
    assert not page.has("a", href=f"/recordings/{job.recording_id}/download")
    assert "held by Town hall" in page.one(id="details").text


async def test_moment_of_the_link_reaches_the_native_player(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await delivered(agent)
    page = parsed(await browser.get(f"/recordings/{job.recording_id}?t=1.5"))
    assert page.one("audio").attributes["src"].endswith("/audio#t=1.5")


async def test_sound_plays_and_downloads_with_a_session(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await delivered(agent)
    part = await browser.get(f"/recordings/{job.recording_id}/audio", headers={"Range": "bytes=0-99"})
    assert part.status_code == 206
    assert part.content == CONTENT.audio[:100]
    whole = await browser.get(f"/recordings/{job.recording_id}/download")
    assert whole.content == CONTENT.audio
    assert whole.headers["content-disposition"].startswith("attachment")


async def test_stop_asks_first_and_then_stops(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await agent.room.claimed()
    await agent.room.heartbeat(job)
    address = f"/recordings/{job.recording_id}/stop"
    asked = parsed(await browser.get(address))
    assert "Council" in asked.one("h1").text
    assert "Town hall" in asked.text
    assert asked.has(class_="clock")
    assert (await agent.room.heartbeat(job)).jobs[0].wish == "run"
    assert not parsed(await browser.get(address, headers=FRAGMENT)).has("main")
    answer = await browser.post(asked.one("form", method="post", data_act=str(job.recording_id)).attributes["action"])
    assert (answer.status_code, answer.headers["location"]) == (303, f"/recordings/{job.recording_id}")
    assert (await agent.room.heartbeat(job)).jobs[0].wish == "stop"
    assert "Stopping" in parsed(await browser.get(f"/recordings/{job.recording_id}")).one(id="head").text
    assert "nothing to stop" in parsed(await browser.get(address)).one("main").text


async def test_cancelled_recording_says_so_and_offers_retry(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    recording = await agent.room.start()
    answer = await browser.post(f"/recordings/{recording.id}/cancel")
    assert answer.status_code == 303
    page = parsed(await browser.get(answer.headers["location"]))
    assert "Cancelled" in page.one(id="head").text
    assert "Nothing of this recording has arrived here." in page.one(class_="silent").text
    retry = page.one("form", action=f"/recordings/{recording.id}/retry")
    again = await browser.post(retry.attributes["action"])
    assert again.status_code == 303
    after = parsed(await browser.get(again.headers["location"]))
    assert "Queued" in after.one(id="head").text
    assert "Attempt 2" in after.one(id="details").text


async def test_damaged_recording_is_not_played(browser: httpx.AsyncClient, agent: WebAgent, owner: object) -> None:
    job = await delivered(agent)
    await owner.execute("UPDATE cache_file SET state = 'damaged'")  # type: ignore[attr-defined]
    page = parsed(await browser.get(f"/recordings/{job.recording_id}"))
    assert "checksum is wrong" in page.one(class_="bar-bad").text
    assert "src" not in page.one("audio").attributes
    assert not page.has("a", href=f"/recordings/{job.recording_id}/download")


async def test_unknown_recording_is_a_page_that_says_so(browser: httpx.AsyncClient) -> None:
    answer = await browser.get(f"/recordings/{new_id()}")
    assert answer.status_code == 404
    assert "There is no recording" in parsed(answer).one("main").text


async def test_nobody_sees_recordings_without_signing_in(controller: Running, agent: WebAgent) -> None:
    job = await delivered(agent)
    async with httpx.AsyncClient(base_url=controller.url, trust_env=False) as stranger:
        for path in ("", f"/{job.recording_id}", f"/{job.recording_id}/audio", f"/{job.recording_id}/row"):
            answer = await stranger.get(f"/recordings{path}")
            assert (answer.status_code, answer.headers["location"][:9]) == (303, "/sign-in?"), path
        refused = await stranger.post(f"/recordings/{job.recording_id}/stop", headers={"Sec-Fetch-Site": "same-origin"})
        assert refused.status_code == 303
        assert refused.headers["location"].startswith("/sign-in")


# ---- what protects it, and what became of it ----


async def ended(agent: WebAgent, job: ClaimedJob, origin: Origin, **facts: object) -> None:
    """Delivers it with other facts than usual."""
    cache_file_id = await agent.open_file(job, origin=origin)
    await agent.send(job, cache_file_id, CONTENT)
    request = CONTENT.sealing(agent.room, job)
    said = request.facts.model_copy(update=facts)
    answer = await agent.seal(job, cache_file_id, CONTENT, origin=origin, facts=said)
    assert answer.status_code == 200, answer.text


async def test_failure_and_salvage_are_one_sentence_on_recording_job_list_and_dashboard(
    browser: httpx.AsyncClient, agent: WebAgent, owner: Any
) -> None:
    job = await agent.room.claimed(name="Council")
    await agent.room.heartbeat(job, phase=Phase.CAPTURING)
    await agent.room.finish(job, reason="contact_lost")
    await owner.execute("UPDATE job SET lost_at = '2026-11-21T14:02:11Z'")
    assert "Connect it" in parsed(await browser.get(f"/recordings/{job.recording_id}")).one(id="head").text

    gaps = [GapReport(start_frame=10_000, frames=4_800, cause="owner_died")]
    await ended(agent, job, Origin.SALVAGED, gaps=gaps)

    sentence = "Failed: contact lost at 2026-11-21 14:02 ; 2 s were salvaged at 20"
    page = parsed(await browser.get(f"/recordings/{job.recording_id}"))
    assert sentence in page.one(id="head").text
    assert "Failed, salvaged" in page.one(id="head").text
    assert "Connect it" not in page.one(id="head").text
    assert "Gap: owner died" in page.one(id="moments").text
    assert page.one(class_="sound-facts").attributes["data-sound"] == "cached"
    assert "salvaged" in page.one(id="details").text
    for path in (f"/jobs/{job.job_id}", "/jobs", "/"):
        assert sentence in parsed(await browser.get(path)).text, path
    assert (await browser.get(f"/recordings/{job.recording_id}/audio")).content == CONTENT.audio


async def test_a_limit_that_ended_it_is_named_with_what_was_measured(
    browser: httpx.AsyncClient, agent: WebAgent
) -> None:
    job = await agent.room.claimed(limits={"length_ms": 7_200_000})
    levels = [
        ChannelLevel(peak_dbfs=0.0, rms_dbfs=-12.0, clipped_frames=1234),
        ChannelLevel(peak_dbfs=-3.0, rms_dbfs=-18.0),
    ]
    reason = EndReason.LENGTH_LIMIT
    await ended(agent, job, Origin.TRUNCATED, end_reason=reason, levels=levels, integrated_lufs=-19.4)
    page = parsed(await browser.get(f"/recordings/{job.recording_id}"))
    assert "It ended by itself at its limit of length" in page.one(id="head").text
    assert "Truncated" in page.one(id="head").text
    facts = page.one(id="details").text
    for words in ("Ended by length limit", "Limits 2:00:00 of length", "Loudness −19.4 LUFS"):
        assert words in facts
    assert facts.count("clipped frame") == 1


async def test_a_recording_that_reaches_back_says_so(
    browser: httpx.AsyncClient, agent: WebAgent, db: Database, owner: Any
) -> None:
    await nodes.arm_interface(db, agent.room.node.node_id, COUNTER, 30, by=SOMEBODY)
    job = await agent.room.claimed(preroll_ms=30_000)
    path = f"/recordings/{job.recording_id}?block=head"
    assert "to begin 30 s before Record was pressed" in parsed(await browser.get(path, headers=FRAGMENT)).text
    await owner.execute("UPDATE recording SET started_at = created_at - interval '12 seconds'")
    assert "begins 12 s before Record was pressed" in parsed(await browser.get(path, headers=FRAGMENT)).text
    await owner.execute("UPDATE recording SET started_at = created_at")
    assert "nothing was kept" in parsed(await browser.get(path, headers=FRAGMENT)).text


async def test_how_far_a_delivered_recording_reaches_back_is_counted_in_frames(
    browser: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    await nodes.arm_interface(db, agent.room.node.node_id, COUNTER, 30, by=SOMEBODY)
    job = await agent.room.claimed(preroll_ms=30_000)
    content, cache_file_id = CONTENT, await agent.open_file(job)
    await agent.send(job, cache_file_id, content)
    facts = content.sealing(agent.room, job).facts.model_copy(update={"preroll_frames": 96_000})
    await agent.seal(job, cache_file_id, content, facts=facts)
    head = parsed(await browser.get(f"/recordings/{job.recording_id}?block=head", headers=FRAGMENT)).text
    assert "begins 2 s before Record was pressed" in head


async def test_a_condition_is_listed_with_its_span(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await agent.room.claimed()
    await agent.room.heartbeat(job, phase=Phase.CAPTURING)
    event_id = new_id()

    async def moments(**said: object) -> str:
        event = EventReport.model_validate(
            {
                "id": event_id,
                "kind": "clipping",
                "severity": "warning",
                "message": "It is overloaded.",
                "age_ms": 40_000,
                "job_id": job.job_id,
                **said,
            }
        )
        request = EventsRequest(node_run=agent.room.node_run, events=[event])
        assert (await agent.post("/events", request.model_dump_json())).status_code == 204
        path = f"/recordings/{job.recording_id}?block=moments"
        return parsed(await browser.get(path, headers=FRAGMENT)).text

    assert "It is overloaded. since 20" in await moments(lasts=True)
    over = await moments(ended_age_ms=10_000)
    assert "since" not in over
    assert re.search(r", (3\d|4\d) s", over)


@pytest.mark.parametrize(
    ("phase", "meanwhile"),
    [
        (Phase.CAPTURING, "the node records on by itself, for 15 min more at least"),
        (Phase.UPLOADING, "the node keeps what it recorded"),
    ],
)
async def test_a_silent_node_is_said_to_record_on_and_when_its_job_fails(
    browser: httpx.AsyncClient, agent: WebAgent, owner: Any, phase: Phase, meanwhile: str
) -> None:
    job = await agent.room.claimed()
    await agent.room.heartbeat(job, phase=phase)
    await owner.execute("UPDATE lease SET expires_at = clock_timestamp() - interval '30 seconds'")
    for path in (f"/recordings/{job.recording_id}", f"/jobs/{job.job_id}"):
        words = parsed(await browser.get(path)).one("main").text
        assert "Town hall has not been heard of for 3" in words, path
        assert f"the job fails; {meanwhile}" in words, path


async def test_page_of_what_is_not_drawn_yet_is_answered_without_content(
    browser: httpx.AsyncClient, agent: WebAgent
) -> None:
    job = await agent.room.claimed()
    cache_file_id = await agent.open_file(job)
    await agent.append(job, cache_file_id, "waveform", CONTENT.waveform[:10])
    assert (await browser.get(f"/recordings/{job.recording_id}/peaks?level=1")).status_code == 204
