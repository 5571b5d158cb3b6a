"""What every stage of a recording works with."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from agent.controller_client import ControllerClient
from agent.devices import Owners
from agent.disk import Disk
from agent.health import Health
from agent.inputs import Inputs
from agent.job_folder import JobFolder
from agent.renderer.handle import Renderers
from agent.settings import AgentSettings
from agent.spool import Progress, Spool
from agent.states import Instant, JobState, Stage
from agent.takes import Takes
from core_rs import Take
from protocol.messages import EndReason


@dataclass(frozen=True)
class Means:
    """What the recordings of a node share."""

    settings: AgentSettings
    spool: Spool
    client: ControllerClient
    owners: Owners
    inputs: Inputs
    renderers: Renderers
    takes: Takes
    health: Health
    disk: Disk


class Part:
    """One part of the work on one job. All that it decides goes through the spool."""

    def __init__(self, means: Means, job_id: UUID) -> None:
        self.job_id = job_id
        self.means = means
        self.spool = means.spool
        self.timeouts = means.settings.timeouts
        self.folder: JobFolder = means.spool.job_folder(job_id)
        self._take: Take | None = None

    @property
    def state(self) -> JobState:
        return self.spool.jobs[self.job_id]

    async def update(self, **changes: Any) -> JobState:
        """On disk before it returns."""
        return await self.spool.update_job(self.job_id, **changes)

    async def take(self) -> Take:
        """The take of this recording, as it is now."""
        if self._take is None:
            self._take = await self.take_of(self.state)
        else:
            await asyncio.to_thread(self._take.refresh)
        return self._take

    async def take_of(self, state: JobState) -> Take:
        """The take of any job that has one."""
        return await asyncio.to_thread(Take.open, self.spool.takes_folder / str(state.take_id))

    async def finish_at(self, end_frame: int, reason: EndReason) -> None:
        """The end of the recording is decided."""
        start_frame = self.state.start_frame or 0
        await self.update(
            stage=Stage.FINISHING,
            end_frame=max(start_frame, end_frame),
            end_reason=reason,
            ended_at=Instant.in_ms(0),
        )

    def note_frames(self, durable_frame: int) -> None:
        """What heartbeats say of the recording's length."""
        state = self.state
        end = durable_frame if state.end_frame is None else min(durable_frame, state.end_frame)
        frames = max(0, end - (state.start_frame or 0))
        self.spool.progress.setdefault(self.job_id, Progress()).frames = frames
