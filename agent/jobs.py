"""Every job of the spool, each a state machine over its `job.json`.

Every stage can be taken up again after a kill at any point: what was decided is on disk before it is acted on or told.
"""

import asyncio
from uuid import UUID

import structlog

from agent.errors import NodeRunSupersededError
from agent.patience import Patience, is_absence, tell
from agent.recording.absence import Absence
from agent.recording.capturing import Capturing
from agent.recording.ending import Ending
from agent.recording.finishing import Finishing
from agent.recording.part import Means, Part
from agent.recording.rendering import Rendering
from agent.recording.retrying import Retrying
from agent.recording.starting import Starting
from agent.spool import Listener
from agent.states import Stage
from protocol.messages import Wish

log = structlog.get_logger()

FAULTS_BEFORE_ALARM = 5


class Jobs:
    """Gives every job of the spool a task of its own, so that none waits for another."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Goes on for ever. Raises NodeRunSupersededError when another agent took this node's place."""
        try:
            with self._means.spool.listening() as listener:
                while True:
                    self._start_tasks()
                    self._end_tasks()
                    await listener.wait(self._means.settings.timeouts.heartbeat)
                    self._means.renderers.collect()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._tasks.clear()

    def _start_tasks(self) -> None:
        for job_id, state in self._means.spool.jobs.items():
            if job_id not in self._tasks and state.stage is not Stage.KEPT:
                task = asyncio.create_task(Job(self._means, job_id).run(), name=f"job {job_id}")
                task.add_done_callback(lambda _: self._means.spool.ring())
                self._tasks[job_id] = task

    def _end_tasks(self) -> None:
        for job_id, task in list(self._tasks.items()):
            if task.done():
                del self._tasks[job_id]
                task.result()


class Job(Part):
    """The life of one job."""

    def __init__(self, means: Means, job_id: UUID) -> None:
        super().__init__(means, job_id)
        self._ending = Ending(means, job_id)
        self._absence = Absence(means, job_id)
        rendering = Rendering(means, job_id)
        self._retrying = Retrying(means, job_id)
        self._starting = Starting(means, job_id, self._ending, self._retrying)
        self._capturing = Capturing(means, job_id, self._ending, rendering)
        self._finishing = Finishing(means, job_id, self._ending, rendering)

    async def run(self) -> None:
        """Until nothing is left to do. Raises NodeRunSupersededError."""
        patience = Patience(self.timeouts, longest=self.timeouts.heartbeat / 2)
        with self.spool.listening() as listener:
            while self.job_id in self.spool.jobs and self.state.stage is not Stage.KEPT:
                try:
                    await self._step(listener)
                    patience.reset()
                except NodeRunSupersededError:
                    raise
                except Exception as fault:
                    if self.job_id not in self.spool.jobs:  # a later attempt has taken over
                        return
                    seconds = patience.after(fault)
                    tell(f"job {self.job_id}", fault, seconds)
                    if patience.faults >= FAULTS_BEFORE_ALARM and not is_absence(fault):
                        await self._raise_alarm(fault)
                    await asyncio.sleep(seconds)

    async def _raise_alarm(self, fault: Exception) -> None:
        try:
            await self.means.health.tell_once(
                "recording_hindered",
                "critical",
                f"The recording cannot go on: {fault} It is tried again and again, and what was captured stays. "
                "Look into the log of this node.",
                job_id=self.job_id,
            )
        except OSError as again:
            log.error("an alarm could not be kept, it is raised again", job_id=str(self.job_id), fault=str(again))

    async def _step(self, listener: Listener) -> None:
        if self.state.stage is not Stage.STARTING:
            await self._retrying.forget_earlier()
        if self.state.stage not in {Stage.STARTING, Stage.CAPTURING}:
            await self._capturing.leave()
        match self.state.stage:
            case Stage.STARTING:
                await self._starting.step(listener)
            case Stage.CAPTURING:
                await self._capturing.step(listener)
            case Stage.FINISHING:
                await self._finishing.step(listener)
            case Stage.UPLOADING:
                await self._wait_for_seal(listener)
            case Stage.SEALED:
                await self._tidy_once_verified(listener)
            case Stage.ENDING:
                await self._ending.step()
            case Stage.KEPT:
                return

    async def _wait_for_seal(self, listener: Listener) -> None:
        """The upload does the work; here only a cancel that comes before the seal matters."""
        if self.state.wish is Wish.CANCEL and not self.state.seal_sent:
            await self._ending.cancelled()
        elif not self.state.seal_sent and not await asyncio.to_thread(self.folder.rendition.exists):
            await self.update(stage=Stage.FINISHING)  # it went for want of room, and is made again
        else:
            await listener.wait(self.timeouts.heartbeat)

    async def _tidy_once_verified(self, listener: Listener) -> None:
        if self.state.is_delivered and await self._absence.is_over():
            await self._ending.tidy()
        else:
            await listener.wait(self.timeouts.heartbeat)
