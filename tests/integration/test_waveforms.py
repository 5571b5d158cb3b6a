"""What is drawn of a recording is what its node drew, at every level, also while it grows."""

import asyncio
import struct
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from protocol.ids import new_id
from protocol.messages import Origin
from tests.integration.room import make_room
from tests.integration.web_room import Content, WebAgent, make_content
from web.cache.folder import CacheFolder
from web.domain.access import EVERYTHING
from web.domain.cache_files import CacheFile
from web.domain.errors import NotDrawnError
from web.domain.previews import COLUMNS, LEVELS, packed, preview_level, unpacked
from web.domain.states import CacheState
from web.runners import finalise
from web.services.content import cache_files
from web.services.content.stored_content import StoredContent
from web.services.content.waveforms import Overview, Waveforms
from web.store import recordings
from web.store.database import Database

pytestmark = pytest.mark.anyio

FRAMES = 300_000


def pairs(waveform: bytes, channels: int = 2) -> list[list[tuple[int, int]]]:
    """Bins of channels of least and greatest, read without the core."""
    flat = struct.unpack(f"{len(waveform) - 24}b", waveform[24:])
    width = 2 * channels
    return [
        [(flat[at + 2 * channel], flat[at + 2 * channel + 1]) for channel in range(channels)]
        for at in range(0, len(flat), width)
    ]


def merged(bins: list[list[tuple[int, int]]], factor: int) -> bytes:
    made = bytearray()
    for at in range(0, len(bins), factor):
        for channel in zip(*bins[at : at + factor], strict=True):
            made += struct.pack("bb", min(low for low, _ in channel), max(high for _, high in channel))
    return bytes(made)


async def tile(user: httpx.AsyncClient, recording_id: UUID, **asked: int) -> httpx.Response:
    return await user.get(f"/api/v1/recordings/{recording_id}/peaks", params=asked)


@pytest.mark.parametrize("level", [0, 1, 3, 12])
async def test_tile_has_the_extremes_of_its_bins(user: httpx.AsyncClient, agent: WebAgent, level: int) -> None:
    content = make_content(FRAMES)
    job = await agent.room.claimed()
    await agent.deliver(job, content)
    whole = merged(pairs(content.waveform), 4**level)
    answer = await tile(user, job.recording_id, level=level)
    assert (answer.status_code, answer.content) == (200, whole)
    part = await tile(user, job.recording_id, level=level, start=1, count=3)
    assert part.content == whole[4:16]
    about = {name: answer.headers[f"Reelkeeper-{name}"] for name in ("Channels", "Sample-Rate", "Frames")}
    assert about == {"Channels": "2", "Sample-Rate": "48000", "Frames": str(FRAMES)}
    assert answer.headers["Reelkeeper-Frames-Per-Bin"] == str(512 * 4**level)
    assert (await tile(user, job.recording_id, level=level, start=10**9)).content == b""


async def test_what_grows_is_drawn_in_bins_that_never_change(user: httpx.AsyncClient, agent: WebAgent) -> None:
    content = make_content(FRAMES)
    job = await agent.room.claimed()
    cache_file_id = await agent.open_file(job)
    assert (await tile(user, job.recording_id)).status_code == 409
    await agent.append(job, cache_file_id, "waveform", content.waveform[: 24 + 4 * 30])
    finest, coarser = await tile(user, job.recording_id), await tile(user, job.recording_id, level=2)
    assert finest.content == content.waveform[24 : 24 + 4 * 30]
    assert finest.headers["Reelkeeper-Frames"] == str(30 * 512)
    assert coarser.content == merged(pairs(content.waveform[: 24 + 4 * 16]), 16)


@pytest.mark.parametrize(
    "query", [{"level": 13}, {"level": -1}, {"start": -1}, {"count": 0}, {"count": 4097}, {"other": 1}]
)
async def test_tile_beyond_all_bounds_is_refused(
    user: httpx.AsyncClient, agent: WebAgent, query: dict[str, int]
) -> None:
    job = await agent.room.claimed()
    assert (await tile(user, job.recording_id, **query)).status_code == 422


async def _preview(db: Database, recording_id: UUID) -> list[int]:
    preview = None
    async with asyncio.timeout(60):
        while preview is None:
            preview = (await recordings.get(db, recording_id, scope=EVERYTHING)).preview
    return preview


def loud_then_silent() -> Content:
    content = make_content(FRAMES)
    bins = (len(content.waveform) - 24) // 4
    loud = bins // 2
    drawn = content.waveform[:24] + bytes([0x81, 0x7F, 0, 0]) * loud + bytes(4) * (bins - loud)
    return Content(content.frames, content.audio, drawn, content.seek, content.ledger)


