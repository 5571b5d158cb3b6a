"""Sees that the rendition of a recording is being made, and made again when it has to be."""

import asyncio
import time
from uuid import UUID

from agent.files import write_model
from agent.patience import Patience
from agent.recording.part import Means, Part
from agent.renderer.encoders import encoder_version
from agent.renderer.handle import NOT_WRITTEN, last_words, stop_renderer
from agent.states import RenderTask

HOLD_BACK_SECONDS = 1.0
"""A stop that is heard later than this costs making the rendition again."""


class Rendering(Part):
    """The agent's share of it: the task, and that there is a renderer."""

    def __init__(self, means: Means, job_id: UUID) -> None:
        super().__init__(means, job_id)
        self._task_on_disk: RenderTask | None = None
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
        if time.monotonic() >= self._due and not await asyncio.to_thread(self._is_rendered_or_rendering):
            await self._start()

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
                f"The recording is captured, but its file cannot be written: {words.removeprefix(NOT_WRITTEN)}. It is "
                "tried again, and made from the start. Make room on the disk of this node, or replace it.",
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
            end_frame=state.end_frame,
            end_reason=state.end_reason,
            cut_frame=state.cut_frame,
            capture=settings.capture,
            channel_map=settings.channel_map,
            encoding=settings.encoding,
            encoder_version=encoder_version(settings.encoding),
            hold_back_frames=round(HOLD_BACK_SECONDS * settings.capture.sample_rate_hz),
        )
