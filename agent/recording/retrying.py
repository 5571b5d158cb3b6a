"""Another attempt at a recording of which this node still holds something: that is delivered, not captured again."""

from typing import Any

import structlog

from agent.recording.part import Part
from agent.states import JobState, Stage
from protocol.messages import EndReason

log = structlog.get_logger()

_DECIDED = {Stage.FINISHING, Stage.UPLOADING, Stage.ENDING, Stage.KEPT}


class Retrying(Part):
    """Takes over what earlier attempts left."""

    async def take_over(self) -> bool:
        """Goes on with the newest earlier attempt that has frames, at their place in its take; False when none has.

        One that still captures, because its lease was lost, goes on capturing.
        """
        earlier = [state for state in self._earlier() if state.needs_take]
        if not earlier:
            return False
        newest = max(earlier, key=lambda state: state.claimed.attempt)
        await self.update(
            take_id=newest.take_id,
            start_frame=newest.start_frame,
            press_frame=newest.press_frame,
            capture_id=newest.capture_name,
            **(await self._decided(newest) if newest.stage in _DECIDED else {"stage": Stage.CAPTURING}),
        )
        log.info("an earlier attempt is delivered", job_id=str(self.job_id), earlier=str(newest.job_id))
        return True

    async def forget_earlier(self) -> None:
        """An attempt whose frames were taken over has nothing left to do."""
        for state in self._earlier():
            if state.capture_name == self.state.capture_name:
                await self.spool.remove_job(state.job_id)

    def _earlier(self) -> list[JobState]:
        return [
            state
            for state in self.spool.jobs.values()
            if state.recording_id == self.state.recording_id
            and state.claimed.attempt < self.state.claimed.attempt
            and state.stage is not Stage.SEALED
        ]

    async def _decided(self, earlier: JobState) -> dict[str, Any]:
        """The end as it was; what was cancelled while it was captured ends where it was dropped."""
        if earlier.end_frame is not None:
            end_frame, reason = earlier.end_frame, earlier.end_reason
        else:
            end_frame, reason = await self._dropped_at(earlier), EndReason.STOPPED
        return {
            "stage": Stage.FINISHING,
            "end_frame": end_frame,
            "end_reason": reason,
            "ended_at": earlier.ended_at or self.state.requested_at,
            "cut_frame": earlier.cut_frame,
        }

    async def _dropped_at(self, earlier: JobState) -> int:
        take = await self.take_of(earlier)
        marks = [take.marks.get(f"{kind}:{earlier.capture_name}") for kind in ("end", "drop")]
        ends = [frame for frame in marks if frame is not None]
        if not ends:
            ends = [take.durable_frame if take.end is None else take.end.end_frame]
        return max(earlier.start_frame or 0, ends[0])
