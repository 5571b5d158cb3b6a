"""A node with inputs and an agent's voice, made through the services."""

import asyncio
import hashlib
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from protocol.ids import new_id
from protocol.messages import (
    CacheFileRequest,
    CaptureFormat,
    ChannelLevel,
    ClaimedJob,
    ClaimRequest,
    ClockPairReport,
    EndReason,
    EnrolRequest,
    FinishRequest,
    GapReport,
    HeartbeatAnswer,
    HeartbeatRequest,
    InterfaceRef,
    InterfaceReport,
    Inventory,
    JobReport,
    Origin,
    PartSeal,
    Phase,
    RecordingFacts,
    RunRequest,
    SealRequest,
)
from tests import profiles
from web.domain.access import NodeActor, system
from web.domain.cache_files import CacheFile, VerifiedPart, VerifiedParts, seals_in
from web.domain.recordings import Recording, StartRecording
from web.services.content import cache_files
from web.services.recorders import joining, nodes
from web.services.work import jobs, recordings
from web.store.database import Database

SOMEBODY = system("test")
COUNTER = InterfaceRef(backend="synthetic", name="counter")
WIDE = InterfaceRef(backend="synthetic", name="counter-32")
STEREO = CaptureFormat(channels=2, sample_rate_hz=48_000, sample_type="s16")


@dataclass
class Room:
    """One node, and its agent in its present run."""

    db: Database
    node: NodeActor
    token: str
    node_run: int = 0
    interfaces: list[InterfaceRef] = field(default_factory=lambda: [COUNTER, WIDE])

    def older(self, runs: int = 1) -> "Room":
        """The agent as it was some runs ago."""
        return replace(self, node_run=self.node_run - runs)

    async def start(self, name: str = "Council", **wanted: Any) -> Recording:
        """In WAV, unless another profile is wanted: what these tests send is made without an encoder."""
        request = StartRecording(
            **{"id": new_id(), "node_id": self.node.node_id, "name": name, "profile_id": profiles.WAV, **wanted}
        )
        return await recordings.start_recording(self.db, request, by=SOMEBODY)

    async def claim(self, claim_id: UUID | None = None, number: int = 0) -> ClaimedJob | None:
        request = ClaimRequest(
            claim_id=claim_id or new_id(), node_run=self.node_run, number=number, interfaces=self.interfaces
        )
        return await jobs.claim_next(self.db, request, node=self.node)

    async def claimed(self, **wanted: Any) -> ClaimedJob:
        """A recording that was started and claimed."""
        await self.start(**wanted)
        job = await self.claim()
        assert job is not None
        return job

    async def heartbeat(
        self,
        *held: ClaimedJob,
        phase: Phase = Phase.CAPTURING,
        epoch: int | None = None,
        uploaded_bytes: int = 0,
        knows_newer_run: bool | None = None,
    ) -> HeartbeatAnswer:
        reports = [
            JobReport(
                job_id=job.job_id, epoch=epoch or job.epoch, phase=phase, frames=48_000, uploaded_bytes=uploaded_bytes
            )
            for job in held
        ]
        request = HeartbeatRequest(node_run=self.node_run, jobs=reports, knows_newer_run=knows_newer_run)
        return await jobs.heartbeat(self.db, request, node=self.node)

    async def finish(self, job: ClaimedJob, outcome: str = "failed", reason: str = "device_gone") -> None:
        request = FinishRequest(
            epoch=job.epoch,
            node_run=self.node_run,
            outcome=outcome,  # type: ignore[arg-type]
            reason=reason,
            message="The input is gone. Connect it.",
        )
        await jobs.finish_job(self.db, job.job_id, request, node=self.node)

    async def open_file(
        self, job: ClaimedJob, origin: Origin = Origin.NORMAL, cache_file_id: UUID | None = None
    ) -> CacheFile:
        request = CacheFileRequest(
            id=cache_file_id or new_id(),
            job_id=job.job_id,
            epoch=job.epoch,
            node_run=self.node_run,
            origin=origin,
            codec="wav",
        )
        return await cache_files.open_cache_file(self.db, request, node=self.node)

    async def append(self, job: ClaimedJob, cache_file: CacheFile) -> CacheFile:
        return await cache_files.require_append(
            self.db, cache_file.id, epoch=job.epoch, node_run=self.node_run, node=self.node
        )

    async def seal(self, job: ClaimedJob, cache_file: CacheFile, request: SealRequest | None = None) -> None:
        request = request or self.sealing(job)
        await cache_files.seal(self.db, cache_file.id, request, stored(request), node=self.node)

    def sealing(
        self,
        job: ClaimedJob,
        origin: Origin = Origin.NORMAL,
        gaps: list[GapReport] | None = None,
        end_reason: EndReason = EndReason.STOPPED,
        peak_dbfs: float | None = -18.0,
    ) -> SealRequest:
        facts = RecordingFacts(
            take_id=new_id(),
            start_frame=1_000,
            end_frame=97_000,
            capture=STEREO,
            channel_map=job.settings.channel_map,
            encoding=job.settings.encoding,
            encoder_version="1",
            channels=2,
            sample_rate_hz=48_000,
            frames=96_000,
            gaps=gaps or [],
            clock_pairs=[ClockPairReport(frame=48_000, utc_ns=1_800_000_001_000_000_000)],
            segments=[],
            levels=[ChannelLevel(peak_dbfs=peak_dbfs, rms_dbfs=peak_dbfs)] * 2,
            end_reason=end_reason,
        )
        return SealRequest(
            job_id=job.job_id,
            epoch=job.epoch,
            node_run=self.node_run,
            origin=origin,
            audio=_part("audio", 384_044),
            waveform=_part("waveform", 774),
            seek=_part("seek", 32),
            ledger=_part("ledger", 100),
            facts=facts,
        )


