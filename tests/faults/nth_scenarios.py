"""Short lives of the three stores, of which every call can be made to fail.

They go on after a fault as the product does: an owner resumes its take, a loop of the agent tries again, an upload asks
how much is there.
"""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from agent.files import write_model
from agent.job_folder import JobFolder
from agent.owner.config import Capture, Interface
from agent.owner.state import OwnerState, Process, StateError, write_state
from agent.renderer.follow import follow
from agent.spool import Spool
from agent.states import Instant, JobState, NodeIdentity, Stage, StoredEvent
from core_rs import AudioError, PcmFormat, Take, TakeWriter, counter_pcm
from protocol.ids import new_id
from protocol.messages import ClaimedJob, EventReport, WavEncoding
from tests.faults.store_cache import LIMITS, PARTS, blocks, content_of, require_file, sealing_of
from tests.faults.store_content import make_take, provisional, render, render_task
from tests.faults.store_spool import claimed_job, moved_aside, require_values, text_of, values_on
from tests.faults.store_takes import durable_frames
from web.cache.folder import CacheFolder
from web.domain.errors import DigestMismatchError
from web.services.content.cache_content import CacheContent

TRIES = 3
ROOM_SECONDS = 0.3
RATE = 8_000
FORMAT = PcmFormat(2, RATE, "s16")
FIRST_FRAMES, SECOND_FRAMES = 12_000, 8_000
BLOCK_FRAMES = 2_000
UTC_NS = 1_800_000_000_000_000_000
TAKE_OPTIONS: dict[str, Any] = {"flush_interval_ms": 20, "segment_seconds": 1}
ID = UUID("01a1fd37-815d-706d-9547-b882eb3f4ccc")

Tell = Callable[[Any], None]


class ThreeSegments:
    """A take of two segments, its writer gone without an end mark, and one more segment after that."""

    def prepare(self, home: Path) -> None:
        """Nothing is needed."""

    def run(self, home: Path, disk: Path, tell: Tell) -> None:
        folder = disk / "take"
        writer = TakeWriter.create(folder, FORMAT, facts="{}", **TAKE_OPTIONS)
        writer.mark("start:one", 7)
        writer.note_clock(_ns(0), UTC_NS)
        writer = _pushed(writer, folder, FIRST_FRAMES, tell)
        del writer
        writer = TakeWriter.resume(folder, cause="owner_died", **TAKE_OPTIONS)
        begin = FIRST_FRAMES + RATE
        writer.note_clock(_ns(begin), UTC_NS + _ns(begin))
        writer = _pushed(writer, folder, begin + SECOND_FRAMES, tell, begin=begin)
        end = writer.close("stopped")
        assert end.drained, "the end is a kill"
        tell(end.end_frame)

    def check(self, home: Path, disk: Path, told: list[Any], *, is_whole: bool) -> None:
        """What was durable is there; and on a disk that works again the take can be gone on with."""
        folder = disk / "take"
        durable = durable_frames(folder, max(told, default=0))
        if not (folder / "ledger").exists():
            assert not told
            return
        take = Take.open(folder)
        if is_whole:
            assert take.end is not None
            assert take.marks == {"start:one": 7}
            assert sum(gap.frames for gap in take.gaps) + sum(one.frames for one in take.segments) == durable
        if take.end is None:
            TakeWriter.resume(folder, cause="owner_died").close("stopped")
            assert durable_frames(folder, durable) >= durable


