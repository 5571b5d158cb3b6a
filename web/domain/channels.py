"""Which captured channels a recording takes, as a matrix of gains."""

from collections.abc import Sequence
from typing import Literal

from web.domain.errors import InvalidError

ChannelMode = Literal["separate", "mono", "stereo"]
"""`separate` keeps the chosen channels, `mono` is their mean, `stereo` is two of them, or one on both sides."""


def channel_map(channels: Sequence[int] | None, mode: ChannelMode, captured: int, interface: str) -> list[list[float]]:
    """Rows of gains, one row an output, one gain a captured channel.

    Raises InvalidError for a channel beyond the capture format, naming the setting that would bring it, and for more
    than two channels that are to be stereo.
    """
    wanted = list(range(captured)) if channels is None else list(channels)
    beyond = [channel for channel in wanted if channel >= captured]
    if beyond:
        names = ", ".join(str(channel + 1) for channel in beyond)
        raise InvalidError(
            f"Channel {names} is not captured: the capture format of “{interface}” has {captured} "
            f"channel{'' if captured == 1 else 's'}. Raise the channels in the interface's capture format.",
            field="channels",
        )
    match mode:
        case "mono":
            return [[wanted.count(channel) / len(wanted) for channel in range(captured)]]
        case "stereo":
            wanted = _two_of(wanted)
    return [[1.0 if channel == row else 0.0 for channel in range(captured)] for row in wanted]


def _two_of(channels: list[int]) -> list[int]:
    if len(channels) > 2:
        raise InvalidError(
            f"Stereo takes one or two channels, not {len(channels)}: choose two of them, or keep them separate.",
            field="channels",
        )
    return channels if len(channels) == 2 else channels * 2
