"""Ends without content, from the decision until the controller has heard it; and tidying up after every end."""

import asyncio
from typing import Literal

import structlog

from agent.errors import LeaseLostError
from agent.files import remove
from agent.owner.handle import OwnerGoneError
from agent.recording.part import Part
from agent.states import EndWithoutContent, Stage
from protocol.messages import EndReason, FinishRequest

log = structlog.get_logger()

_EMPTY = {"nothing_captured", "below_minimum"}


class Ending(Part):
    """Decides that there is nothing to deliver, and tells it."""

    async def cancelled(self) -> None:
        await self._end("cancelled", "cancelled", _CANCELLED)

    async def nothing_captured(self) -> None:
        await self._end("cancelled", "nothing_captured", _NOTHING_CAPTURED)

    async def below_minimum(self) -> None:
        await self._end("failed", "below_minimum", _BELOW_MINIMUM)

    async def failed(self, reason: str, message: str) -> None:
        await self._end("failed", reason, message)

    async def step(self) -> None:
        """Told for ever until it is heard. What was captured stays, unless that is nothing."""
        state = self.state
        assert state.ending is not None
        await asyncio.to_thread(self._abandon_rendition)
        if not state.owed:
            await self._tell(state.ending)
        if state.take_id is None:
            await self.spool.remove_job(self.job_id)
        elif state.ending.reason in _EMPTY:
            await self.tidy()
        else:
            await self.update(stage=Stage.KEPT)

    async def tidy(self) -> None:
        """Nobody needs anything of this job here any more: its folder goes, and the frames that no other one needs."""
        state = self.state
        if state.take_id is not None:
            await asyncio.to_thread(self.spool.add_released, state.take_id, state.capture_name)
        await self.spool.remove_job(self.job_id)
        await self.means.takes.sweep()

    async def drop_need(self) -> None:
        """The capture may go on for others, not for this recording; also one that is only resumed later."""
        state = self.state
        try:
            owner = await self.means.owners.held(state.interface)
            await owner.drop(str(state.capture_name))
        except OwnerGoneError:
            self.means.owners.forget(state.interface)
            if state.take_id is not None and (await self.take()).end is None:
                owner = await self.means.owners.start(state.interface, state.claimed.settings.capture)
                await owner.drop(str(state.capture_name))

    async def _end(self, outcome: Literal["failed", "cancelled"], reason: str, message: str) -> None:
        await self.drop_need()
        await self.update(
            stage=Stage.ENDING,
            ending=EndWithoutContent(outcome=outcome, reason=reason, message=message[:1000]),
            end_reason=self.state.end_reason or EndReason.CANCELLED,
        )
        log.info("ended without content", job_id=str(self.job_id), outcome=outcome, reason=reason)

    async def _tell(self, ending: EndWithoutContent) -> None:
        await self.spool.registered.wait()
        request = FinishRequest(
            epoch=self.state.claimed.epoch,
            node_run=self.spool.node.node_run,
            outcome=ending.outcome,
            reason=ending.reason,
            message=ending.message,
        )
        try:
            await self.means.client.finish(self.job_id, request)
        except LeaseLostError as lost:
            log.info("the job had ended before", job_id=str(self.job_id), code=lost.code)

    def _abandon_rendition(self) -> None:
        """The renderer ends by itself when its task is gone."""
        remove(self.folder.render)
        self.folder.drop_rendition()


_CANCELLED = "The recording was cancelled. What was captured until then stays on the node for a while."
_NOTHING_CAPTURED = "The recording was stopped before anything was captured. Start it again if it is still wanted."
_BELOW_MINIMUM = "Less than the minimum was captured. Check that the interface delivers sound, and start it again."
