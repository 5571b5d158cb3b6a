"""What a recording is, said from its take: gaps, clock, segments, how whole it is."""

from bisect import bisect_left

from agent.states import RenderTask
from core_rs import Gap, Segment, Take
from protocol.messages import (
    ChannelLevel,
    ClockPairReport,
    EndReason,
    GapReport,
    Origin,
    RecordingFacts,
    SegmentReport,
)

_CUTS = {EndReason.NODE_STOPPED, EndReason.LENGTH_LIMIT, EndReason.SIZE_LIMIT, EndReason.DISK_FULL}
"""Ends that cut off what would have gone on. Silence that lasts is an end like a stop."""


def end_within(take: Take, start_frame: int, end_frame: int) -> int:
    """Where the recording ends: at its end frame, or where the take itself ended before that."""
    if take.end is not None and take.end.end_frame < end_frame:
        return max(start_frame, take.end.end_frame)
    return end_frame


def end_of(segment: Segment, gaps: list[Gap]) -> int:
    """Where the last frame of a segment ends in its take, whose gaps these are, in order."""
    end_frame = segment.start_frame + segment.frames
    for at in range(bisect_left(gaps, segment.start_frame, key=lambda gap: gap.start_frame), len(gaps)):
        if gaps[at].start_frame >= end_frame:
            break
        end_frame += gaps[at].frames
    return end_frame


def origin(task: RenderTask, end_frame: int) -> Origin:
    """Normal is only what was ended on purpose and is there up to that end."""
    if task.end_reason is EndReason.CAPTURE_DIED or task.given_up:
        return Origin.RECOVERED
    if task.end_reason in _CUTS or end_frame != task.end_frame:
        return Origin.TRUNCATED
    return Origin.NORMAL


def gaps_within(take: Take, start_frame: int, end_frame: int) -> list[GapReport]:
    """The gaps of the range, cut to it and counted from its start."""
    found = []
    for gap in take.gaps:
        begin, end = max(gap.start_frame, start_frame), min(gap.start_frame + gap.frames, end_frame)
        if begin < end:
            found.append(
                GapReport(
                    start_frame=begin - start_frame,
                    frames=end - begin,
                    cause=gap.cause,
                    uncertainty_frames=gap.uncertainty_frames,
                )
            )
    return found


def facts(
    task: RenderTask, take: Take, end_frame: int, levels: list[ChannelLevel], integrated_lufs: float | None
) -> RecordingFacts:
    """Everything a listener, an operator or a court may ask of it."""
    start, gaps = task.start_frame, take.gaps
    assert task.end_reason is not None
    return RecordingFacts(
        take_id=task.take_id,
        start_frame=start,
        end_frame=end_frame,
        capture=task.capture,
        channel_map=task.channel_map,
        encoding=task.encoding,
        encoder_version=task.encoder_version,
        channels=len(task.channel_map),
        sample_rate_hz=task.capture.sample_rate_hz,
        frames=end_frame - start,
        preroll_frames=None if task.press_frame is None else min(task.press_frame, end_frame) - start,
        gaps=gaps_within(take, start, end_frame),
        clock_pairs=_clock_pairs(take, start, end_frame),
        segments=[
            SegmentReport(start_frame=segment.start_frame, frames=segment.frames, sha256=segment.sha256)
            for segment in take.segments
            if segment.start_frame < end_frame and start < end_of(segment, gaps)
        ],
        levels=levels,
        integrated_lufs=integrated_lufs,
        end_reason=task.end_reason,
    )


def _clock_pairs(take: Take, start_frame: int, end_frame: int) -> list[ClockPairReport]:
    """The pairs of the range, and the nearest one on either side."""
    pairs = sorted(take.clock_pairs, key=lambda pair: pair.frame)
    before = [pair for pair in pairs if pair.frame < start_frame][-1:]
    within = [pair for pair in pairs if start_frame <= pair.frame < end_frame]
    after = [pair for pair in pairs if pair.frame >= end_frame][:1]
    return [ClockPairReport(frame=pair.frame - start_frame, utc_ns=pair.utc_ns) for pair in (*before, *within, *after)]
