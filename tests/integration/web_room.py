"""A controller that listens, as agents and programs meet it, and content for it. Shares no code with the core."""

import asyncio
import hashlib
import json
import random
import struct
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx

from protocol.ids import new_id
from protocol.messages import (
    EPOCH_HEADER,
    HEAD_BYTES_OF,
    NODE_RUN_HEADER,
    CacheFileRequest,
    ClaimedJob,
    Origin,
    PartName,
    PartSeal,
    SealRequest,
)
from protocol.timeouts import Timeouts
from tests.encoded import Encoded
from tests.integration.contract import contract_of
from tests.integration.room import Room, make_room
from web.domain.access import system
from web.serve import listening, run_server
from web.services.entry import tokens
from web.settings import ControllerSettings
from web.store.database import Database

AGENT = "/api/agent/v1"
PARTS: tuple[PartName, ...] = ("audio", "waveform", "seek", "ledger")


def patient(timeouts: Timeouts) -> Timeouts:
    """The same, but for the database: that is no faster where time goes faster, and slow on a busy machine."""
    return replace(timeouts, database_acquire=30.0, database_statement=30.0)


class PatientSettings(ControllerSettings):
    """Those of a controller that waits for its database."""

    @property
    def timeouts(self) -> Timeouts:
        return patient(super().timeouts)


@dataclass
class Running:
    """A controller that answers."""

    url: str
    stop: asyncio.Event
    done: "asyncio.Task[None]"

    async def end(self) -> None:
        """Asks it to stop and waits until it has."""
        self.stop.set()
        await self.done


@asynccontextmanager
async def running(settings: ControllerSettings, database_url: str) -> AsyncIterator[Running]:
    """A controller of this process on a free port, until the end of the block or of itself."""
    stop = asyncio.Event()
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with listening(settings) as listener:
        work = asyncio.create_task(run_server(settings, database_url, listener, stop, address.set_result))
        first: set[asyncio.Future[Any]] = {work, address}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if not address.done():
            await work
        controller = Running(address.result(), stop, work)
        try:
            yield controller
        finally:
            await controller.end()


def settings_in(folder: Path, **changes: Any) -> ControllerSettings:
    """Where nothing is counted that a test may do more often than a program should."""
    unlimited = {"api_calls_per_minute": 10**6, "api_failures_per_minute": 10**6}
    return PatientSettings(**{"home": folder, "port": 0, "disk_reserve_bytes": 0, **unlimited, **changes})


@asynccontextmanager
async def user_client(url: str, db: Database) -> AsyncIterator[httpx.AsyncClient]:
    """A program with the token of the administrator; every answer it gets is held against the OpenAPI document."""
    token = await tokens.create_token(db, "test", by=system("test"))
    contract = await contract_of(url)
    async with httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {token}"},
        event_hooks={"response": [contract.check]},
        timeout=60,
        trust_env=False,
        verify=False,
    ) as client:
        yield client


@dataclass
class WebAgent:
    """The agent of one node, speaking HTTP."""

    room: Room
    http: httpx.AsyncClient

    @asynccontextmanager
    async def at(self, url: str) -> "AsyncIterator[WebAgent]":
        """The same agent at another controller."""
        async with _node_client(url, self.room.token) as http:
            yield replace(self, http=http)

    async def open_file(self, job: ClaimedJob, cache_file_id: UUID | None = None, **changes: Any) -> UUID:
        request = CacheFileRequest(
            **{
                "id": cache_file_id or new_id(),
                "job_id": job.job_id,
                "epoch": job.epoch,
                "node_run": self.room.node_run,
                "origin": Origin.NORMAL,
                "codec": "wav",
                **changes,
            }
        )
        answer = await self.post("/cache-files", request.model_dump_json())
        assert answer.status_code == 200, answer.text
        return request.id

    async def post(self, path: str, body: str) -> httpx.Response:
        return await self.http.post(path, content=body, headers={"Content-Type": "application/json"})

    def append_headers(self, job: ClaimedJob, start: int, length: int) -> dict[str, str]:
        return {
            EPOCH_HEADER: str(job.epoch),
            NODE_RUN_HEADER: str(self.room.node_run),
            "Content-Range": f"bytes {start}-{start + length - 1}/*",
        }

    async def append(
        self, job: ClaimedJob, cache_file_id: UUID, part: PartName, data: bytes, start: int = 0
    ) -> httpx.Response:
        headers = self.append_headers(job, start, len(data))
        return await self.http.put(f"/cache-files/{cache_file_id}/{part}", content=data, headers=headers)

    async def offset(self, cache_file_id: UUID, part: PartName) -> int:
        answer = await self.http.head(f"/cache-files/{cache_file_id}/{part}")
        return int(answer.headers["Upload-Offset"])

    async def send(self, job: ClaimedJob, cache_file_id: UUID, content: "Content") -> None:
        """Every part, with its provisional head."""
        for part in PARTS:
            answer = await self.append(job, cache_file_id, part, content.provisional(part))
            assert answer.status_code == 204, answer.text

    async def seal(self, job: ClaimedJob, cache_file_id: UUID, content: "Content", **changes: Any) -> httpx.Response:
        request = content.sealing(self.room, job).model_copy(update=changes)
        return await self.post(f"/cache-files/{cache_file_id}/seal", request.model_dump_json())

    async def deliver(self, job: ClaimedJob, content: "Content") -> UUID:
        """Opens, sends and seals."""
        cache_file_id = await self.open_file(job)
        await self.send(job, cache_file_id, content)
        answer = await self.seal(job, cache_file_id, content)
        assert answer.status_code == 200, answer.text
        return cache_file_id


