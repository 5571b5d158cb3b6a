"""Follows the files of a rendition to the controller, seals them there, and asks until they were read back there.

Resumes where the controller says it is.
"""

import asyncio
from typing import Any
from uuid import UUID

import structlog

from agent.controller_client import ControllerClient, FileRange, Lease
from agent.errors import (
    ControllerFault,
    DigestMismatchError,
    JobGoneError,
    LeaseLostError,
    NodeRunSupersededError,
    UnauthorisedError,
    WrongOffsetError,
)
from agent.health import Health
from agent.job_folder import JobFolder
from agent.patience import Patience, tell
from agent.settings import AgentSettings
from agent.spool import Listener, Progress, Spool
from agent.states import Instant, JobState, Rendition, Stage
from core_rs import sha256_file
from protocol.ids import new_id
from protocol.messages import HEAD_BYTES_OF, CacheFileAnswer, CacheFileRequest, Origin, PartName, SealRequest, Wish

log = structlog.get_logger()

REQUEST_BYTES = 8 * 1024 * 1024
"""Most bytes of one request."""
MISMATCHES_BEFORE_ALARM = 3
REFUSALS_BEFORE_ALARM = 3
_FOLLOWED = {Stage.CAPTURING, Stage.FINISHING, Stage.UPLOADING, Stage.SEALED}
_OTHERS_EVERY = 4
"""Seek index and waveform grow slowly: they are sent in one of so many rounds."""


class Uploads:
    """Gives every job with content a task of its own; requests with content are bounded in number."""

    def __init__(self, settings: AgentSettings, spool: Spool, client: ControllerClient, health: Health) -> None:
        self._settings = settings
        self._spool = spool
        self._client = client
        self._health = health
        self._slots = asyncio.Semaphore(settings.uploads_limit)
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Goes on for ever. Raises NodeRunSupersededError when another agent took this node's place."""
        await self._spool.registered.wait()
        try:
            with self._spool.listening() as listener:
                while True:
                    self._start_tasks()
                    self._end_tasks()
                    await listener.wait(self._settings.timeouts.heartbeat)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._tasks.clear()

    def _start_tasks(self) -> None:
        for job_id, state in self._spool.jobs.items():
            if _is_followed(state) and job_id not in self._tasks:
                upload = Upload(self._settings, self._spool, self._client, self._health, self._slots, job_id)
                task = asyncio.create_task(upload.run(), name=f"upload {job_id}")
                task.add_done_callback(lambda _: self._spool.ring())
                self._tasks[job_id] = task

    def _end_tasks(self) -> None:
        for job_id, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[job_id]
                task.result()


