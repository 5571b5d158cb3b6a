"""One recording: a range of a take, from its claim until it is delivered. A state machine over `job.json`.

Every stage can be taken up again after a kill at any point: what was decided is on disk before it is acted on or told.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog

from agent import clock
from agent.controller_client import ControllerClient
from agent.devices import Owners, interfaces
from agent.errors import DoesNotFitError, LeaseLostError, NodeRunSupersededError
from agent.files import remove, write_model
from agent.health import Health
from agent.job_folder import JobFolder
from agent.owner.handle import OwnerError, OwnerGoneError, OwnerStartError, OwnerStatus, OwnerUnresponsiveError
from agent.patience import Patience, tell
from agent.renderer.encoders import check_fit, encoder_version
from agent.renderer.handle import Renderers, last_words
from agent.settings import AgentSettings
from agent.spool import Listener, Progress, Spool
from agent.states import Ending, Instant, JobState, RenderTask, Rendition, Stage
from agent.takes import Takes
from core_rs import Take
from protocol.messages import EndReason, FinishRequest, Wish

log = structlog.get_logger()

ARMED_EARLY_SECONDS = 2.0
"""How long before a planned start the capture process is made ready."""
HOLD_BACK_SECONDS = 1.0
"""A stop that is heard later than this costs making the rendition again."""
NEAR_END_SECONDS = 0.02
PLANNED_END_SLACK_SECONDS = 5.0
"""A device that delivers nothing would never reach a planned end; then the clock decides."""


@dataclass(frozen=True)
class Means:
    """What jobs work with."""

    settings: AgentSettings
    spool: Spool
    client: ControllerClient
    owners: Owners
    renderers: Renderers
    takes: Takes
    health: Health


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


class Job:
    """The life of one job."""

    def __init__(self, means: Means, job_id: UUID) -> None:
        self._job_id = job_id
        self._means = means
        self._spool = means.spool
        self._timeouts = means.settings.timeouts
        self._folder: JobFolder = means.spool.job_folder(job_id)
        self._take: Take | None = None
        self._render_task_on_disk: RenderTask | None = None
        self._renderer_patience = Patience(means.settings.timeouts)
        self._renderer_due = 0.0
        self._help_due = 0.0

    async def run(self) -> None:
        patience = Patience(self._timeouts, longest=self._timeouts.heartbeat / 2)
        with self._spool.listening() as listener:
            while self._job_id in self._spool.jobs and self._state.stage is not Stage.KEPT:
                try:
                    await self._step(listener)
                    patience.reset()
                except NodeRunSupersededError:
                    raise
                except Exception as fault:
                    seconds = patience.after(fault)
                    tell(f"job {self._job_id}", fault, seconds)
                    await asyncio.sleep(seconds)

    @property
    def _state(self) -> JobState:
        return self._spool.jobs[self._job_id]

    async def _update(self, **changes: Any) -> JobState:
        return await self._spool.update_job(self._job_id, **changes)

    async def _step(self, listener: Listener) -> None:
        match self._state.stage:
            case Stage.STARTING:
                await self._start(listener)
            case Stage.CAPTURING:
                await self._capture(listener)
            case Stage.FINISHING:
                await self._finish(listener)
            case Stage.UPLOADING:
                await self._deliver(listener)
            case Stage.SEALED:
                await self._tidy()
            case Stage.ENDING:
                await self._report_end()
            case Stage.KEPT:
                return

    # ---- starting ----

    async def _start(self, listener: Listener) -> None:
        state = self._state
        if state.owed:
            await self._drop_need()
            await self._spool.remove_job(self._job_id)
        elif state.wish is not Wish.RUN:
            await self._end_before_content()
        elif (left := self._seconds_until_armed()) > 0:
            await listener.wait(left)
        else:
            await self._begin()

    async def _begin(self) -> None:
        """Binds the first frame. It is on disk here before anybody hears of it."""
        state = self._state
        try:
            self._check_fit()
            owner = await self._means.owners.start(state.interface, state.claimed.settings.capture)
            begun = await owner.begin(
                str(state.recording_id), self._start_boottime_ns(), _instant_name(state.claimed.settings.starts_at)
            )
        except DoesNotFitError as refusal:
            await self._end_without_content("failed", refusal.reason, str(refusal))
        except OwnerError as fault:
            await self._start_failed(fault)
        else:
            await self._update(stage=Stage.CAPTURING, take_id=UUID(begun.take_id), start_frame=begun.start_frame)
            log.info("capturing", job_id=str(self._job_id), take_id=begun.take_id, start_frame=begun.start_frame)

    def _check_fit(self) -> None:
        settings = self._state.claimed.settings
        check_fit(settings.encoding, settings.capture, settings.channel_map)
        wanted = (settings.interface.backend, settings.interface.name)
        present = [(one.backend, one.name) for one in interfaces(self._means.settings)]
        if wanted not in present:
            raise DoesNotFitError(
                "interface_unknown",
                f"This node has no interface {settings.interface.name} of {settings.interface.backend}. "
                "Plug it in, or choose another interface, and start the recording again.",
            )

    async def _start_failed(self, fault: OwnerError) -> None:
        """Tried again as long as that may help: until a planned end, else as long as a start may go unanswered."""
        if isinstance(fault, OwnerStartError) and not fault.retry_helps:
            await self._end_without_content("failed", "capture_not_started", str(fault))
            return
        planned_end = self._ends_at_ns()
        waited_seconds = (clock.boottime_ns() - self._start_boottime_ns()) / 1e9
        is_over = (
            clock.boottime_ns() >= planned_end if planned_end is not None else waited_seconds > self._timeouts.unclaimed
        )
        if is_over:
            await self._end_without_content("failed", "capture_not_started", str(fault))
            return
        await self._means.health.tell_once("capture_not_started", "critical", str(fault), job_id=self._job_id)
        raise fault

    def _seconds_until_armed(self) -> float:
        starts_at = self._starts_at_ns()
        if starts_at is None:
            return 0.0
        return (starts_at - clock.boottime_ns()) / 1e9 - min(ARMED_EARLY_SECONDS, self._timeouts.owner_start)

    def _start_boottime_ns(self) -> int:
        starts_at = self._starts_at_ns()
        return starts_at if starts_at is not None else self._state.requested_at.or_now_ns()

    # ---- capturing ----

    async def _capture(self, listener: Listener) -> None:
        await self._keep_rendering()
        state = self._state
        if state.wish is Wish.CANCEL:
            await self._cancel()
        elif state.wish is Wish.STOP:
            await self._end_at_stop()
        elif (status := await self._watch()) is None:
            return
        elif self._reached_planned_end(status):
            await self._end_at_plan()
        else:
            await listener.wait(self._seconds_to_next_look())

    async def _watch(self) -> OwnerStatus | None:
        """What the owner says of our take; None when the recording had to be helped instead."""
        state = self._state
        try:
            owner = await self._means.owners.held(state.interface)
            status = await owner.status()
        except OwnerGoneError:
            self._means.owners.forget(state.interface)
            await self._revive()
            return None
        except OwnerUnresponsiveError as fault:
            await self._means.health.tell_once("capture_unresponsive", "warning", str(fault), job_id=self._job_id)
            raise
        if status.take_id != str(state.take_id) or str(state.recording_id) not in status.needs:
            await self._take_over_or_end()
            return None
        self._note_frames(status.durable_frame)
        return status

    async def _revive(self) -> None:
        """The owner died: another one goes on in the same take, unless the take has ended."""
        if await self._end_with_take():
            return
        state = self._state
        owner = await self._means.owners.start(state.interface, state.claimed.settings.capture)
        log.warning("owner died and was started again", job_id=str(self._job_id), interface=state.interface.name)
        await self._means.health.tell(
            "capture_died",
            "critical",
            f"The capture of {state.interface.name} died and was started again. "
            "The gap is listed with the recording. Look into the log of this node.",
            job_id=self._job_id,
            interface=state.interface,
        )
        await owner.status()

    async def _take_over_or_end(self) -> None:
        """The owner does not work for this recording any more: its end was bound, or its take has ended."""
        take = await self._open_take()
        bound = take.marks.get(f"end:{self._state.recording_id}")
        if bound is not None:
            await self._finish_at(bound, self._reason_by_plan())
        elif not await self._end_with_take():
            state = self._state
            owner = await self._means.owners.start(state.interface, state.claimed.settings.capture)
            await owner.begin(str(state.recording_id), self._start_boottime_ns())
            status = await owner.status()
            if status.take_id != str(state.take_id) or str(state.recording_id) not in status.needs:
                await self._finish_at(take.durable_frame, EndReason.CAPTURE_DIED)

    async def _end_with_take(self) -> bool:
        """A take that has its end mark ends the recording there."""
        mark = (await self._open_take()).end
        if mark is None:
            return False
        reason = EndReason.NODE_STOPPED if mark.reason == EndReason.NODE_STOPPED else EndReason.CAPTURE_DIED
        await self._finish_at(mark.end_frame, reason)
        return True

    # ---- the end ----

    async def _end_at_stop(self) -> None:
        state = self._state
        assert state.wished_at is not None
        planned = self._ends_at_ns()
        pressed = state.wished_at.or_now_ns()
        if planned is not None and planned <= pressed:
            await self._end_at_plan()
        else:
            await self._bind_end(EndReason.STOPPED, boottime_ns=pressed)

    async def _end_at_plan(self) -> None:
        by_length = self._planned_length_end()
        if by_length is not None:
            await self._bind_end(EndReason.PLANNED_END, frame=by_length)
        else:
            instant = _instant_name(self._state.claimed.settings.ends_at)
            await self._bind_end(EndReason.PLANNED_END, boottime_ns=self._ends_at_ns(), instant=instant)

    async def _bind_end(self, reason: EndReason, **where: Any) -> None:
        """The owner binds the end once; the first one stays."""
        state = self._state
        try:
            owner = await self._means.owners.held(state.interface)
            end_frame = await owner.end(str(state.recording_id), **where)
        except OwnerGoneError:
            self._means.owners.forget(state.interface)
            await self._revive()
        else:
            await self._finish_at(end_frame, reason)

    async def _finish_at(self, end_frame: int, reason: EndReason) -> None:
        start_frame = self._state.start_frame or 0
        await self._update(
            stage=Stage.FINISHING,
            end_frame=max(start_frame, end_frame),
            end_reason=reason,
            ended_at=Instant.in_ms(0),
        )
        log.info("recording ended", job_id=str(self._job_id), end_frame=end_frame, reason=reason.value)

    def _reached_planned_end(self, status: OwnerStatus) -> bool:
        now = clock.boottime_ns()
        by_length, by_clock = self._planned_length_end(), self._ends_at_ns()
        if by_length is not None:
            late_ns = self._length_end_ns() + int(PLANNED_END_SLACK_SECONDS * 1e9)
            return status.next_frame >= by_length or now >= late_ns
        return by_clock is not None and now >= by_clock

    def _planned_length_end(self) -> int | None:
        """The end frame of a recording of nominal length."""
        state = self._state
        duration_ms = state.claimed.settings.duration_ms
        if duration_ms is None or state.start_frame is None:
            return None
        return state.start_frame + duration_ms * state.claimed.settings.capture.sample_rate_hz // 1000

    def _length_end_ns(self) -> int:
        return self._start_boottime_ns() + (self._state.claimed.settings.duration_ms or 0) * 1_000_000

    def _reason_by_plan(self) -> EndReason:
        """Why an end was bound of which only the mark is left."""
        settings = self._state.claimed.settings
        planned = settings.duration_ms is not None or settings.ends_at is not None
        return EndReason.PLANNED_END if planned and self._state.wish is Wish.RUN else EndReason.STOPPED

    def _seconds_to_next_look(self) -> float:
        """Usually a flush; less just before a planned end."""
        ends = self._length_end_ns() if self._planned_length_end() is not None else self._ends_at_ns()
        usual = self._timeouts.flush
        if ends is None:
            return usual
        return min(usual, max(NEAR_END_SECONDS, (ends - clock.boottime_ns()) / 1e9))

    # ---- finishing ----

    async def _finish(self, listener: Listener) -> None:
        """Waits for the rendition; then it counts whether anything was captured at all."""
        if self._state.wish is Wish.CANCEL:
            await self._cancel()
            return
        await self._keep_rendering()
        rendition = await asyncio.to_thread(self._folder.read_rendition)
        if rendition is not None:
            await self._judge(rendition)
            return
        await self._help_to_the_end()
        await listener.wait(NEAR_END_SECONDS)

    async def _judge(self, rendition: Rendition) -> None:
        state = self._state
        self._note_frames(rendition.facts.end_frame)
        if rendition.captured_bytes >= max(1, state.claimed.settings.minimum_bytes):
            await self._update(stage=Stage.UPLOADING)
        elif state.end_reason is EndReason.STOPPED:
            await self._end_without_content("cancelled", "nothing_captured", _NOTHING_CAPTURED)
        else:
            await self._end_without_content("failed", "below_minimum", _BELOW_MINIMUM)

    async def _help_to_the_end(self) -> None:
        """Sees that the take gets to the end frame; one that stops short of it for good is cut there."""
        state = self._state
        assert state.end_frame is not None
        if time.monotonic() < self._help_due or state.cut_frame is not None:
            return
        self._help_due = time.monotonic() + self._timeouts.flush
        take = await self._open_take()
        if take.durable_frame >= state.end_frame or take.end is not None:
            return
        if self._seconds_since_end() > self._timeouts.owner_drain:
            await self._update(cut_frame=take.durable_frame)
            return
        try:
            await (await self._means.owners.held(state.interface)).status()
        except OwnerGoneError:
            self._means.owners.forget(state.interface)
            await self._means.owners.start(state.interface, state.claimed.settings.capture)

    def _seconds_since_end(self) -> float:
        state = self._state
        since = state.ended_at.or_now_ns() if state.ended_at else clock.boottime_ns()
        ahead = max(0, self._length_end_ns() - since) if self._planned_length_end() is not None else 0
        return (clock.boottime_ns() - since - ahead) / 1e9

    # ---- rendering ----

    async def _keep_rendering(self) -> None:
        """Tells the renderer what is known, and sees that there is one."""
        known = self._render_task_on_disk or await asyncio.to_thread(self._folder.read_render)
        wanted = self._render_task()
        if known != wanted:
            if known is not None and known.encoder_version != wanted.encoder_version:
                await self._begin_rendition_anew()
            await asyncio.to_thread(write_model, self._folder.render, wanted)
        self._render_task_on_disk = wanted
        if time.monotonic() >= self._renderer_due and not await asyncio.to_thread(self._is_rendered_or_rendering):
            await self._start_renderer()

    async def _start_renderer(self) -> None:
        if self._renderer_due:
            words = await asyncio.to_thread(last_words, self._folder)
            await self._means.health.tell_once(
                "renderer_died",
                "warning",
                f"A renderer ended before its time and is started again: {words}. Look into the log of this node.",
                job_id=self._job_id,
            )
        await asyncio.to_thread(self._means.renderers.start, self._folder)
        self._renderer_due = time.monotonic() + self._renderer_patience.after()

    async def _begin_rendition_anew(self) -> None:
        """Another encoder may write other bytes: what the controller has of the old one is of no use."""
        await asyncio.to_thread(self._folder.drop_rendition)
        await self._update(cache_file_id=None, seal_sent=False)

    def _is_rendered_or_rendering(self) -> bool:
        return self._folder.rendition.exists() or self._means.renderers.is_rendering(self._folder)

    def _render_task(self) -> RenderTask:
        state = self._state
        assert state.take_id is not None
        assert state.start_frame is not None
        settings = state.claimed.settings
        return RenderTask(
            recording_id=state.recording_id,
            take_id=state.take_id,
            take_folder=str(self._spool.takes_folder / str(state.take_id)),
            start_frame=state.start_frame,
            end_frame=state.end_frame,
            end_reason=state.end_reason,
            cut_frame=state.cut_frame,
            capture=settings.capture,
            channel_map=settings.channel_map,
            encoding=settings.encoding,
            encoder_version=encoder_version(settings.encoding),
            hold_back_frames=round(HOLD_BACK_SECONDS * settings.capture.sample_rate_hz),
        )

    # ---- delivered ----

    async def _deliver(self, listener: Listener) -> None:
        """The upload does it; here only a cancel that comes before the seal matters."""
        state = self._state
        if state.wish is Wish.CANCEL and not state.seal_sent:
            await self._cancel()
        else:
            await listener.wait(self._timeouts.heartbeat)

    async def _tidy(self) -> None:
        """The controller has everything: the rendition goes, and the frames that nobody else needs."""
        state = self._state
        if state.take_id is not None:
            await asyncio.to_thread(self._spool.add_released, state.take_id, state.recording_id)
        await self._spool.remove_job(self._job_id)
        await self._means.takes.sweep()

    # ---- ends without content ----

    async def _end_before_content(self) -> None:
        if self._state.wish is Wish.CANCEL:
            await self._end_without_content("cancelled", "cancelled", _CANCELLED)
        else:
            await self._end_without_content("cancelled", "nothing_captured", _NOTHING_CAPTURED)

    async def _cancel(self) -> None:
        await self._end_without_content("cancelled", "cancelled", _CANCELLED)

    async def _end_without_content(self, outcome: str, reason: str, message: str) -> None:
        await self._drop_need()
        ending = Ending(outcome=outcome, reason=reason, message=message)
        await self._update(stage=Stage.ENDING, ending=ending, end_reason=self._state.end_reason or EndReason.CANCELLED)
        log.info("ended without content", job_id=str(self._job_id), outcome=outcome, reason=reason)

    async def _report_end(self) -> None:
        """Told for ever until it is heard. What was captured stays; an empty rendition does not."""
        state = self._state
        assert state.ending is not None
        await asyncio.to_thread(self._abandon_rendition)
        if not state.owed:
            await self._spool.registered.wait()
            request = FinishRequest(
                epoch=state.claimed.epoch,
                node_run=self._spool.node.node_run,
                outcome="failed" if state.ending.outcome == "failed" else "cancelled",
                reason=state.ending.reason,
                message=state.ending.message,
            )
            try:
                await self._means.client.finish(self._job_id, request)
            except LeaseLostError as lost:
                log.info("the job had ended before", job_id=str(self._job_id), code=lost.code)
        if state.take_id is None:
            await self._spool.remove_job(self._job_id)
        elif state.ending.reason in {"nothing_captured", "below_minimum"}:
            await self._tidy()
        else:
            await self._update(stage=Stage.KEPT)

    def _abandon_rendition(self) -> None:
        """The renderer ends by itself when its task is gone."""
        remove(self._folder.render)
        self._folder.drop_rendition()

    async def _drop_need(self) -> None:
        """The capture may go on for others, not for this recording; also one that is only resumed later."""
        state = self._state
        try:
            owner = await self._means.owners.held(state.interface)
            await owner.drop(str(state.recording_id))
        except OwnerGoneError:
            self._means.owners.forget(state.interface)
            if state.take_id is not None and (await self._open_take()).end is None:
                owner = await self._means.owners.start(state.interface, state.claimed.settings.capture)
                await owner.drop(str(state.recording_id))

    # ---- what is known ----

    async def _open_take(self) -> Take:
        if self._take is None:
            self._take = await asyncio.to_thread(Take.open, self._spool.takes_folder / str(self._state.take_id))
        else:
            await asyncio.to_thread(self._take.refresh)
        return self._take

    def _note_frames(self, durable_frame: int) -> None:
        state = self._state
        start = state.start_frame or 0
        end = durable_frame if state.end_frame is None else min(durable_frame, state.end_frame)
        self._spool.progress.setdefault(self._job_id, Progress()).frames = max(0, end - start)

    def _starts_at_ns(self) -> int | None:
        state = self._state
        return _boottime_of(state.starts_at, state.claimed.settings.starts_at)

    def _ends_at_ns(self) -> int | None:
        state = self._state
        return _boottime_of(state.ends_at, state.claimed.settings.ends_at)


def _boottime_of(instant: Instant | None, utc: datetime | None) -> int | None:
    """The instant in nanoseconds of this boot; one that was noted before a reboot is found by the wall clock."""
    if instant is not None and instant.of_this_boot:
        return instant.boottime_ns
    if utc is None:
        return None
    return clock.boottime_ns() + int((utc.timestamp() - time.time()) * 1e9)


def _instant_name(utc: datetime | None) -> str | None:
    """What neighbours call an instant that they share."""
    return None if utc is None else utc.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


_CANCELLED = "The recording was cancelled. What was captured until then stays on the node for a while."
_NOTHING_CAPTURED = "The recording was stopped before anything was captured. Start it again if it is still wanted."
_BELOW_MINIMUM = "Less than the minimum was captured. Check that the interface delivers sound, and start it again."