async def test_finished_recording_has_a_preview(user: httpx.AsyncClient, agent: WebAgent, db: Database) -> None:
    job = await agent.room.claimed()
    before = (await recordings.get(db, job.recording_id, scope=EVERYTHING)).preview
    await agent.deliver(job, loud_then_silent())
    assert before is None
    preview = await _preview(db, job.recording_id)
    assert preview == [LEVELS - 1] * (COLUMNS // 2) + [0] * (COLUMNS // 2)


async def test_salvage_has_a_preview(user: httpx.AsyncClient, agent: WebAgent, db: Database) -> None:
    job = await agent.room.claimed()
    await agent.room.finish(job)
    cache_file_id = await agent.open_file(job, origin=Origin.SALVAGED)
    content = make_content(FRAMES)
    await agent.send(job, cache_file_id, content)
    answer = await agent.seal(job, cache_file_id, content, origin=Origin.SALVAGED)
    assert answer.status_code == 200, answer.text
    assert len(await _preview(db, job.recording_id)) == COLUMNS


async def test_waveform_that_went_bad_keeps_no_file_from_being_finalised(db: Database, tmp_path: Path) -> None:
    room = await make_room(db)
    job = await room.claimed()
    cache_file = await room.open_file(job)
    await room.seal(job, cache_file)
    store = CacheFolder(tmp_path)
    store.prepare()
    path = store.installed_path(cache_file.id, "waveform")
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(24))
    await finalise.tick(db, StoredContent(store, 1), Waveforms(store, 1))
    assert await cache_files.cached_without_checksum(db) == []


def test_preview_keeps_its_levels_in_half_a_byte_each() -> None:
    levels = [number % LEVELS for number in range(COLUMNS)]
    assert len(packed(levels)) == 80
    assert unpacked(packed(levels)) == levels
    assert unpacked(packed([3])) == [3, 0]


def test_preview_shows_speech_as_well_as_a_loud_hall() -> None:
    assert (preview_level(0, 0), preview_level(-128, 127), preview_level(-1, 0)) == (0, 15, 1)
    assert 4 <= preview_level(-13, 12) <= 6


def drawn(folder: Path, bins: bytes, channels: int) -> tuple[Waveforms, Any]:
    """A store with one growing waveform."""
    store = CacheFolder(folder)
    store.prepare()
    cache_file = CacheFile(
        id=new_id(),
        recording_id=new_id(),
        node_id=new_id(),
        job_id=new_id(),
        epoch=1,
        origin=Origin.NORMAL,
        codec="wav",
        state=CacheState.RECEIVING,
        sha256=None,
        parts=None,
        facts=None,
        created_at=None,  # type: ignore[arg-type]
        cached_at=None,
    )
    path = store.path(cache_file.id, "waveform")
    path.parent.mkdir()
    path.write_bytes(struct.pack("<iIiiIi", 2, 1, 48_000, 512, 0, channels) + bins)
    return Waveforms(store, 2), cache_file


async def test_overview_has_the_extremes_of_all_channels_in_each_column(tmp_path: Path) -> None:
    bins = [[(-1, 1), (-2, 2)], [(-3, 0), (0, 5)], [(0, 0), (0, 0)], [(-9, 1), (0, 1)]]
    flat = b"".join(struct.pack("bb", *pair) for bin_ in bins for pair in bin_)
    waveforms, cache_file = drawn(tmp_path, flat, 2)
    assert await waveforms.overview(cache_file, 2) == Overview([-3, -9], [5, 1])
    assert await waveforms.overview(cache_file, 8) == Overview([-2, -2, -3, -3, 0, 0, -9, -9], [2, 2, 5, 5, 0, 0, 1, 1])


async def test_overview_of_nothing_is_empty(tmp_path: Path) -> None:
    waveforms, cache_file = drawn(tmp_path, b"", 2)
    assert await waveforms.overview(cache_file, 100) == Overview([], [])


@pytest.mark.parametrize(
    "head",
    [
        b"",
        struct.pack("<iIiiIi", 2, 1, 48_000, 512, 0, 1)[:23],
        struct.pack("<iIiiIi", 2, 1, 48_000, 512, 0, 0),
        struct.pack("<iIiiIi", 2, 1, 0, 512, 0, 2),
        struct.pack("<iIiiIi", 2, 1, 48_000, 512, 0, 2**31 - 1),
    ],
)
async def test_nothing_is_drawn_behind_a_head_that_is_not_whole_or_makes_no_sense(tmp_path: Path, head: bytes) -> None:
    waveforms, cache_file = drawn(tmp_path, bytes(8), 2)
    (path,) = (tmp_path / "incoming").glob("*/waveform")
    path.write_bytes(head)
    for asked in (waveforms.overview(cache_file, 8), waveforms.tile(cache_file, 0, 0, 8)):
        with pytest.raises(NotDrawnError):
            await asked


async def test_overview_of_many_hours_keeps_every_peak(tmp_path: Path) -> None:
    bins = 3_375_000
    flat = bytearray(bins * 4)
    flat[4 * 1_000_000] = 0x80
    waveforms, cache_file = drawn(tmp_path, bytes(flat), 2)
    overview = await waveforms.overview(cache_file, 800)
    assert len(overview.lows) == 800
    assert {column for column, low in enumerate(overview.lows) if low == -128} == {1_000_000 * 800 // bins}
