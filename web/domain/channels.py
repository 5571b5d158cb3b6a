"""Which captured channels a recording takes, as a matrix of gains."""

from collections.abc import Sequence
from typing import Literal

from web.domain.errors import InvalidError


def channel_map(
    channels: Sequence[int] | None, output: Literal["separate", "mono"], captured: int, interface: str
) -> list[list[float]]:
    """Rows of gains, one row an output, one gain a captured channel.

    Raises InvalidError for a channel beyond the capture format, naming the setting that would bring it.
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
    if output == "mono":
        return [[wanted.count(channel) / len(wanted) for channel in range(captured)]]
    return [[1.0 if channel == row else 0.0 for channel in range(captured)] for row in wanted]
