"""The controller's cache store as the store of a campaign: parts that grow, are sealed, and are discarded."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from agent.job_folder import JobFolder
from agent.states import Rendition
from protocol.ids import new_id
from protocol.messages import HEAD_BYTES_OF, FlacEncoding, Mp3Encoding, Origin, PartName, SealRequest, WavEncoding
from tests.faults.store_content import make_take, provisional, render, render_task
from web.cache.folder import CacheFolder
from web.domain.errors import DigestMismatchError
from web.services.content.cache_content import CacheContent, ContentLimits

ENCODINGS = [WavEncoding(), FlacEncoding(bits=16), Mp3Encoding(vbr_quality=5)]
PARTS: tuple[PartName, ...] = tuple(HEAD_BYTES_OF)
MOST_GROWING = 3
MOST_SEALED = 12
LIMITS = ContentLimits(
    request_bytes=1 << 26, cache_file_bytes=1 << 30, disk_reserve_bytes=0, workers=4, stall_seconds=60.0
)

Known = dict[str, Any]


class CacheStore:
    """Appends of any size to a few cache files; whole ones are proved and installed, old ones discarded.

    `known["files"]`: of each, its source, how far each part was acknowledged, and a state: growing, sealing, sealed,
    discarding.
    """

    seconds = (0.02, 0.35)

    def prepare(self, home: Path) -> None:
        for number, encoding in enumerate(ENCODINGS):
            make_take(home / f"take-{number}", frames=30_000 + number * 977)
            render(JobFolder(home / f"source-{number}"), render_task(home / f"take-{number}", encoding))

    def work(self, disk: Path, known: Known, rng: random.Random, tell: Callable[[Any], None]) -> None:
        asyncio.run(_Life(disk, known.get("files", {}), rng, tell).live())

    def check(self, disk: Path, known: Known, told: list[Any]) -> Known:
        files: dict[str, Any] = dict(known.get("files", {}))
        counts = dict(known.get("counts", {}))
        for word, name, *more in told:
            if word == "new":
                files[name] = {"source": more[0], "state": "growing", "parts": dict.fromkeys(PARTS, 0)}
            elif word == "acknowledged":
                files[name]["parts"][more[0]] = more[1]
            elif word == "refused":
                files[name]["parts"][more[0]] = 0
            elif word == "gone":
                del files[name]
            else:
                files[name]["state"] = word
            counts[word] = counts.get(word, 0) + 1
        store = CacheFolder(disk / "cache")
        for name, file in files.items():
            require_file(disk.parent, store, UUID(name), file)
        if (disk / "cache" / "files").exists():
            placed = {path.name for path in (disk / "cache" / "files").glob("*/*")}
            early = placed - {name for name, file in files.items() if file["state"] != "growing"}
            assert not early, f"{early} lie where only sealed files do"
        return {"files": files, "counts": counts}


def require_file(home: Path, store: CacheFolder, cache_file_id: UUID, file: Known) -> None:
    """Raises AssertionError unless everything acknowledged is there and nothing unsealed is in a final place."""
    for part in PARTS:
        whole = content_of(home, file["source"], part)
        installed = store.installed_path(cache_file_id, part)
        words = f"{part} of {cache_file_id}, {file['state']}"
        if file["state"] == "discarding":
            continue
        if file["state"] == "sealed" or installed.exists():
            assert installed.exists(), f"{words}: it is not where sealed files are"
            assert installed.read_bytes() == whole, f"{words}: it is not what was sealed"
            assert file["state"] != "growing", f"{words}: it was never sealed and lies where sealed files are"
            continue
        acknowledged, head_bytes = file["parts"][part], HEAD_BYTES_OF[part]
        path = store.path(cache_file_id, part)
        found = path.read_bytes() if path.exists() else b""
        assert len(found) >= acknowledged, f"{words}: {acknowledged} bytes were acknowledged, {len(found)} are there"
        assert found[head_bytes:acknowledged] == whole[head_bytes:acknowledged], f"{words}: other bytes than were sent"


def content_of(home: Path, source: int, part: PartName) -> bytes:
    return JobFolder(home / f"source-{source}").part(part).read_bytes()


def sealing_of(home: Path, source: int) -> SealRequest:
    rendition = Rendition.model_validate_json(JobFolder(home / f"source-{source}").rendition.read_bytes())
    return SealRequest(
        job_id=new_id(),
        epoch=1,
        node_run=1,
        origin=Origin.NORMAL,
        audio=rendition.audio,
        waveform=rendition.waveform,
        seek=rendition.seek,
        ledger=rendition.ledger,
        facts=rendition.facts,
    )


async def blocks(content: bytes) -> AsyncIterator[bytes]:
    yield content


class _Life:
    def __init__(self, disk: Path, files: dict[str, Any], rng: random.Random, tell: Callable[[Any], None]) -> None:
        self._home = disk.parent
        self._rng = rng
        self._tell = tell
        self._folder = CacheFolder(disk / "cache")
        self._folder.prepare()
        self._content = CacheContent(self._folder, LIMITS)
        self._files = {UUID(name): (file["source"], file["state"]) for name, file in files.items()}

    async def live(self) -> None:
        for cache_file_id, (_, state) in list(self._files.items()):
            if state == "discarding":
                await self._discard(cache_file_id)
        while True:
            growing = [one for one, (_, state) in self._files.items() if state in ("growing", "sealing")]
            sealed = [one for one, (_, state) in self._files.items() if state == "sealed"]
            if len(growing) < MOST_GROWING:
                self._begin()
            elif len(sealed) > MOST_SEALED:
                await self._discard(sealed[0])
            else:
                await self._send(self._rng.choice(growing))

    def _begin(self) -> None:
        cache_file_id, source = new_id(), self._rng.randrange(len(ENCODINGS))
        self._tell(["new", str(cache_file_id), source])
        self._files[cache_file_id] = (source, "growing")

    async def _send(self, cache_file_id: UUID) -> None:
        """One append of one part, or the seal of what is whole."""
        source, _ = self._files[cache_file_id]
        contents = {part: provisional(part, content_of(self._home, source, part)) for part in PARTS}
        offsets = {part: await self._content.offset(cache_file_id, part) for part in PARTS}
        missing = [part for part in PARTS if offsets[part] < len(contents[part])]
        if not missing:
            await self._seal(cache_file_id)
            return
        part = self._rng.choice(missing)
        start, content = offsets[part], contents[part]
        stop = min(len(content), start + self._rng.choice([1, 4095, 4096, 40_000, len(content)]))
        offset = await self._content.append(
            cache_file_id, part, start, stop, blocks(content[start:stop]), received_at=time.monotonic()
        )
        self._tell(["acknowledged", str(cache_file_id), part, offset])

    async def _seal(self, cache_file_id: UUID) -> None:
        source, _ = self._files[cache_file_id]
        self._tell(["sealing", str(cache_file_id)])
        try:
            async with self._content.alone_with(cache_file_id):
                await self._content.prove(cache_file_id, sealing_of(self._home, source))
        except DigestMismatchError as mismatch:
            # What was never acknowledged may have come back as zeros; it is emptied and sent again.
            self._tell(["refused", str(cache_file_id), mismatch.part])
            return
        self._tell(["sealed", str(cache_file_id)])
        self._files[cache_file_id] = (source, "sealed")

    async def _discard(self, cache_file_id: UUID) -> None:
        self._tell(["discarding", str(cache_file_id)])
        await self._content.discard(cache_file_id)
        self._tell(["gone", str(cache_file_id)])
        del self._files[cache_file_id]