class SpoolLife:
    """A job from its claim to its last trace, with an event, an owner and a rendition."""

    def prepare(self, home: Path) -> None:
        make_take(home / "source", frames=4_800)

    def run(self, home: Path, disk: Path, tell: Tell) -> None:
        asyncio.run(self._live(home, disk / "spool", tell))

    async def _live(self, home: Path, folder: Path, tell: Tell) -> None:
        spool: Spool = await _tried({}, tell, lambda: Spool.open(folder))
        identity = NodeIdentity(node_id=ID, name="Hall", token="t", controller_url="http://localhost")
        await _tried({"node": text_of(identity)}, tell, write_model, folder / "node.json", identity)
        spool.identity = identity
        run_2 = text_of(identity.model_copy(update={"node_run": 2}))
        await _tried({"node": run_2}, tell, lambda: spool.update_node(node_run=2))
        claim_id, claimed = new_id(), claimed_job()
        state, job_id = JobState.of(claimed), claimed.job_id
        later = state.model_copy(update={"stage": Stage.CAPTURING, "start_frame": 5})
        await _tried({f"claim:{claim_id}": str(claim_id)}, tell, spool.add_claim, claim_id)
        await _tried({f"job:{job_id}": text_of(state)}, tell, spool.add_job, state)
        await _tried({f"claim:{claim_id}": None}, tell, spool.drop_claim, claim_id)
        await _tried({"owner": "secret"}, tell, _start_owner, folder / "owner")
        await _tried(
            {f"job:{job_id}": text_of(later)},
            tell,
            lambda: spool.update_job(job_id, stage=Stage.CAPTURING, start_frame=5),
        )
        task, jobs = render_task(home / "source", WavEncoding()), spool.job_folder(job_id)
        await _tried({f"render:{job_id}": text_of(task)}, tell, write_model, jobs.render, task)
        await _tried({f"rendition:{job_id}": "made"}, tell, _render, jobs)
        event = _event(claimed)
        await _tried({f"event:{event.event.id}": text_of(event)}, tell, spool.add_event, event)
        await _tried({f"event:{event.event.id}": None}, tell, spool.drop_events, [event])
        await _tried({f"released:{task.take_id}": str(ID)}, tell, spool.add_released, task.take_id, ID)
        gone = {f"{kind}:{job_id}": None for kind in ("job", "render", "rendition")}
        await _tried(gone, tell, spool.remove_job, job_id)
        assert spool.broken == []

    def check(self, home: Path, disk: Path, told: list[Any], *, is_whole: bool) -> None:
        found = values_on(disk / "spool")
        # What could not be opened was moved aside, by a rename; it says nothing any more, and is not gone.
        aside = " ".join(moved_aside(disk / "spool"))
        told = [[word, _without(changes, aside)] for word, changes in told]
        require_values({key: value for key, value in found.items() if not _is_in(aside, key)}, {}, told)
        if is_whole and not aside:
            assert {key.split(":")[0] for key in found} >= {"node", "owner", "released"}
            assert not any(key.startswith("job:") for key in found)


class CacheSeal:
    """A cache file that arrives in pieces, is proved and installed; and one that is given up."""

    def prepare(self, home: Path) -> None:
        make_take(home / "take", frames=6_000)
        render(JobFolder(home / "source-0"), render_task(home / "take", WavEncoding()))

    def run(self, home: Path, disk: Path, tell: Tell) -> None:
        asyncio.run(self._live(home, disk, tell))

    async def _live(self, home: Path, disk: Path, tell: Tell) -> None:
        folder = CacheFolder(disk / "cache")
        await _tried(None, tell, folder.prepare)
        content = CacheContent(folder, LIMITS)
        tell(["new", str(ID), 0])
        acknowledged = dict.fromkeys(PARTS, 0)
        for turn in range(TRIES):
            try:
                await self._send(home, content, acknowledged, tell)
                tell(["sealing", str(ID)])
                async with content.alone_with(ID):
                    await content.prove(ID, sealing_of(home, 0))
                break
            except Exception as fault:
                for part in PARTS:
                    await self._look_again(content, part, fault, acknowledged, tell)
                if turn == TRIES - 1:
                    raise
        tell(["sealed", str(ID)])

    async def _send(self, home: Path, content: CacheContent, acknowledged: dict[Any, int], tell: Tell) -> None:
        for part in PARTS:
            whole = provisional(part, content_of(home, 0, part))
            while (start := await content.offset(ID, part)) < len(whole):
                stop = min(len(whole), start + 16_000)
                offset = await content.append(
                    ID, part, start, stop, blocks(whole[start:stop]), received_at=time.monotonic()
                )
                acknowledged[part] = offset
                tell(["acknowledged", str(ID), part, offset])

    async def _look_again(
        self, content: CacheContent, part: Any, fault: Exception, acknowledged: dict[Any, int], tell: Tell
    ) -> None:
        """Where the store says by its offset that it lost some, that is sent again from there."""
        offset = await content.offset(ID, part)
        is_refused = isinstance(fault, DigestMismatchError) and fault.part == part
        if offset < acknowledged[part] or is_refused:
            acknowledged[part] = offset
            tell(["refused", str(ID), part])

    def check(self, home: Path, disk: Path, told: list[Any], *, is_whole: bool) -> None:
        """As after a power cut; and what is there can be gone on with."""
        file: dict[str, Any] = {"source": 0, "state": "growing", "parts": dict.fromkeys(PARTS, 0)}
        for word, _, *more in told:
            if word == "acknowledged":
                file["parts"][more[0]] = more[1]
            elif word == "refused":
                file["parts"][more[0]] = 0
            elif word != "new":
                file["state"] = word
        assert not is_whole or file["state"] == "sealed"
        require_file(home, CacheFolder(disk / "cache"), ID, file)
        asyncio.run(self._live(home, disk, lambda said: None))
        shutil.rmtree(disk / "cache")


