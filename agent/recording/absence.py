"""Parts of a recording that lie on a spill disk that is not there."""

import asyncio
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import structlog

from agent.owner import clock
from agent.recording.part import Part
from agent.renderer.facts import end_of
from agent.states import Instant, Stage
from core_rs import Segment, Take
from protocol.messages import EndReason

log = structlog.get_logger()


class Absence(Part):
    """They are waited for; then the rest is delivered, and they once their disk is back. They never go from there."""

    async def hinders(self) -> bool:
        """Whether the rendition has to wait for a disk. What has been waited for long enough is given up."""
        state, missing = self.state, await self._missing()
        if set(missing) <= set(state.given_up):
            if len(missing) < len(state.given_up) or (state.away_since and not missing):
                await self.update(given_up=missing, away_since=state.away_since if missing else None)
            return False
        if state.away_since is None:
            state = await self.update(away_since=Instant.in_ms(0))
            await self._tell_missing(missing)
        assert state.away_since is not None
        if (clock.boottime_ns() - state.away_since.or_now_ns()) / 1e9 <= self.timeouts.disk_away:
            return True
        await self._give_up(missing)
        return False

    async def lacks_end(self, take: Take, waited_seconds: float) -> bool:
        """Whether a take ends too early only because the disk with its newest segment is missing, and is waited for."""
        newest = [segment.path for segment in take.segments[-1:]]
        missing = tuple(await asyncio.to_thread(_without_folder, newest))
        if not missing:
            return False
        await self._tell_missing(missing)
        if waited_seconds <= self.timeouts.disk_away:
            return True
        await self._give_up(missing)
        return False

    async def is_over(self) -> bool:
        """Of a recording that was rendered: whether nothing more is to be waited for. When all that was given up is
        there again, but for what is configured no more, it is delivered anew."""
        given_up, spills = self.state.given_up, self.means.settings.spill_folders
        missing = tuple(await asyncio.to_thread(_without_folder, given_up))
        if any(Path(path).parent.parent in spills for path in missing):
            return False
        if len(missing) < len(given_up):
            await self._deliver_anew(missing)
            return False
        if missing:
            log.warning("a part is on a disk that is configured no more", job_id=str(self.job_id))
        return True

    async def _give_up(self, segments: tuple[str, ...]) -> None:
        """The recording is delivered without these, for now."""
        given_up = tuple(dict.fromkeys((*self.state.given_up, *segments)))
        await self.update(given_up=given_up)
        await self.means.health.tell_once(
            "part_given_up",
            "critical",
            f"{_places(segments)} stays away, and the recording is delivered without what lies there: it is listed as "
            "a gap. Mount that disk again, then the recording is delivered once more, whole.",
            job_id=self.job_id,
        )

    async def _deliver_anew(self, missing: tuple[str, ...]) -> None:
        """With all but these. What died with its disk has more frames now than it ended with."""
        state, take = self.state, await self.take_of(self.state)
        assert state.end_frame is not None
        end_frame = state.end_frame
        if state.end_reason is EndReason.CAPTURE_DIED:
            there = set(state.given_up) - set(missing)
            back = [segment for segment in take.segments if segment.path in there]
            end_frame = max([end_frame, *(end_of(segment, take.gaps) for segment in back)])
        await asyncio.to_thread(self.folder.drop_rendition)
        await self.update(
            stage=Stage.FINISHING,
            end_frame=end_frame,
            cut_frame=None,
            given_up=missing,
            away_since=None,
            cache_file_id=None,
            seal_sent=False,
            is_verified=False,
            is_sent_again=True,
        )
        log.info("a disk is back, and the recording is delivered with what lies there", job_id=str(self.job_id))

    async def _missing(self) -> tuple[str, ...]:
        """Paths of the segments with frames of this recording whose folder is not there, and of those given up."""
        take = await self.take()
        return await asyncio.to_thread(self._missing_of, take.segments)

    def _missing_of(self, segments: list[Segment]) -> tuple[str, ...]:
        state = self.state
        ends = [segment.start_frame for segment in segments[1:]]
        start_frame, end_frame = state.start_frame or 0, state.end_frame
        wanted = [
            segment.path
            for segment, end in zip_longest(segments, ends)
            if segment.path in state.given_up
            or (
                segment.frames
                and (end is None or start_frame < end)
                and (end_frame is None or segment.start_frame < end_frame)
            )
        ]
        return tuple(_without_folder(wanted))

    async def _tell_missing(self, missing: tuple[str, ...]) -> None:
        await self.means.health.tell_once(
            "disk_missing",
            "critical",
            f"A part of the recording lies in {_places(missing)}, which is not there. Mount that disk again; after "
            f"{self.timeouts.disk_away / 60:.0f} minutes the recording is delivered without that part.",
            job_id=self.job_id,
        )


def _without_folder(segments: Sequence[str]) -> list[str]:
    """A folder is durable before the ledger names it: when it is missing, its disk is."""
    return [path for path in segments if not Path(path).parent.is_dir()]


def _places(segments: tuple[str, ...]) -> str:
    """The spill folders that they lie in."""
    return ", ".join(sorted({str(Path(path).parent.parent) for path in segments}))