@asynccontextmanager
async def web_agent(url: str, db: Database, name: str = "Town hall") -> AsyncIterator[WebAgent]:
    """A node that has joined, with inputs, and its agent."""
    room = await make_room(db, name)
    async with _node_client(url, room.token) as http:
        yield WebAgent(room, http)


def _node_client(url: str, token: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url + AGENT, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False, verify=False
    )


@dataclass(frozen=True)
class Content:
    """A rendition: stereo s16 at 48 kHz, with final heads."""

    frames: int
    audio: bytes
    waveform: bytes
    seek: bytes
    ledger: bytes

    def part(self, name: PartName) -> bytes:
        return {"audio": self.audio, "waveform": self.waveform, "seek": self.seek, "ledger": self.ledger}[name]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.audio).hexdigest()

    def provisional(self, name: PartName) -> bytes:
        """As it is sent: the head will only be true with the seal."""
        head_bytes = min(HEAD_BYTES_OF[name], len(self.part(name)))
        return bytes(head_bytes) + self.part(name)[head_bytes:]

    def sealing(self, room: Room, job: ClaimedJob) -> SealRequest:
        facts = room.sealing(job).facts.model_copy(
            update={"frames": self.frames, "start_frame": 1_000, "end_frame": 1_000 + self.frames}
        )
        seals = {part: _sealed(self.part(part), HEAD_BYTES_OF[part]) for part in PARTS}
        return SealRequest(
            job_id=job.job_id,
            epoch=job.epoch,
            node_run=room.node_run,
            origin=Origin.NORMAL,
            facts=facts,
            audio=seals["audio"],
            waveform=seals["waveform"],
            seek=seals["seek"],
            ledger=seals["ledger"],
        )


def make_content(frames: int = 100_000, seed: int = 1) -> Content:
    samples = random.Random(seed).randbytes(frames * 4)
    return Content(
        frames,
        audio=wav_head(frames) + samples,
        waveform=make_waveform(frames, seed + 1),
        seek=b"".join(struct.pack("<QQ", 4096 + frame * 4, frame) for frame in range(0, frames, 48_000)),
        ledger=json.dumps({"gaps": [], "seed": seed}).encode(),
    )


def encoded_content(encoded: Encoded) -> Content:
    """The same of stereo that another program encoded."""
    return Content(
        encoded.frames,
        encoded.audio,
        make_waveform(encoded.frames),
        encoded.seek,
        ledger=json.dumps({"gaps": []}).encode(),
    )


def make_waveform(frames: int, seed: int = 1) -> bytes:
    bins = -(-frames // 512)
    return struct.pack("<iIiiIi", 2, 1, 48_000, 512, bins, 2) + random.Random(seed).randbytes(bins * 2 * 2)


def wav_head(frames: int, channels: int = 2, head_bytes: int = 4096) -> bytes:
    """A plain head whose samples begin at byte 4096."""
    data_bytes = frames * channels * 2
    form = struct.pack("<HHIIHH", 1, channels, 48_000, 48_000 * channels * 2, channels * 2, 16)
    front = b"RIFF" + struct.pack("<I", head_bytes - 8 + data_bytes) + b"WAVE"
    front += b"fmt " + struct.pack("<I", len(form)) + form
    padding = head_bytes - len(front) - 16
    return front + b"JUNK" + struct.pack("<I", padding) + bytes(padding) + b"data" + struct.pack("<I", data_bytes)


def _sealed(data: bytes, head_bytes: int) -> PartSeal:
    head, body = data[:head_bytes], data[head_bytes:]
    return PartSeal(
        bytes=len(data),
        head=b64encode(head).decode(),
        head_sha256=hashlib.sha256(head).hexdigest(),
        body_sha256=hashlib.sha256(body).hexdigest(),
    )


async def begin_append(
    agent: WebAgent, job: ClaimedJob, cache_file_id: UUID, data: bytes, start: int, sent: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Announces all of the data, sends some of it, and stays."""
    base = urlsplit(str(agent.http.base_url))
    reader, writer = await asyncio.open_connection(base.hostname, base.port)
    headers = agent.append_headers(job, start, len(data)) | {
        "Host": str(base.netloc),
        "Authorization": agent.http.headers["Authorization"],
        "Content-Length": str(len(data)),
    }
    lines = [f"PUT {base.path}cache-files/{cache_file_id}/audio HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + data[:sent])
    await writer.drain()
    return reader, writer