def _pushed(writer: TakeWriter, folder: Path, until: int, tell: Tell, begin: int = 0) -> TakeWriter:
    """Pushes the counter; where writing fails for good a new writer goes on, as in an owner. Raises OSError."""
    frame = begin
    for _ in range(TRIES):
        try:
            while frame < until:
                writer.push(counter_pcm(frame + 1, BLOCK_FRAMES), _ns(frame))
                frame += BLOCK_FRAMES
                _wait_durable(writer, frame, tell)
            return writer
        except OSError as fault:
            last = fault
            if writer.fault is None:
                raise
            writer = TakeWriter.resume(folder, cause="write_error", **TAKE_OPTIONS)
    raise last


def _wait_durable(writer: TakeWriter, frame: int, tell: Tell) -> None:
    """A writer waits for room by itself; nobody waits with it here."""
    gives_up_at = time.monotonic() + ROOM_SECONDS
    while writer.durable_frame < frame:
        if writer.fault is not None:
            raise OSError(writer.fault)
        if writer.standing == "full" and time.monotonic() > gives_up_at:
            raise OSError("the disk is full")
        time.sleep(0.001)
    tell(writer.durable_frame)


def _ns(frame: int) -> int:
    return frame * 1_000_000_000 // RATE


async def _tried(changes: dict[str, str | None] | None, tell: Tell, do: Callable[..., Any], *arguments: Any) -> Any:
    """Does it, again when that fails, as a loop of the product. Raises what the last try raises."""
    for turn in range(TRIES):
        if changes is not None:
            tell(["begin", changes])
        try:
            done = do(*arguments)
            if isinstance(done, Awaitable):
                done = await done
        except (OSError, AudioError, StateError):
            if turn == TRIES - 1:
                raise
        else:
            if changes is not None:
                tell(["done", None])
            return done
    raise AssertionError("not reached")


def _without(changes: dict[str, str | None] | None, aside: str) -> dict[str, str | None]:
    return {key: value for key, value in (changes or {}).items() if not _is_in(aside, key)}


def _is_in(aside: str, key: str) -> bool:
    return key.split(":")[-1] in aside


def _render(job: JobFolder) -> None:
    """As a renderer that is started again after each fault: what is finished is not touched."""
    if not job.rendition.exists():
        follow(job)


def _start_owner(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    process = Process.of(1)
    assert process is not None
    write_state(OwnerState(folder, process, "secret", Interface("synthetic", "counter"), Capture(2, 48_000, "s16")))


def _event(claimed: ClaimedJob) -> StoredEvent:
    report = EventReport(id=new_id(), job_id=claimed.job_id, kind="gap", severity="warning", message="A gap.", age_ms=0)
    return StoredEvent(event=report, at=Instant.in_ms(0), utc_ns=1)
