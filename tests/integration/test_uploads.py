"""Content arrives whole, whatever happens on its way; what is not whole is never given out."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from protocol.ids import new_id
from protocol.messages import HEAD_BYTES_OF, CacheFileRequest, ClaimedJob, Origin, PartName
from tests.integration.web_room import (
    PARTS,
    Content,
    WebAgent,
    begin_append,
    make_content,
    running,
    settings_in,
    user_client,
    wav_head,
    web_agent,
)
from web.cache.folder import CacheFolder
from web.domain.errors import ConflictError
from web.runners import abandoned, finalise
from web.services.content.cache_content import CacheContent, ContentLimits
from web.services.content.stored_content import StoredContent
from web.services.content.waveforms import Waveforms
from web.store.database import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def job(agent: WebAgent) -> ClaimedJob:
    return await agent.room.claimed()


async def test_sealed_content_is_cached_and_given_out_as_it_was_sealed(
    agent: WebAgent, job: ClaimedJob, user: httpx.AsyncClient
) -> None:
    content = make_content()

    await agent.deliver(job, content)

    recording = (await user.get(f"/api/v1/recordings/{job.recording_id}")).json()
    assert (recording["state"], recording["cache_state"]) == ("completed", "cached")
    assert await _downloaded(user, job) == content.audio


async def test_upload_that_is_cut_again_and_again_loses_and_doubles_no_byte(
    agent: WebAgent, job: ClaimedJob, user: httpx.AsyncClient
) -> None:
    content, rng = make_content(700_000), random.Random(4)
    cache_file_id = await agent.open_file(job)
    audio = content.provisional("audio")
    offset = 0
    for _ in range(40):
        cut = rng.choice([0, 1, 4095, 4096, 65_536, rng.randrange(len(audio) // 20)])
        await _append_and_break_off(agent, job, cache_file_id, audio[offset:], offset, cut)
        answer = await agent.append(job, cache_file_id, "audio", audio[offset : offset + 1], offset)
        assert answer.status_code in (204, 409)
        safe = int(answer.headers["Upload-Offset"])
        assert offset <= safe <= offset + max(cut, 1)
        offset = safe
    await agent.append(job, cache_file_id, "audio", audio[offset:], offset)
    for part in ("waveform", "seek", "ledger"):
        await agent.append(job, cache_file_id, part, content.provisional(part))

    assert (await agent.seal(job, cache_file_id, content)).status_code == 200
    assert await _downloaded(user, job) == content.audio


async def test_append_at_another_offset_is_refused_with_the_true_one(agent: WebAgent, job: ClaimedJob) -> None:
    cache_file_id = await agent.open_file(job)
    await agent.append(job, cache_file_id, "audio", b"12345")

    for start in (0, 4, 6):
        refused = await agent.append(job, cache_file_id, "audio", b"x", start)
        assert refused.status_code == 409
        assert (refused.json()["code"], refused.json()["offset"]) == ("wrong_offset", 5)
        assert refused.headers["Upload-Offset"] == "5"
    assert await agent.offset(cache_file_id, "audio") == 5


async def test_newer_append_takes_over_and_keeps_what_the_older_one_brought(
    agent: WebAgent, job: ClaimedJob, user: httpx.AsyncClient
) -> None:
    content = make_content()
    cache_file_id = await agent.open_file(job)
    audio = content.provisional("audio")
    reader, writer = await begin_append(agent, job, cache_file_id, audio, 0, len(audio) // 2)

    offset = 0
    while offset < len(audio):
        answer = await agent.append(job, cache_file_id, "audio", audio[offset:], offset)
        offset = int(answer.headers["Upload-Offset"])

    assert b" 409 " in await reader.readline()
    writer.close()
    for part in ("waveform", "seek", "ledger"):
        await agent.append(job, cache_file_id, part, content.provisional(part))
    assert (await agent.seal(job, cache_file_id, content)).status_code == 200
    assert await _downloaded(user, job) == content.audio


async def test_many_writers_of_one_part_leave_it_whole(agent: WebAgent, job: ClaimedJob) -> None:
    cache_file_id = await agent.open_file(job)
    data = random.Random(1).randbytes(300_000)

    answers = await asyncio.gather(*(agent.append(job, cache_file_id, "audio", data) for _ in range(8)))

    assert {answer.status_code for answer in answers} <= {204, 409}
    offset = await agent.offset(cache_file_id, "audio")
    await agent.append(job, cache_file_id, "audio", data[offset:] + b"end", offset)
    assert await agent.offset(cache_file_id, "audio") == len(data) + 3


async def test_more_than_the_limits_is_refused_before_it_is_taken_in(
    tmp_path: Path, database_url: str, db: Database
) -> None:
    settings = settings_in(tmp_path, upload_request_limit_bytes=1000, cache_file_limit_bytes=1500)
    async with running(settings, database_url) as controller, web_agent(controller.url, db) as agent:
        job = await agent.room.claimed()
        cache_file_id = await agent.open_file(job)

        request = await agent.append(job, cache_file_id, "audio", bytes(1001))
        await agent.append(job, cache_file_id, "audio", bytes(1000))
        whole = await agent.append(job, cache_file_id, "audio", bytes(501), 1000)

        assert (request.status_code, request.json()["code"]) == (413, "too_large")
        assert (whole.status_code, whole.json()["code"]) == (413, "too_large")
        assert await agent.offset(cache_file_id, "audio") == 1000


async def test_body_longer_than_its_range_is_refused(agent: WebAgent, job: ClaimedJob) -> None:
    cache_file_id = await agent.open_file(job)
    headers = agent.append_headers(job, 0, 10)

    refused = await agent.http.put(f"/cache-files/{cache_file_id}/audio", content=bytes(11), headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert await agent.offset(cache_file_id, "audio") == 0


@pytest.mark.parametrize("value", ["", "bytes 0-1/2", "bytes 5-4/*", "bytes */*", "0-1", "bytes -1-1/*"])
async def test_range_that_says_nothing_is_refused(agent: WebAgent, job: ClaimedJob, value: str) -> None:
    cache_file_id = await agent.open_file(job)
    headers = agent.append_headers(job, 0, 1) | {"Content-Range": value}
    refused = await agent.http.put(f"/cache-files/{cache_file_id}/audio", content=b"x", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")


async def test_upload_that_would_touch_the_disk_reserve_is_put_off(
    tmp_path: Path, database_url: str, db: Database
) -> None:
    settings = settings_in(tmp_path, disk_reserve_bytes=1 << 60)
    async with running(settings, database_url) as controller, web_agent(controller.url, db) as agent:
        job = await agent.room.claimed()

        refused = await agent.append(job, await agent.open_file(job), "audio", b"x")

        assert (refused.status_code, refused.json()["code"]) == (507, "no_space")
        assert int(refused.headers["Retry-After"]) > 0


async def test_upload_goes_on_at_another_controller_after_the_first_stopped_in_its_middle(
    tmp_path: Path, database_url: str, db: Database
) -> None:
    content = make_content(600_000)
    audio = content.provisional("audio")
    async with running(settings_in(tmp_path), database_url) as first, web_agent(first.url, db) as agent:
        job = await agent.room.claimed()
        cache_file_id = await agent.open_file(job)
        await agent.append(job, cache_file_id, "audio", audio[:1_500_000])
        reader, writer = await begin_append(agent, job, cache_file_id, audio[1_500_000:], 1_500_000, 400_000)
        await first.end()
        with suppress(ConnectionResetError):  # what was sent may lie unread when it stops
            await reader.read()
        writer.close()

        async with (
            running(settings_in(tmp_path), database_url) as second,
            agent.at(second.url) as agent_again,
            user_client(second.url, db) as user,
        ):
            offset = await agent_again.offset(cache_file_id, "audio")
            assert 1_500_000 <= offset <= 1_900_000
            await agent_again.append(job, cache_file_id, "audio", audio[offset:], offset)
            for part in ("waveform", "seek", "ledger"):
                await agent_again.append(job, cache_file_id, part, content.provisional(part))
            assert (await agent_again.seal(job, cache_file_id, content)).status_code == 200
            assert await _downloaded(user, job) == content.audio


async def test_two_controllers_never_write_one_part_at_once(tmp_path: Path, database_url: str, db: Database) -> None:
    content = make_content(900_000)
    audio = content.provisional("audio")
    async with (
        running(settings_in(tmp_path), database_url) as first,
        running(settings_in(tmp_path), database_url) as second,
        web_agent(first.url, db) as here,
        here.at(second.url) as there,
    ):
        job = await here.room.claimed()
        cache_file_id = await here.open_file(job)
        _, writer = await begin_append(here, job, cache_file_id, audio, 0, len(audio) - 1)
        async with asyncio.timeout(60):
            while not (offset := await there.offset(cache_file_id, "audio")):
                continue

        busy = await there.append(job, cache_file_id, "audio", audio[offset:], offset)
        writer.close()
        async with asyncio.timeout(60):
            while offset < len(audio):
                answer = await there.append(job, cache_file_id, "audio", audio[offset:], offset)
                offset = int(answer.headers.get("Upload-Offset", offset))
        for part in ("waveform", "seek", "ledger"):
            await there.append(job, cache_file_id, part, content.provisional(part))

        assert (busy.status_code, busy.json()["code"]) == (409, "conflict")
        assert (await there.seal(job, cache_file_id, content)).status_code == 200


@pytest.mark.parametrize("part", PARTS)
async def test_damaged_part_is_refused_at_the_seal_and_can_be_sent_again(
    agent: WebAgent, job: ClaimedJob, user: httpx.AsyncClient, part: PartName
) -> None:
    content = make_content()
    cache_file_id = await agent.open_file(job)
    for name in PARTS:
        sent = content.provisional(name)
        if name == part:
            place = HEAD_BYTES_OF[name] + 3
            sent = sent[:place] + bytes([sent[place] ^ 1]) + sent[place + 1 :]
        await agent.append(job, cache_file_id, name, sent)

    refused = await agent.seal(job, cache_file_id, content)

    assert (refused.status_code, refused.json()["code"]) == (422, "digest_mismatch")
    assert (refused.json()["part"], refused.json()["offset"]) == (part, 0)
    assert (await user.get(f"/api/v1/recordings/{job.recording_id}/audio")).status_code == 409
    assert await agent.offset(cache_file_id, part) == 0
    await agent.append(job, cache_file_id, part, content.provisional(part))
    assert (await agent.seal(job, cache_file_id, content)).status_code == 200
    assert await _downloaded(user, job) == content.audio


async def test_part_that_is_too_long_is_refused_at_the_seal_and_emptied(agent: WebAgent, job: ClaimedJob) -> None:
    content = make_content()
    cache_file_id = await agent.open_file(job)
    await agent.send(job, cache_file_id, content)
    await agent.append(job, cache_file_id, "audio", b"more", len(content.audio))

    refused = await agent.seal(job, cache_file_id, content)

    assert (refused.status_code, refused.json()["code"], refused.json()["offset"]) == (422, "digest_mismatch", 0)
    assert await agent.offset(cache_file_id, "audio") == 0


async def test_seal_before_everything_is_here_says_where_to_go_on(agent: WebAgent, job: ClaimedJob) -> None:
    content = make_content()
    cache_file_id = await agent.open_file(job)
    await agent.append(job, cache_file_id, "audio", content.provisional("audio")[:5000])

    refused = await agent.seal(job, cache_file_id, content)

    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_offset")
    assert (refused.json()["part"], refused.json()["offset"]) == ("audio", 5000)


@pytest.mark.parametrize(
    "lie",
    [
        lambda content: replace(content, frames=content.frames + 1),
        lambda content: replace(content, audio=b"RIFX" + content.audio[4:]),
        lambda content: replace(content, audio=wav_head(content.frames - 1) + content.audio[4096:]),
        lambda content: replace(content, waveform=content.waveform[:16] + b"\x01\x00\x00\x00" + content.waveform[20:]),
        lambda content: replace(content, waveform=content.waveform + b"\0\0\0\0"),
        lambda content: replace(content, ledger=b"[1]"),
        lambda content: replace(content, ledger=b"{"),
    ],
    ids=["frames", "no-wav", "wav-length", "bins", "waveform-length", "ledger-list", "ledger-cut"],
)
async def test_content_that_contradicts_its_facts_is_refused(agent: WebAgent, job: ClaimedJob, lie: Any) -> None:
    content: Content = lie(make_content())
    cache_file_id = await agent.open_file(job)
    await agent.send(job, cache_file_id, content)

    refused = await agent.seal(job, cache_file_id, content)

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")


async def test_head_that_was_damaged_on_its_way_is_refused_without_losing_the_part(
    agent: WebAgent, job: ClaimedJob
) -> None:
    content = make_content()
    cache_file_id = await agent.open_file(job)
    await agent.send(job, cache_file_id, content)
    seal = content.sealing(agent.room, job)

    refused = await agent.seal(
        job, cache_file_id, content, audio=seal.audio.model_copy(update={"head_sha256": "0" * 64})
    )

    assert (refused.status_code, refused.json()["code"]) == (422, "digest_mismatch")
    assert await agent.offset(cache_file_id, "audio") == len(content.audio)
    assert (await agent.seal(job, cache_file_id, content)).status_code == 200


async def test_same_seal_again_gets_the_same_answer(agent: WebAgent, job: ClaimedJob) -> None:
    content = make_content()
    cache_file_id = await agent.open_file(job)
    await agent.send(job, cache_file_id, content)

    answers = await asyncio.gather(*(agent.seal(job, cache_file_id, content) for _ in range(5)))
    later = await agent.seal(job, cache_file_id, content)

    assert {answer.status_code for answer in (*answers, later)} == {200}
    said = [{**answer.json(), "is_verified": None} for answer in (*answers, later)]
    assert said == [said[0]] * len(said)  # the stored bytes may have been read back meanwhile


@pytest.mark.parametrize("renamed", [(), ("audio",), ("audio", "waveform"), PARTS])
async def test_seal_is_repeated_after_a_crash_at_any_step(
    tmp_path: Path, agent: WebAgent, job: ClaimedJob, user: httpx.AsyncClient, renamed: tuple[PartName, ...]
) -> None:
    """As a crash leaves it: final heads written, some parts in their place, nothing of it in the database."""
    content = make_content()
    cache_file_id = await agent.open_file(job)
    await agent.send(job, cache_file_id, content)
    folder = CacheFolder(tmp_path / "cache")
    for part in PARTS:
        path = folder.path(cache_file_id, part)
        path.write_bytes(content.part(part))
        if part in renamed:
            home = folder.installed_path(cache_file_id, part)
            home.parent.mkdir(parents=True, exist_ok=True)
            path.rename(home)

    assert (await user.get(f"/api/v1/recordings/{job.recording_id}/audio")).status_code == 409
    assert (await agent.seal(job, cache_file_id, content)).status_code == 200
    assert await _downloaded(user, job) == content.audio
    assert list((tmp_path / "cache" / "incoming").iterdir()) == []


async def test_no_byte_is_added_to_what_was_sealed(agent: WebAgent, job: ClaimedJob, user: httpx.AsyncClient) -> None:
    content = make_content()
    cache_file_id = await agent.deliver(job, content)

    refused = await agent.append(job, cache_file_id, "audio", b"x", len(content.audio))

    assert refused.status_code == 409
    assert await _downloaded(user, job) == content.audio


async def test_no_byte_is_added_by_an_append_that_was_allowed_before_the_seal(
    tmp_path: Path, agent: WebAgent, job: ClaimedJob
) -> None:
    folder, content = CacheFolder(tmp_path / "other"), make_content()
    folder.prepare()
    store = CacheContent(folder, ContentLimits(2**30, 2**30, 0, workers=2, stall_seconds=5))
    cache_file_id = new_id()
    for part in PARTS:
        data = content.provisional(part)
        await store.append(cache_file_id, part, 0, len(data), _one_block(data), received_at=1)

    async with store.alone_with(cache_file_id):
        late = asyncio.create_task(
            store.append(
                cache_file_id, "audio", len(content.audio), len(content.audio) + 1, _one_block(b"x"), received_at=2
            )
        )
        await asyncio.sleep(0)
        await store.prove(cache_file_id, content.sealing(agent.room, job))

    with pytest.raises(ConflictError):
        await late
    assert folder.installed_path(cache_file_id, "audio").read_bytes() == content.audio


async def _one_block(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def test_what_grew_beside_the_sealed_file_is_removed_once_its_job_has_ended(
    tmp_path: Path, agent: WebAgent, job: ClaimedJob, user: httpx.AsyncClient, db: Database, owner: Any
) -> None:
    content = make_content()
    given_up = await agent.open_file(job)
    await agent.send(job, given_up, content)
    await _tidied(tmp_path, db, owner)
    assert await agent.offset(given_up, "audio") == len(content.audio)

    await agent.deliver(job, content)
    await _tidied(tmp_path, db, owner)

    assert list((tmp_path / "cache" / "incoming").iterdir()) == []
    assert await owner.fetchval("SELECT count(*) FROM cache_file WHERE id = $1", given_up) == 0
    assert await _downloaded(user, job) == content.audio


@pytest.mark.parametrize("outcome", ["cancelled", "failed"])
async def test_what_a_cancelled_recording_left_is_removed_also_when_its_seal_was_half_done(
    tmp_path: Path,
    agent: WebAgent,
    job: ClaimedJob,
    user: httpx.AsyncClient,
    db: Database,
    owner: Any,
    outcome: str,
) -> None:
    cache_file_id = await agent.open_file(job)
    await agent.send(job, cache_file_id, make_content())
    folder = CacheFolder(tmp_path / "cache")
    home = folder.installed_path(cache_file_id, "audio")
    home.parent.mkdir(parents=True)
    folder.path(cache_file_id, "audio").rename(home)
    await user.post(f"/api/v1/recordings/{job.recording_id}/cancel")
    await agent.room.finish(job, outcome, "device_gone")

    await _tidied(tmp_path, db, owner)

    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
    shown = (await user.get(f"/api/v1/recordings/{job.recording_id}")).json()
    assert (shown["state"], shown["cache_state"]) == (outcome, "none")


async def test_what_may_be_salvaged_or_is_being_written_stays(
    tmp_path: Path, agent: WebAgent, db: Database, owner: Any
) -> None:
    failed, cancelled = await agent.room.claimed(name="Failed"), await agent.room.claimed(name="Cancelled")
    folder = CacheFolder(tmp_path / "cache")
    opened = {job.job_id: await agent.open_file(job) for job in (failed, cancelled)}
    for job in (failed, cancelled):
        await agent.append(job, opened[job.job_id], "audio", bytes(5000))
    await agent.room.finish(failed)
    await agent.room.finish(cancelled, "cancelled", "cancelled")
    writer = folder.open_part(opened[cancelled.job_id], "audio")

    await _tidied(tmp_path, db, owner)

    writer.close()
    assert [folder.length(cache_file_id, "audio") for cache_file_id in opened.values()] == [5000, 5000]
    assert await owner.fetchval("SELECT count(*) FROM cache_file") == 2


async def _tidied(tmp_path: Path, db: Database, owner: Any) -> None:
    """What the controller does long after the jobs have ended."""
    await owner.execute("UPDATE job SET ended_at = ended_at - interval '1 hour'")
    content = CacheContent(CacheFolder(tmp_path / "cache"), ContentLimits(0, 0, 0, workers=2, stall_seconds=5))
    await abandoned.tick(db, content)


async def test_checksum_follows_soon_and_after_a_restart(
    tmp_path: Path, database_url: str, db: Database, owner: Any
) -> None:
    content = make_content()
    async with running(settings_in(tmp_path), database_url) as first, web_agent(first.url, db) as agent:
        job = await agent.room.claimed()
        await agent.deliver(job, content)
        async with user_client(first.url, db) as user:
            await _checksum_is(user, job, content.sha256)
    await owner.execute("UPDATE cache_file SET sha256 = NULL")
    async with running(settings_in(tmp_path), database_url) as second, user_client(second.url, db) as user:
        await _checksum_is(user, job, content.sha256)


@pytest.mark.parametrize("place", [100, 5000, -1])
async def test_file_that_reads_back_otherwise_is_damaged_and_not_given_out(
    tmp_path: Path, agent: WebAgent, job: ClaimedJob, user: httpx.AsyncClient, db: Database, owner: Any, place: int
) -> None:
    content = make_content()
    cache_file_id = await agent.deliver(job, content)
    await _checksum_is(user, job, content.sha256)
    folder = CacheFolder(tmp_path / "cache")
    stored = bytearray(content.audio)
    stored[place] ^= 1
    folder.installed_path(cache_file_id, "audio").write_bytes(stored)
    await owner.execute("UPDATE cache_file SET sha256 = NULL")

    await finalise.tick(db, StoredContent(folder, 1), Waveforms(folder, 1))

    refused = await user.get(f"/api/v1/recordings/{job.recording_id}/audio")
    assert (refused.status_code, refused.json()["cache_state"]) == (409, "damaged")


@pytest.mark.parametrize("part", ["audio", "waveform"])
async def test_bit_that_turned_over_before_the_seal_is_found_by_reading_back_and_its_node_sends_all_again(
    tmp_path: Path, agent: WebAgent, job: ClaimedJob, user: httpx.AsyncClient, part: PartName
) -> None:
    content = make_content()
    damaged = await agent.open_file(job)
    await agent.send(job, damaged, content)
    _turn_a_bit(CacheFolder(tmp_path / "cache").path(damaged, part))

    sealed = (await agent.seal(job, damaged, content)).json()

    assert sealed["is_verified"] is False
    await _state_is(agent, job, damaged, "damaged")
    assert (await agent.seal(job, damaged, content)).status_code == 409
    again = await agent.deliver(job, content)
    await _state_is(agent, job, again, "verified")
    assert await _downloaded(user, job) == content.audio
    recording = (await user.get(f"/api/v1/recordings/{job.recording_id}")).json()
    assert (recording["state"], recording["health"]) == ("completed", "warning")


@pytest.mark.parametrize("part", ["seek", "ledger"])
async def test_bit_of_a_small_part_that_turned_over_before_the_seal_is_no_fault_of_its_sender(
    tmp_path: Path, agent: WebAgent, job: ClaimedJob, part: PartName
) -> None:
    content = make_content()
    cache_file_id = await agent.open_file(job)
    await agent.send(job, cache_file_id, content)
    _turn_a_bit(CacheFolder(tmp_path / "cache").path(cache_file_id, part))
    refused = await agent.seal(job, cache_file_id, content)
    assert (refused.status_code, refused.json()["code"]) == (422, "digest_mismatch")
    await agent.append(job, cache_file_id, part, content.provisional(part))
    assert (await agent.seal(job, cache_file_id, content)).status_code == 200


def _turn_a_bit(path: Path) -> None:
    stored = bytearray(path.read_bytes())
    stored[-1] ^= 1
    path.write_bytes(stored)


async def test_file_that_is_gone_is_damaged(
    tmp_path: Path, agent: WebAgent, job: ClaimedJob, user: httpx.AsyncClient, db: Database, owner: Any
) -> None:
    content = make_content()
    cache_file_id = await agent.deliver(job, content)
    await _checksum_is(user, job, content.sha256)
    folder = CacheFolder(tmp_path / "cache")
    folder.installed_path(cache_file_id, "audio").unlink()
    refused = await user.get(f"/api/v1/recordings/{job.recording_id}/audio")
    assert refused.status_code == 409
    await owner.execute("UPDATE cache_file SET sha256 = NULL")

    await finalise.tick(db, StoredContent(folder, 1), Waveforms(folder, 1))

    recording = (await user.get(f"/api/v1/recordings/{job.recording_id}")).json()
    assert (recording["cache_state"], recording["health"]) == ("damaged", "critical")


async def _state_is(agent: WebAgent, job: ClaimedJob, cache_file_id: UUID, state: str) -> None:
    """Asks as the node does, until it hears this."""
    request = CacheFileRequest(
        id=cache_file_id,
        job_id=job.job_id,
        epoch=job.epoch,
        node_run=agent.room.node_run,
        origin=Origin.NORMAL,
        codec="wav",
    )
    found = None
    async with asyncio.timeout(60):
        while found != state:
            found = (await agent.post("/cache-files", request.model_dump_json())).json()["state"]


async def _downloaded(user: httpx.AsyncClient, job: ClaimedJob) -> bytes:
    answer = await user.get(f"/api/v1/recordings/{job.recording_id}/download")
    assert answer.status_code == 200, answer.text
    return answer.content


async def _checksum_is(user: httpx.AsyncClient, job: ClaimedJob, sha256: str) -> None:
    """Waits for the checksum."""
    found = None
    async with asyncio.timeout(60):
        while found is None:
            recording = (await user.get(f"/api/v1/recordings/{job.recording_id}")).json()
            found = recording["cache_file"]["checksum_sha256"]
    assert found == sha256


async def _append_and_break_off(
    agent: WebAgent, job: ClaimedJob, cache_file_id: UUID, data: bytes, start: int, sent: int
) -> None:
    _, writer = await begin_append(agent, job, cache_file_id, data, start, sent)
    writer.close()
    await writer.wait_closed()
