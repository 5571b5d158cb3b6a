"""Recordings are played in ranges and downloaded under their names, once they were proved to be whole."""

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from protocol.messages import ClaimedJob
from tests.integration.web_room import (
    Content,
    Running,
    WebAgent,
    make_content,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def content() -> Content:
    return make_content(300_000)


@pytest.fixture
async def job(agent: WebAgent, content: Content) -> ClaimedJob:
    """A recording that was delivered."""
    job = await agent.room.claimed(name='Council "5/6" – Ärger')
    await agent.deliver(job, content)
    return job


def path(job: ClaimedJob, what: str = "audio") -> str:
    return f"/api/v1/recordings/{job.recording_id}/{what}"


async def test_whole_file_is_given_with_its_length_and_type(
    user: httpx.AsyncClient, job: ClaimedJob, content: Content
) -> None:
    answer = await user.get(path(job))
    assert (answer.status_code, answer.content) == (200, content.audio)
    assert answer.headers["Content-Type"] == "audio/wav"
    assert answer.headers["Content-Length"] == str(len(content.audio))
    assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [("bytes=0-0", 0, 1), ("bytes=4090-4105", 4090, 4106), ("bytes=1000000-", 1_000_000, None), ("bytes=-7", -7, None)],
)
async def test_single_range_is_given_as_such(
    user: httpx.AsyncClient, job: ClaimedJob, content: Content, header: str, start: int, stop: int | None
) -> None:
    answer = await user.get(path(job), headers={"Range": header})
    wanted = content.audio[start:stop]
    assert (answer.status_code, answer.content) == (206, wanted)
    first = start % len(content.audio)
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(wanted) - 1}/{len(content.audio)}"


async def test_range_behind_the_end_is_refused_with_the_length(
    user: httpx.AsyncClient, job: ClaimedJob, content: Content
) -> None:
    answer = await user.get(path(job), headers={"Range": f"bytes={len(content.audio)}-"})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(content.audio)}"


@pytest.mark.parametrize("what", ["audio", "waveform.dat"])
@pytest.mark.parametrize("change", [-1, 1])
async def test_file_of_another_length_than_what_was_sealed_is_not_given_out(
    tmp_path: Path, user: httpx.AsyncClient, job: ClaimedJob, what: str, change: int
) -> None:
    for stored in (tmp_path / "cache" / "files").rglob(what.removesuffix(".dat")):
        os.truncate(stored, stored.stat().st_size + change)
    refused = await user.get(path(job, what))
    assert (refused.status_code, refused.json()["cache_state"]) == (409, "damaged")


async def test_several_ranges_give_the_whole_file(user: httpx.AsyncClient, job: ClaimedJob, content: Content) -> None:
    answer = await user.get(path(job), headers={"Range": "bytes=0-1,5-6"})
    assert (answer.status_code, answer.content) == (200, content.audio)


async def test_range_is_given_only_of_the_content_that_the_client_knows(
    user: httpx.AsyncClient, job: ClaimedJob, content: Content
) -> None:
    etag = (await user.head(path(job))).headers["ETag"]
    same = await user.get(path(job), headers={"Range": "bytes=0-9", "If-Range": etag})
    other = await user.get(path(job), headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    weak = await user.get(path(job), headers={"Range": "bytes=0-9", "If-Range": f"W/{etag}"})
    assert not etag.startswith("W/")
    assert (same.status_code, same.content) == (206, content.audio[:10])
    assert (other.status_code, weak.status_code) == (200, 200)


async def test_content_that_the_client_has_is_not_sent_again(user: httpx.AsyncClient, job: ClaimedJob) -> None:
    etag = (await user.head(path(job))).headers["ETag"]
    answer = await user.get(path(job), headers={"If-None-Match": etag})
    assert (answer.status_code, answer.content) == (304, b"")


async def test_head_says_what_a_get_would(user: httpx.AsyncClient, job: ClaimedJob, content: Content) -> None:
    answer = await user.head(path(job))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(content.audio))


async def test_playing_and_downloading_differ_in_their_disposition(user: httpx.AsyncClient, job: ClaimedJob) -> None:
    played, downloaded = await user.head(path(job)), await user.head(path(job, "download"))
    assert played.headers["Content-Disposition"].startswith("inline; ")
    disposition = downloaded.headers["Content-Disposition"]
    assert disposition.startswith('attachment; filename="Council _5_6_ _ _rger ')
    assert "filename*=UTF-8''Council%20_5_6_%20%E2%80%93%20%C3%84rger%20" in disposition
    assert disposition.endswith("Z.wav")


async def test_files_are_harmless_in_a_browser_and_kept_by_nobody(user: httpx.AsyncClient, job: ClaimedJob) -> None:
    for what in ("audio", "download", "waveform.dat", "ledger"):
        headers = (await user.get(path(job, what))).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "sandbox" in headers["Content-Security-Policy"]
        assert "no-store" in headers["Cache-Control"]


async def test_waveform_and_ledger_are_given_as_they_were_sealed(
    user: httpx.AsyncClient, job: ClaimedJob, content: Content
) -> None:
    assert (await user.get(path(job, "waveform.dat"))).content == content.waveform
    assert (await user.get(path(job, "ledger"))).content == content.ledger


@pytest.mark.parametrize("what", ["audio", "download", "waveform.dat", "ledger"])
async def test_nothing_of_a_growing_recording_is_given_out_and_it_says_why(
    user: httpx.AsyncClient, agent: WebAgent, content: Content, what: str
) -> None:
    job = await agent.room.claimed()
    before = await user.get(path(job, what))
    await agent.send(job, await agent.open_file(job), content)
    growing = await user.get(path(job, what))

    assert (before.status_code, before.json()["cache_state"]) == (409, "none")
    assert (growing.status_code, growing.json()["cache_state"]) == (409, "receiving")


async def test_a_recording_that_failed_before_it_arrived_is_not_called_growing(
    user: httpx.AsyncClient, agent: WebAgent
) -> None:
    job = await agent.room.claimed()
    await agent.open_file(job)
    await agent.room.finish(job)
    refused = (await user.get(path(job))).json()
    assert refused["cache_state"] == "receiving"
    assert "when it is back" in refused["detail"]


async def test_client_that_leaves_in_the_middle_does_not_hold_up_the_end(
    controller: Running, user: httpx.AsyncClient, job: ClaimedJob
) -> None:
    async with user.stream("GET", path(job)) as answer:
        await anext(answer.aiter_raw())
    await controller.end()


async def test_controller_that_stops_does_not_wait_for_a_slow_listener(
    controller: Running, user: httpx.AsyncClient, agent: WebAgent
) -> None:
    job = await agent.room.claimed()
    await agent.deliver(job, make_content(4_000_000))
    async with user.stream("GET", path(job)) as answer:
        blocks = answer.aiter_raw()
        await anext(blocks)
        async with asyncio.timeout(20):
            await controller.end()
        with pytest.raises(httpx.RemoteProtocolError):
            async for _ in blocks:
                pass