class Upload:
    """One rendition on its way."""

    def __init__(
        self,
        settings: AgentSettings,
        spool: Spool,
        client: ControllerClient,
        health: Health,
        slots: asyncio.Semaphore,
        job_id: UUID,
    ) -> None:
        self._timeouts = settings.timeouts
        self._spool = spool
        self._client = client
        self._health = health
        self._slots = slots
        self._job_id = job_id
        self._folder: JobFolder = spool.job_folder(job_id)
        self._opened: UUID | None = None
        self._offsets: dict[PartName, int] = {}
        self._safe_before = 0
        self._rounds = 0
        self._mismatches = 0
        self._patience = Patience(self._timeouts)
        self._verdict_pause = self._timeouts.upload_pause

    async def run(self) -> None:
        """Until the content is sealed and was read back, or nobody wants it."""
        with self._spool.listening() as listener:
            while (state := self._spool.jobs.get(self._job_id)) and _is_followed(state):
                try:
                    await self._step_under_lease(state, listener)
                    self._patience.reset()
                except NodeRunSupersededError:
                    raise
                except JobGoneError:
                    return
                except Exception as fault:
                    if self._has_progressed():
                        self._patience.reset()
                    self._offsets.clear()
                    seconds = self._patience.after(fault)
                    tell(f"upload {self._job_id}", fault, seconds)
                    await asyncio.sleep(seconds)

    async def _step_under_lease(self, state: JobState, listener: Listener) -> None:
        """One step. Without a lease it goes on as salvage, unless that is refused too: then it is offered later."""
        try:
            await self._step(state, listener)
        except LeaseLostError as lost:
            await self._lease_lost(state, lost)
            if state.owed or state.wish is Wish.CANCEL:
                await asyncio.sleep(self._timeouts.retry_longest)
        except (NodeRunSupersededError, UnauthorisedError):
            raise
        except ControllerFault as refusal:
            await self._refused(refusal)
            raise

    async def _step(self, state: JobState, listener: Listener) -> None:
        """Sends what is new; once it is all there, seals it; then asks whether it was read back."""
        if state.stage is Stage.SEALED:
            await self._ask_verdict(state)
            return
        if state.owed and state.stage is not Stage.UPLOADING:
            await listener.wait(self._timeouts.heartbeat)
            return
        state = await self._open(state)
        rendition = await asyncio.to_thread(self._folder.read_rendition) if state.stage is Stage.UPLOADING else None
        try:
            await self._send_new(state, rendition)
            if rendition is not None:
                await self._seal(state, rendition)
                return
        except WrongOffsetError:
            await self._ask_offsets(state)
            return
        except ControllerFault as fault:
            if fault.code != "not_found":
                raise
            log.warning("the controller does not know the cache file, a new one is begun", job_id=str(self._job_id))
            await self._begin_anew()
            await asyncio.sleep(self._timeouts.retry_first)
            return
        await listener.wait(self._timeouts.upload_pause / (4 if state.stage is Stage.FINISHING else 1))

    def _has_progressed(self) -> bool:
        """Whether the controller has got more since the last fault."""
        safe = sum(self._offsets.values())
        progressed, self._safe_before = safe > self._safe_before, max(safe, self._safe_before)
        return progressed

    # ---- the cache file ----

    async def _open(self, state: JobState) -> JobState:
        """Under an id that is on disk first; the answer says how much the controller has."""
        origin = Origin.SALVAGED if state.owed else Origin.NORMAL
        if state.cache_file_id is None or state.cache_file_origin is not origin:
            state = await self._update(cache_file_id=new_id(), cache_file_origin=origin, seal_sent=False)
        assert state.cache_file_id is not None
        if self._opened != state.cache_file_id or not self._offsets:
            answer = await self._ask_of_file(state)
            if answer.state == "damaged":  # it was sealed, and nobody heard so
                return await self._open(await self._begin_again())
            self._opened = state.cache_file_id
            self._offsets = {part: getattr(answer.offsets, part) for part in HEAD_BYTES_OF}
        return state

    async def _ask_of_file(self, state: JobState) -> CacheFileAnswer:
        assert state.cache_file_id is not None
        request = CacheFileRequest(
            id=state.cache_file_id,
            job_id=self._job_id,
            epoch=state.claimed.epoch,
            node_run=self._spool.node.node_run,
            origin=state.cache_file_origin,
            codec=state.claimed.settings.encoding.codec,
        )
        return await self._client.open_cache_file(request)

    async def _ask_offsets(self, state: JobState) -> None:
        assert state.cache_file_id is not None
        for part in HEAD_BYTES_OF:
            self._offsets[part] = await self._client.part_offset(state.cache_file_id, part, self._lease(state))

    async def _begin_anew(self) -> None:
        """What the controller has of this cache file is of no use; all goes again into a new one."""
        await self._update(cache_file_id=new_id(), seal_sent=False)
        self._offsets.clear()

    async def _begin_again(self) -> JobState:
        """The controller has found that what it sealed is not what it holds: it gets all of it once more."""
        self._mismatches += 1
        await self._health.tell_once(
            "sent_again",
            "warning",
            "The controller found its copy of the recording damaged, and gets it once more. "
            "Check the disk and the memory of the controller.",
            job_id=self._job_id,
        )
        if self._mismatches >= MISMATCHES_BEFORE_ALARM:
            await asyncio.sleep(self._timeouts.retry_longest)
        self._offsets.clear()
        return await self._update(stage=Stage.UPLOADING, cache_file_id=new_id(), seal_sent=False, is_sent_again=True)

    # ---- the bytes ----

    async def _send_new(self, state: JobState, rendition: Rendition | None) -> None:
        """The seek index speaks only of audio that the controller has: its size is asked before the audio goes."""
        self._rounds += 1
        if rendition is not None:
            for part in HEAD_BYTES_OF:
                await self._send(state, part, rendition.part(part).bytes, is_final=True)
            return
        seek_bytes = await self._size("seek")
        await self._send(state, "audio", await self._size("audio"))
        if self._rounds % _OTHERS_EVERY == 1:
            await self._send(state, "seek", seek_bytes)
            await self._send(state, "waveform", await self._size("waveform"))

    async def _send(self, state: JobState, part: PartName, size: int, *, is_final: bool = False) -> None:
        """Sends so much of a file as the controller has not; one that is made again first has to catch up."""
        path = self._folder.part(part)
        if is_final and self._offsets[part] > size:
            await self._begin_anew()
            raise WrongOffsetError(f"The controller holds more of {path} than there is.", 0)
        assert state.cache_file_id is not None
        while self._offsets[part] < size:
            content = FileRange(path, self._offsets[part], min(size, self._offsets[part] + REQUEST_BYTES))
            try:
                async with self._slots:
                    safe = await self._client.append(state.cache_file_id, part, self._lease(state), content)
            except WrongOffsetError as wrong:
                safe = wrong.offset
                if is_final and safe > size:
                    raise
            self._offsets[part] = safe
            self._note_progress()

    async def _size(self, part: PartName) -> int:
        return await asyncio.to_thread(_size, self._folder.part(part))

    async def _seal(self, state: JobState, rendition: Rendition) -> None:
        assert state.cache_file_id is not None
        await self._update(seal_sent=True)
        request = SealRequest(
            job_id=self._job_id,
            epoch=state.claimed.epoch,
            node_run=self._spool.node.node_run,
            origin=Origin.SALVAGED if state.owed else rendition.origin,
            audio=rendition.audio,
            waveform=rendition.waveform,
            seek=rendition.seek,
            ledger=rendition.ledger,
            facts=rendition.facts,
        )
        try:
            answer = await self._client.seal(state.cache_file_id, request)
        except DigestMismatchError as mismatch:
            await self._mismatch(state, rendition, mismatch)
            return
        await self._update(stage=Stage.SEALED, is_verified=answer.is_verified is not False)
        self._verdict_pause = self._timeouts.upload_pause
        log.info("sealed", job_id=str(self._job_id), bytes=rendition.audio.bytes, origin=request.origin.value)

    async def _ask_verdict(self, state: JobState) -> None:
        """Whether what was sealed was read back by now; asked less often the longer it takes."""
        try:
            answer = await self._ask_of_file(state)
        except LeaseLostError:  # it knows nothing of the seal any more
            await self._update(stage=Stage.UPLOADING, seal_sent=False)
            raise
        match answer.state:
            case "verified" | None:
                await self._update(is_verified=True)
            case "damaged":
                await self._begin_again()
            case "receiving":
                await self._update(stage=Stage.UPLOADING, seal_sent=False)
            case "sealed":
                await asyncio.sleep(self._verdict_pause)
                self._verdict_pause = min(2 * self._verdict_pause, self._timeouts.heartbeat)

    async def _mismatch(self, state: JobState, rendition: Rendition, mismatch: DigestMismatchError) -> None:
        """Finds out whose bytes are wrong. Ours: they are made again from the take. Theirs: they are sent again."""
        self._mismatches += 1
        if not await asyncio.to_thread(self._is_intact, rendition):
            log.error("the rendition is damaged on disk and is made again", job_id=str(self._job_id))
            await asyncio.to_thread(self._folder.drop_rendition)
            await self._update(stage=Stage.FINISHING, cache_file_id=None, seal_sent=False)
            return
        before = dict(self._offsets)
        await self._ask_offsets(state)
        if self._offsets == before:
            await self._begin_anew()
        if self._mismatches >= MISMATCHES_BEFORE_ALARM:
            await self._health.tell_once(
                "upload_refused",
                "critical",
                f"The controller found other bytes than were sent, {self._mismatches} times. It is tried again. "
                "Check the disk and the memory of the controller.",
                job_id=self._job_id,
            )
            raise mismatch

    async def _refused(self, refusal: ControllerFault) -> None:
        """Offered again and again; but it can be cancelled, and when it stays so people hear of it."""
        await self._spool.change_job(self._job_id, lambda state: {"seal_sent": False} if state.seal_sent else {})
        if self._patience.faults >= REFUSALS_BEFORE_ALARM:
            await self._health.tell_once(
                "upload_refused",
                "critical",
                f"The controller does not accept the recording: {refusal} It stays on this node and is offered again. "
                "Run controller and agent in the same version, or cancel the recording.",
                job_id=self._job_id,
            )

    def _is_intact(self, rendition: Rendition) -> bool:
        """Whether the files on disk are the ones that were rendered."""
        for part in HEAD_BYTES_OF:
            path, seal = self._folder.part(part), rendition.part(part)
            head_bytes = min(HEAD_BYTES_OF[part], seal.bytes)
            if _size(path) != seal.bytes or sha256_file(path, head_bytes, seal.bytes) != seal.body_sha256:
                return False
        return True

    # ---- what others see ----

    async def _lease_lost(self, state: JobState, lost: LeaseLostError) -> None:
        """The content stays, and is offered as salvage; unless it was cancelled, which then is this job's end."""
        if state.wish is Wish.CANCEL:
            await self._update(seal_sent=False)
            return
        if not state.owed:
            why = f"an upload was refused ({lost.code})"
            await self._update(owed=why, owed_since=Instant.in_ms(0), seal_sent=False)
        await self._health.tell_once(
            "salvage_refused" if state.owed else "lease_lost",
            "warning",
            f"{lost} The recording stays on this node and is offered again. Look at it in the library.",
            job_id=self._job_id,
        )

    def _note_progress(self) -> None:
        self._spool.progress.setdefault(self._job_id, Progress()).uploaded_bytes = sum(self._offsets.values())

    def _lease(self, state: JobState) -> Lease:
        return Lease(self._job_id, state.claimed.epoch, self._spool.node.node_run)

    async def _update(self, **changes: Any) -> JobState:
        return await self._spool.update_job(self._job_id, **changes)


def _is_followed(state: JobState) -> bool:
    return state.stage in _FOLLOWED and not state.is_delivered


def _size(path: Any) -> int:
    try:
        return int(path.stat().st_size)
    except FileNotFoundError:
        return 0
