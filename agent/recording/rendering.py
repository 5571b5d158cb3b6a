"""Sees that the rendition of a recording is being made, and made again when it has to be."""

import asyncio
import time
from uuid import UUID

from agent.files import write_model
from agent.patience import Patience
from agent.recording.absence import Absence
from agent.recording.part import Means, Part
from agent.renderer.encoders import encoder_version
from agent.renderer.handle import NOT_WRITTEN, kill_renderer, last_words, renderer_pid, stop_renderer
from agent.spool import Progress
from agent.states import RenderTask, Stage

HOLD_BACK_SECONDS = 1.0
"""A stop that is heard later than this costs making the rendition again."""


class Growth:
    """Whether a file stands still while what it follows goes on."""

    def __init__(self, stalled_seconds: float) -> None:
        self._stalled_seconds = stalled_seconds
        self._bytes: int | None = None
        self._since = 0.0
        self._captured = 0.0

    def forget(self) -> None:
        self._bytes = None

    def has_stalled(self, now: float, file_bytes: int, captured_seconds: float | None) -> bool:
        """`captured_seconds` is how far the take has come; None when there is work whether it goes on or not."""
        if file_bytes != self._bytes:
            self._bytes, self._since, self._captured = file_bytes, now, captured_seconds or 0.0
        if now - self._since < self._stalled_seconds:
            return False
        return captured_seconds is None or captured_seconds - self._captured >= self._stalled_seconds


class Rendering(Part):
    """The agent's share of it: the task, and that there is a renderer."""

    def __init__(self, means: Means, job_id: UUID) -> None:
        super().__init__(means, job_id)
        self._absence = Absence(means, job_id)
        self._task_on_disk: RenderTask | None = None
        self._growth = Growth(means.settings.timeouts.renderer_stalled)
        self._patience = Patience(means.settings.timeouts)
        self._due = 0.0

    async def keep_up(self) -> None:
        """Tells the renderer what is known by now, and starts one when there is none."""
        known = self._task_on_disk or await asyncio.to_thread(self.folder.read_render)
        wanted = self._task()
        if known != wanted:
            if known is not None and known.encoder_version != wanted.encoder_version:
                if await asyncio.to_thread(stop_renderer, self.folder) is not None:
                    return  # it would finish what is removed here; looked at again at the next step
                await self._begin_anew()
            await asyncio.to_thread(write_model, self.folder.render, wanted)
        self._task_on_disk = wanted
        if self._must_pause():
            await asyncio.to_thread(stop_renderer, self.folder)
            self._due = 0.0
        elif await asyncio.to_thread(self._is_hung):
            await self._kill()
        elif time.monotonic() >= self._due and not await asyncio.to_thread(self._is_rendered_or_rendering):
            if await self._absence.hinders():
                self._due = time.monotonic() + self.timeouts.flush
            elif self._task() == wanted:  # else the renderer gets another task first
                await self._start()

    def _must_pause(self) -> bool:
        """What is captured comes first. A recording that has ended makes room when it is delivered."""
        if not self.means.disk.is_scarce:
            return False
        is_captured = self.state.stage is Stage.CAPTURING
        return is_captured or not self.spool.hears_controller(self.timeouts.node_not_seen)

    def _is_hung(self) -> bool:
        """Whether there is a renderer and work for it, and its file does not grow."""
        if self.folder.rendition.exists() or renderer_pid(self.folder) is None:
            self._growth.forget()
            return False
        return self._growth.has_stalled(time.monotonic(), self.folder.audio_bytes(), self._captured_seconds())

    def _captured_seconds(self) -> float | None:
        """What a renderer should follow; None once the end is decided and there is work until it is done."""
        if self.state.stage is not Stage.CAPTURING:
            return None
        if self.folder.size_end.exists():
            return 0.0  # it is full, and waits to be told so
        frames = self.spool.progress.get(self.job_id, Progress()).frames
        return frames / self.state.claimed.settings.capture.sample_rate_hz

    async def _kill(self) -> None:
        """One that does not even hear a signal."""
        await asyncio.to_thread(kill_renderer, self.folder)
        self._growth.forget()
        self._due = 0.0
        await self.means.health.tell_once(
            "renderer_hung",
            "warning",
            "A renderer did not go on while its recording did, and is started again. Look into the log of this node.",
            job_id=self.job_id,
        )

    async def _start(self) -> None:
        if self._due:
            await self._tell_end(await asyncio.to_thread(last_words, self.folder))
        await asyncio.to_thread(self.means.renderers.start, self.folder)
        self._due = time.monotonic() + self._patience.after()

    async def _tell_end(self, words: str) -> None:
        if words.startswith(NOT_WRITTEN):
            await self.means.health.tell_once(
                "rendition_not_written",
                "critical",
                f"The recording is captured, but its file cannot be made: {words.removeprefix(NOT_WRITTEN)}. It is "
                "tried again, and made from the start. Make room on the disk of this node, or look after it.",
                job_id=self.job_id,
            )
        else:
            await self.means.health.tell_once(
                "renderer_died",
                "info",
                f"A renderer ended before its time and is started again: {words}. Look into the log of this node.",
                job_id=self.job_id,
            )

    async def _begin_anew(self) -> None:
        """Another encoder may write other bytes: what the controller has of the old one is of no use."""
        await asyncio.to_thread(self.folder.drop_rendition)
        await self.update(cache_file_id=None, seal_sent=False)

    def _is_rendered_or_rendering(self) -> bool:
        return self.folder.rendition.exists() or self.means.renderers.is_rendering(self.folder)

    def _task(self) -> RenderTask:
        state = self.state
        assert state.take_id is not None
        assert state.start_frame is not None
        settings = state.claimed.settings
        return RenderTask(
            recording_id=state.recording_id,
            take_id=state.take_id,
            take_folder=str(self.spool.takes_folder / str(state.take_id)),
            start_frame=state.start_frame,
            press_frame=state.press_frame,
            end_frame=state.end_frame,
            end_reason=state.end_reason,
            cut_frame=state.cut_frame,
            given_up=state.given_up,
            capture=settings.capture,
            channel_map=settings.channel_map,
            encoding=settings.encoding,
            encoder_version=encoder_version(settings.encoding),
            size_limit_bytes=settings.limits.size_bytes,
            hold_back_frames=round(HOLD_BACK_SECONDS * settings.capture.sample_rate_hz),
        )