def stored(request: SealRequest) -> VerifiedParts:
    """What the store holds when nothing went wrong."""
    return {
        name: VerifiedPart(part.bytes, part.head_sha256, part.body_sha256) for name, part in seals_in(request).items()
    }


async def make_room(db: Database, name: str = "Town hall", capacity: int = 3) -> Room:
    """A node that has joined, told what it has, and prefers its counter."""
    code = await joining.create_enrolment_code(db, name, by=SOMEBODY)
    answer = await joining.enrol(db, EnrolRequest(code=code.code, version="1.0"))
    room = Room(db, await joining.authenticate_node(db, answer.token), answer.token)
    room.node_run = (await nodes.begin_run(db, RunRequest(previous_run=0, version="1.0"), node=room.node)).node_run
    await nodes.update_inventory(db, inventory(room.node_run), node=room.node)
    await nodes.prefer_interface(db, answer.node_id, COUNTER, by=SOMEBODY)
    await nodes.set_capacity(db, answer.node_id, capacity, by=SOMEBODY)
    return room


def inventory(node_run: int, names: tuple[str, ...] = ("counter", "counter-32")) -> Inventory:
    channels = {"counter": 2, "counter-32": 32}
    return Inventory(
        node_run=node_run,
        version="1.0",
        interfaces=[
            InterfaceReport(
                backend="synthetic",
                name=name,
                label=name.capitalize(),
                max_channels=channels[name],
                sample_rates_hz=[48_000] if name == "counter" else [16_000, 48_000, 96_000],
                sample_types=["s16", "s32"],
                default_capture=STEREO,
            )
            for name in names
        ],
        spool_free_bytes=1_000,
        spool_total_bytes=2_000,
        utc_ns=1_800_000_000_000_000_000,
    )


def _part(name: str, size: int) -> PartSeal:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return PartSeal(bytes=size, head="", head_sha256=digest, body_sha256=digest[::-1])


async def until_somebody_waits(owner: Any) -> None:
    """For a lock in the database of this test."""
    async with asyncio.timeout(60):
        while not await owner.fetchval(_WAITS):  # noqa: ASYNC110  (another connection tells it)
            await asyncio.sleep(0.01)


_WAITS = """
SELECT EXISTS (SELECT FROM pg_locks
               WHERE NOT granted AND pid IN (SELECT pid FROM pg_locks WHERE database =
                                             (SELECT oid FROM pg_database WHERE datname = current_database())))
"""
