"""From a decided end to a finished rendition."""

import asyncio
import time
from uuid import UUID

from agent.owner import clock
from agent.owner.handle import OwnerGoneError
from agent.recording.absence import Absence
from agent.recording.ending import Ending
from agent.recording.part import Means, Part
from agent.recording.rendering import Rendering
from agent.spool import Listener
from agent.states import Rendition, Stage
from protocol.messages import EndReason, Wish

LOOK_SECONDS = 0.02
_PATIENCE = 0.05
"""Looks grow apart by this share of the time that the rendition takes already."""


class Finishing(Part):
    """Waits for the rendition; then it counts whether anything was captured at all."""

    def __init__(self, means: Means, job_id: UUID, ending: Ending, rendering: Rendering) -> None:
        super().__init__(means, job_id)
        self._ending = ending
        self._rendering = rendering
        self._absence = Absence(means, job_id)
        self._help_due = 0.0

    async def step(self, listener: Listener) -> None:
        if self.state.wish is Wish.CANCEL:
            await self._ending.cancelled()
            return
        await self._cut_at_size_limit()
        await self._rendering.keep_up()
        rendition = await asyncio.to_thread(self.folder.read_rendition)
        if rendition is not None:
            await self._judge(rendition, listener)
            return
        await self._help_to_the_end()
        await listener.wait(self._seconds_to_next_look())

    async def _cut_at_size_limit(self) -> None:
        """A renderer that lags may find only now that its file was full before the end that was bound."""
        state = self.state
        if state.claimed.settings.limits.size_bytes is None or state.end_frame is None:
            return
        frame = await asyncio.to_thread(self.folder.read_size_end)
        if frame is not None and frame < state.end_frame:
            await self.update(end_frame=frame, end_reason=EndReason.SIZE_LIMIT)

    async def _judge(self, rendition: Rendition, listener: Listener) -> None:
        """What is too little only without a disk that is away waits for it: nothing of it may go."""
        self.note_frames(rendition.facts.end_frame)
        if rendition.captured_bytes >= max(1, self.state.claimed.settings.minimum_bytes):
            await self.update(stage=Stage.UPLOADING)
        elif not await self._absence.is_over():
            await listener.wait(self.timeouts.heartbeat)
        elif self.state.end_reason is EndReason.STOPPED:
            await self._ending.nothing_captured()
        else:
            await self._ending.below_minimum()

    async def _help_to_the_end(self) -> None:
        """Sees that the take gets to the end frame; one that stops short of it for good is cut there."""
        state = self.state
        assert state.end_frame is not None
        if time.monotonic() < self._help_due or state.cut_frame is not None:
            return
        self._help_due = time.monotonic() + self.timeouts.flush
        take = await self.take()
        if take.durable_frame >= state.end_frame or take.end is not None:
            return
        if self._seconds_overdue() > self.timeouts.owner_drain:
            if not await self._absence.lacks_end(take, self._seconds_overdue()):
                await self.update(cut_frame=take.durable_frame)
            return
        try:
            await (await self.means.owners.held(state.interface)).status()
        except OwnerGoneError:
            self.means.owners.forget(state.interface)
            await self.means.owners.start(state.interface, state.claimed.settings.capture)

    def _seconds_to_next_look(self) -> float:
        return min(self.timeouts.flush, LOOK_SECONDS + _PATIENCE * max(0.0, self._seconds_overdue()))

    def _seconds_overdue(self) -> float:
        """Since the end was decided."""
        assert self.state.ended_at is not None
        return (clock.boottime_ns() - self.state.ended_at.or_now_ns()) / 1e9
