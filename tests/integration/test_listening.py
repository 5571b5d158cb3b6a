"""A recording is heard from any moment on, also while it grows; its stream ends when there is nothing to wait for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from protocol.ids import new_id
from protocol.messages import ClaimedJob, Codec, PartName
from tests import profiles
from tests.encoded import RATE, Encoded, encode
from tests.integration.console import person
from tests.integration.room import SOMEBODY
from tests.integration.web_room import (
    Content,
    Running,
    WebAgent,
    encoded_content,
    make_content,
    running,
    settings_in,
    user_client,
    web_agent,
)
from web.cache.flac import growing_flac_head
from web.cache.folder import CacheFolder
from web.domain.access import EVERYTHING, Actor, Scope, within
from web.domain.errors import UnavailableError
from web.media.recordings import still_comes
from web.services.content.listening import Listening
from web.store import cache_files
from web.store.database import Database

pytestmark = pytest.mark.anyio

FRAMES = 5 * RATE
PROFILES = {"mp3": profiles.VOICE, "flac": profiles.FLAC_16, "wav": profiles.WAV}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[Codec, Encoded]:
    folder = tmp_path_factory.mktemp("encoded")
    return {
        "mp3": encode(folder, "mp3", FRAMES, options=("-q:a", "5")),
        "flac": encode(folder, "flac", FRAMES),
    }


@dataclass
class Growing:
    """A recording that an agent sends little by little."""

    agent: WebAgent
    job: ClaimedJob
    content: Content
    cache_file_id: UUID
    sent: dict[PartName, int]
    path: str

    async def grow(self, audio: int, seek: int) -> None:
        """Sends up to these bytes of the audio and this many entries of the seek index."""
        wanted: dict[PartName, int] = {"audio": audio, "seek": seek * 16}
        for part, until in wanted.items():
            start = self.sent.get(part, 0)
            if until > start:
                data = self.content.part(part)[start:until]
                answer = await self.agent.append(self.job, self.cache_file_id, part, data, start)
                assert answer.status_code == 204, answer.text
                self.sent[part] = start + len(data)

    async def seal(self) -> None:
        await self.grow(len(self.content.audio), len(self.content.seek) // 16)
        others: tuple[PartName, ...] = ("waveform", "ledger")
        for part in others:
            await self.agent.append(self.job, self.cache_file_id, part, self.content.part(part))
        answer = await self.agent.seal(self.job, self.cache_file_id, self.content)
        assert answer.status_code == 200, answer.text


async def begin(agent: WebAgent, codec: Codec, content: Content) -> Growing:
    job = await agent.room.claimed(profile_id=PROFILES[codec])
    await agent.room.heartbeat(job)
    path = f"/api/v1/recordings/{job.recording_id}/live"
    return Growing(agent, job, content, await agent.open_file(job, codec=codec), {}, path)


@asynccontextmanager
async def listening(
    user: httpx.AsyncClient, growing: Growing, from_seconds: float | None = None
) -> AsyncIterator["Ear"]:
    params = {} if from_seconds is None else {"from_seconds": from_seconds}
    async with user.stream("GET", growing.path, params=params) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield Ear(answer, answer.aiter_raw())


@dataclass
class Ear:
    answer: httpx.Response
    blocks: AsyncIterator[bytes]
    heard: bytes = b""

    @property
    def start_seconds(self) -> float:
        return float(self.answer.headers["Reelkeeper-Start-Seconds"])

    async def hear(self, length: int) -> None:
        async with asyncio.timeout(60):
            while len(self.heard) < length:
                self.heard += await anext(self.blocks)

    async def hear_out(self) -> None:
        async with asyncio.timeout(60):
            async for block in self.blocks:
                self.heard += block


def unpadded(heard: bytes) -> bytes:
    """Without the zeros that fill up blocks."""
    kept, at = b"", 0
    while at < len(heard):
        block = heard[at : at + 32 * 1024]
        kept, at = kept + block.rstrip(b"\0"), at + 32 * 1024
    return kept


async def test_growing_mp3_is_heard_from_the_encoded_frame_at_the_moment_up_to_its_sealed_end(
    user: httpx.AsyncClient, agent: WebAgent, files: dict[Codec, Encoded]
) -> None:
    file = files["mp3"]
    growing = await begin(agent, "mp3", encoded_content(file))
    byte, frame = file.entry(round(2.5 * RATE))
    await growing.grow(byte + 6_000, 3)
    async with listening(user, growing, 2.5) as ear:
        await ear.hear(64 * 1024)
        assert len(ear.heard) == 64 * 1024
        assert ear.start_seconds == pytest.approx(frame / RATE, abs=1e-6)
        await growing.grow(byte + 9_000, 4)
        await ear.hear(96 * 1024)
        assert len(ear.heard) == 96 * 1024
        await growing.seal()
        await ear.hear_out()
    assert ear.answer.headers["Content-Type"] == "audio/mpeg"
    assert unpadded(ear.heard) == file.audio[byte:].rstrip(b"\0")


async def test_growing_flac_begins_with_a_head_without_an_end(
    user: httpx.AsyncClient, agent: WebAgent, files: dict[Codec, Encoded]
) -> None:
    file = files["flac"]
    growing = await begin(agent, "flac", encoded_content(file))
    byte, frame = file.entry(2 * RATE)
    await growing.grow(byte + 100_000, 3)
    async with listening(user, growing, 2.0) as ear:
        await growing.seal()
        await ear.hear_out()
    assert ear.start_seconds == pytest.approx(frame / RATE, abs=1e-6)
    assert unpadded(ear.heard) == growing_flac_head(file.audio[:4096]) + file.audio[byte:]


async def test_growing_wav_is_heard_from_the_very_sample_and_never_padded(
    user: httpx.AsyncClient, agent: WebAgent
) -> None:
    content = make_content(FRAMES)
    growing = await begin(agent, "wav", content)
    await growing.grow(4096 + 2 * RATE * 4, 2)
    async with listening(user, growing, 1.234567) as ear:
        await growing.seal()
        await ear.hear_out()
    frame = int(1.234567 * RATE)
    assert ear.start_seconds == pytest.approx(frame / RATE, abs=1e-6)
    assert ear.heard[44:] == content.audio[4096 + frame * 4 :]


async def test_without_a_moment_what_grows_is_heard_a_second_behind(
    user: httpx.AsyncClient, agent: WebAgent, files: dict[Codec, Encoded]
) -> None:
    file = files["mp3"]
    growing = await begin(agent, "mp3", encoded_content(file))
    newest, _ = file.entry(4 * RATE)
    await growing.grow(newest + 100, 4)
    async with listening(user, growing) as ear:
        assert 2.9 < ear.start_seconds < 3.0


async def test_listener_waits_for_the_first_sound(
    user: httpx.AsyncClient, agent: WebAgent, files: dict[Codec, Encoded]
) -> None:
    growing = await begin(agent, "mp3", encoded_content(files["mp3"]))

    async def heard() -> bytes:
        async with listening(user, growing, 0) as ear:
            await ear.hear(4000)
            return ear.heard

    waiting = asyncio.create_task(heard())
    await growing.grow(20_000, 1)
    assert (await waiting)[:4000] == files["mp3"].audio[files["mp3"].packets[0][0] :][:4000]


@pytest.mark.parametrize("codec", ["mp3", "flac"])
async def test_cached_recording_is_heard_from_a_moment_without_ranges(
    user: httpx.AsyncClient, agent: WebAgent, files: dict[Codec, Encoded], codec: Codec
) -> None:
    file = files[codec]
    growing = await begin(agent, codec, encoded_content(file))
    await growing.seal()
    answer = await user.get(growing.path, params={"from_seconds": 3.5}, headers={"Range": "bytes=0-"})
    byte, frame = file.entry(round(3.5 * RATE))
    assert (answer.status_code, answer.headers["Accept-Ranges"]) == (200, "none")
    assert answer.content.endswith(file.audio[byte:])
    assert len(answer.content) - len(file.audio[byte:]) == (42 if codec == "flac" else 0)
    assert float(answer.headers["Reelkeeper-Start-Seconds"]) == pytest.approx(frame / RATE, abs=1e-6)
    assert "no-store" in answer.headers["Cache-Control"]
    assert not {"ETag", "Content-Length"} & set(answer.headers)


async def test_head_says_where_it_would_begin(
    user: httpx.AsyncClient, agent: WebAgent, files: dict[Codec, Encoded]
) -> None:
    growing = await begin(agent, "mp3", encoded_content(files["mp3"]))
    await growing.grow(40_000, 2)
    answer = await user.head(growing.path, params={"from_seconds": 1})
    assert (answer.status_code, answer.content) == (200, b"")
    assert 0.97 < float(answer.headers["Reelkeeper-Start-Seconds"]) <= 1


async def test_sound_that_was_lost_is_not_waited_for(
    user: httpx.AsyncClient, agent: WebAgent, tmp_path: Path, files: dict[Codec, Encoded]
) -> None:
    growing = await begin(agent, "mp3", encoded_content(files["mp3"]))
    await growing.grow(40_000, 2)
    async with listening(user, growing, 0) as ear:
        (tmp_path / "cache" / "incoming" / str(growing.cache_file_id) / "audio").unlink()
        await ear.hear_out()


async def test_recording_that_failed_is_not_waited_for(
    user: httpx.AsyncClient, agent: WebAgent, files: dict[Codec, Encoded]
) -> None:
    growing = await begin(agent, "mp3", encoded_content(files["mp3"]))
    await growing.grow(40_000, 2)
    async with listening(user, growing, 0) as ear:
        await agent.room.finish(growing.job)
        await ear.hear_out()
    refused = await user.get(growing.path)
    assert (refused.status_code, refused.json()["cache_state"]) == (409, "receiving")


async def test_what_an_earlier_attempt_left_is_not_heard_as_what_is_recorded_now(
    user: httpx.AsyncClient, agent: WebAgent, files: dict[Codec, Encoded]
) -> None:
    growing = await begin(agent, "mp3", encoded_content(files["mp3"]))
    await growing.grow(40_000, 2)
    await agent.room.finish(growing.job)
    assert (await user.post(f"/api/v1/recordings/{growing.job.recording_id}/retry")).status_code == 200
    refused = await user.get(growing.path)
    assert (refused.status_code, refused.json()["cache_state"]) == (409, "receiving")


async def test_what_is_no_sound_is_refused(user: httpx.AsyncClient, agent: WebAgent) -> None:
    growing = await begin(agent, "wav", replace(make_content(FRAMES), audio=bytes(4096)))
    await growing.grow(4096, 0)
    refused = await user.get(growing.path)
    assert (refused.status_code, refused.json()["cache_state"]) == (409, "receiving")


async def test_listening_breaks_off_soon_after_its_session_has_ended(
    tmp_path: Path, db: Database, database_url: str
) -> None:
    async with (
        running(settings_in(tmp_path, time_scale=0.02), database_url) as controller,
        web_agent(controller.url, db) as agent,
        person(controller.url, db) as browser,
    ):
        growing = await begin(agent, "wav", make_content(FRAMES))
        await growing.grow(4096 + RATE * 4, 1)
        growing = replace(growing, path=f"/recordings/{growing.job.recording_id}/live")
        async with listening(browser, growing, 0) as ear:
            await ear.hear(1000)
            assert (await browser.post("/sign-out")).status_code == 303
            with pytest.raises(httpx.RemoteProtocolError):
                await ear.hear_out()


async def test_listening_breaks_off_soon_after_its_token_was_revoked(
    tmp_path: Path, db: Database, database_url: str
) -> None:
    async with (
        running(settings_in(tmp_path, time_scale=0.02), database_url) as controller,
        web_agent(controller.url, db) as agent,
        user_client(controller.url, db) as program,
    ):
        growing = await begin(agent, "wav", make_content(FRAMES))
        await growing.grow(4096 + RATE * 4, 1)
        async with listening(program, growing, 0) as ear:
            await ear.hear(1000)
            token_id = (await program.get("/api/v1/tokens/current")).json()["id"]
            assert (await program.delete(f"/api/v1/tokens/{token_id}")).status_code == 204
            with pytest.raises(httpx.RemoteProtocolError):
                await ear.hear_out()


async def test_sound_is_waited_for_while_the_database_is_away(agent: WebAgent, db: Database) -> None:
    growing = await begin(agent, "wav", make_content(FRAMES))
    cache_file = await cache_files.get(db, growing.cache_file_id, scope=EVERYTHING)
    assert await still_comes(db, cache_file, by=SOMEBODY)
    async with Database("postgresql://nobody@127.0.0.1:1/none", db.timeouts) as away:
        assert await still_comes(away, cache_file, by=SOMEBODY)
    elsewhere = Actor("user", None, "other", within(Scope(nodes=frozenset({new_id()}))))
    assert not await still_comes(db, cache_file, by=elsewhere)


async def test_nothing_is_heard_of_what_never_came(user: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await agent.room.claimed()
    refused = await user.get(f"/api/v1/recordings/{job.recording_id}/live")
    assert (refused.status_code, refused.json()["cache_state"]) == (409, "none")


async def test_a_moment_is_a_number_of_seconds(user: httpx.AsyncClient, agent: WebAgent) -> None:
    job = await agent.room.claimed()
    for wrong in ("-1", "nan", "inf", "soon"):
        refused = await user.get(f"/api/v1/recordings/{job.recording_id}/live", params={"from_seconds": wrong})
        assert refused.status_code == 422


async def test_controller_that_stops_does_not_wait_for_listeners(
    controller: Running, user: httpx.AsyncClient, agent: WebAgent, files: dict[Codec, Encoded]
) -> None:
    growing = await begin(agent, "mp3", encoded_content(files["mp3"]))
    await growing.grow(40_000, 2)
    async with listening(user, growing, 0) as ear:
        await ear.hear(1000)
        async with asyncio.timeout(20):
            await controller.end()


async def test_controller_that_stops_does_not_wait_for_a_first_sound(
    agent: WebAgent, db: Database, tmp_path: Path
) -> None:
    growing = await begin(agent, "wav", make_content(FRAMES))
    await growing.grow(100, 0)
    listening_here = Listening(CacheFolder(tmp_path / "cache"), workers=1, limit=1)
    listening_here.stop()
    cache_file = await cache_files.get(db, growing.cache_file_id, scope=EVERYTHING)
    with pytest.raises(UnavailableError, match="stopping"):
        async with listening_here.opened(cache_file, 0):
            pass


async def test_one_listener_too_many_is_told_to_come_again(
    tmp_path: Path, db: Database, database_url: str, files: dict[Codec, Encoded]
) -> None:
    async with (
        running(settings_in(tmp_path, listeners_limit=1), database_url) as controller,
        user_client(controller.url, db) as user,
        web_agent(controller.url, db) as agent,
    ):
        growing = await begin(agent, "mp3", encoded_content(files["mp3"]))
        await growing.grow(40_000, 2)
        async with listening(user, growing, 0):
            refused = await user.get(growing.path)
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        async with asyncio.timeout(30):
            while (await user.head(growing.path)).status_code != 200:
                continue
