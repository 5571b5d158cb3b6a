"""From the first frame to a decided end. Whatever dies meanwhile is started again."""

import asyncio
import time
from typing import Any
from uuid import UUID

import structlog

from agent.owner import clock
from agent.owner.handle import OwnerGoneError, OwnerStatus, OwnerUnresponsiveError
from agent.owner_news import OwnerNews
from agent.recording.absence import Absence
from agent.recording.ending import Ending
from agent.recording.limits import End, Limits, Seen
from agent.recording.part import Means, Part
from agent.recording.plan import Plan
from agent.recording.rendering import Rendering
from agent.spool import Listener
from agent.states import Instant, Stage
from protocol.messages import EndReason, Wish

log = structlog.get_logger()

NEAR_END_SECONDS = 0.02


class Capturing(Part):
    """Watches the capture and ends the recording when that is wished, planned, or a fact."""

    def __init__(self, means: Means, job_id: UUID, ending: Ending, rendering: Rendering) -> None:
        super().__init__(means, job_id)
        self._ending = ending
        self._rendering = rendering
        self._absence = Absence(means, job_id)
        self._news = OwnerNews(
            means.health,
            self.timeouts,
            self.state.interface,
            job_id,
            channels=self.state.used_channels,
            memory=self.folder.told,
        )
        self._unowned_since: float | None = None
        self._full_since: float | None = None

    async def step(self, listener: Listener) -> None:
        await self._rendering.keep_up()
        if self.state.wish is Wish.CANCEL:
            await self._ending.cancelled()
        elif self.state.wish is Wish.STOP:
            await self._end_at_stop()
        elif self._is_orphan():
            await self._bind_end(EndReason.STOPPED, boottime_ns=clock.boottime_ns())
        else:
            status = await self._watch()
            limit = None if status is None else self._limits.reached(await self._seen(status))
            if status is not None and Plan(self.state).is_over(clock.boottime_ns(), status.next_frame):
                await self._end_at_plan()  # or at a limit that came before it
            elif limit is not None:
                await self.update(end_reason=limit.reason)  # of a mark alone nobody could tell why
                await self._bind_end(limit.reason, frame=limit.frame)
            elif self.state.stage is Stage.CAPTURING:
                await listener.wait(self._seconds_to_next_look())

    async def leave(self) -> None:
        """The recording has ended, and what lasted is over for it. May be repeated."""
        await self._news.finish(self.state.ended_at or Instant.in_ms(0))

    # ---- keeping it going ----

    async def _watch(self) -> OwnerStatus | None:
        """What the owner says of our take; None when the recording had to be helped instead."""
        state = self.state
        try:
            owner = await self.means.owners.held(state.interface)
            status = await owner.status()
        except OwnerGoneError:
            self.means.owners.forget(state.interface)
            await self._revive()
            return None
        except OwnerUnresponsiveError as fault:
            await self.means.health.tell_once("capture_unresponsive", "warning", str(fault), job_id=self.job_id)
            raise
        if status.take_id != str(state.take_id) or str(state.capture_name) not in status.needs:
            await self._find_end()
            return None
        self._unowned_since = None
        if status.fault is not None:
            await self._tell_fault(status.fault)
        self.note_frames(status.durable_frame)
        await self._news.tell(status, since_ns=Plan(state).begins_ns)
        return status

    async def _revive(self) -> None:
        """The owner died: another one goes on in the same take and tells of it, unless that has ended, or the
        recording has."""
        if not await self._end_as_marked():
            await self.means.owners.start(self.state.interface, self.state.claimed.settings.capture)

    async def _tell_fault(self, fault: str) -> None:
        """The owner goes on with the take by itself, as soon as the disk lets it."""
        await self.means.health.tell_once(
            "writing_failed",
            "critical",
            f"The capture cannot be written: {fault}. It goes on as soon as that is over, and lists what is missing. "
            "Make room on the disk of this node, or replace it.",
            job_id=self.job_id,
        )

    # ---- the end ----

    async def _find_end(self) -> None:
        """The owner does not work for this recording any more. A take that is being closed gets its mark in a while."""
        if await self._end_as_marked():
            return
        now = time.monotonic()
        if self._unowned_since is None:
            self._unowned_since = now
        elif now - self._unowned_since > self.timeouts.owner_drain + self.timeouts.owner_request:
            take = await self.take()
            if not await self._absence.lacks_end(take, now - self._unowned_since):
                await self.finish_at(take.durable_frame, EndReason.CAPTURE_DIED)

    async def _end_as_marked(self) -> bool:
        """Ends the recording where its own end mark, or else that of its take, says so. Whether there is one."""
        take = await self.take()
        bound = take.marks.get(f"end:{self.state.capture_name}")
        if bound is not None:
            await self._finish_first(End(bound, Plan(self.state).end_reason), await self._seen(None))
        elif take.end is not None:
            stopped = take.end.reason == EndReason.NODE_STOPPED
            await self.finish_at(take.end.end_frame, EndReason.NODE_STOPPED if stopped else EndReason.CAPTURE_DIED)
        return bound is not None or take.end is not None

    async def _end_at_stop(self) -> None:
        """At the press, or at a planned end that came before it."""
        plan, wished_at = Plan(self.state), self.state.wished_at
        assert wished_at is not None
        pressed_ns = wished_at.or_now_ns()
        if plan.end_frame is None and plan.ends_ns is not None and plan.ends_ns <= pressed_ns:
            await self._end_at_plan()
        else:
            await self._bind_end(EndReason.STOPPED, boottime_ns=pressed_ns)

    async def _end_at_plan(self) -> None:
        plan = Plan(self.state)
        if plan.end_frame is not None:
            await self._bind_end(EndReason.PLANNED_END, frame=plan.end_frame)
        else:
            await self._bind_end(EndReason.PLANNED_END, boottime_ns=plan.ends_ns, instant=plan.end_instant)

    async def _bind_end(self, reason: EndReason, **where: Any) -> None:
        """The owner binds the end once; the first one stays."""
        state = self.state
        try:
            owner = await self.means.owners.held(state.interface)
            seen = await self._seen(await owner.status())
            end_frame = await owner.end(str(state.capture_name), **where)
        except OwnerGoneError:
            self.means.owners.forget(state.interface)
            await self._revive()
        else:
            await self._finish_first(End(end_frame, reason), seen)

    async def _finish_first(self, asked: End, seen: Seen) -> None:
        """Where somebody asked for it, unless a limit came first; whatever the owner bound, this stays."""
        end = self._limits.first(asked, seen)
        await self.finish_at(end.frame, end.reason)
        log.info("recording ended", job_id=str(self.job_id), end_frame=end.frame, reason=end.reason.value)

    @property
    def _limits(self) -> Limits:
        return Limits(self.state, self.means.settings.disk_full_ends_after_seconds)

    async def _seen(self, status: OwnerStatus | None) -> Seen:
        size_end_frame = None
        if self.state.claimed.settings.limits.size_bytes is not None:
            size_end_frame = await asyncio.to_thread(self.folder.read_size_end)
        if status is None:
            return Seen(size_end_frame=size_end_frame)
        if status.storage != "full":
            self._full_since = None
        elif self._full_since is None:
            self._full_since = time.monotonic()
        full_seconds = 0.0 if self._full_since is None else time.monotonic() - self._full_since
        return Seen.of(status, size_end_frame, full_seconds)

    def _is_orphan(self) -> bool:
        """A lost lease never ends a capture; but one without an end of its own would go on unseen for ever."""
        state = self.state
        if state.owed is None or state.owed_since is None or state.has_planned_end:
            return False
        return (clock.boottime_ns() - state.owed_since.or_now_ns()) / 1e9 > self.timeouts.orphan_capture

    def _seconds_to_next_look(self) -> float:
        """Usually a flush; less just before a planned end."""
        left = Plan(self.state).seconds_to_end(clock.boottime_ns())
        usual = self.timeouts.flush
        return usual if left is None else min(usual, max(NEAR_END_SECONDS, left))
