"""How loops outlive faults: they tell them with a traceback, wait a while, and go on."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from agent.errors import NodeRunSupersededError, RejoinedError, RetryLaterError, UnauthorisedError, UnreachableError
from protocol.timeouts import Timeouts

log = structlog.get_logger()

ENDS = (NodeRunSupersededError, RejoinedError)
"""After these no loop goes on: another agent has this node's place, or it has another token."""


class Patience:
    """Seconds before the next try: doubled at each fault up to `longest`, with jitter.

    Never less than a controller asks for, within reason: what stands before it may ask for hours.
    """

    def __init__(self, timeouts: Timeouts, longest: float | None = None) -> None:
        self._first = timeouts.retry_first
        self._longest = longest if longest is not None else timeouts.retry_longest
        self._most_asked = timeouts.retry_longest
        self.faults = 0
        """In a row, until now."""

    def after(self, fault: Exception | None = None) -> float:
        """How long to wait now."""
        usual = min(self._first * float(2 ** min(self.faults, 16)), self._longest) * random.uniform(0.5, 1.0)
        self.faults += 1
        asked = fault.after_seconds if isinstance(fault, RetryLaterError) else None
        return max(usual, min(asked or 0.0, self._most_asked))

    def reset(self) -> None:
        """Things work again."""
        self.faults = 0


async def go_on_for_ever(
    name: str, step: Callable[[], Awaitable[None]], timeouts: Timeouts, longest: float | None = None
) -> None:
    """Takes the step again and again. Only `ENDS` end it."""
    patience = Patience(timeouts, longest)
    while True:
        try:
            await step()
            patience.reset()
        except ENDS:
            raise
        except Exception as fault:
            seconds = patience.after(fault)
            tell(name, fault, seconds)
            await asyncio.sleep(seconds)


async def run_together(*works: Coroutine[Any, Any, None]) -> None:
    """Until the first of them ends, whose fault is raised. Then the others are ended, the last first."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in reversed(tasks):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def is_absence(fault: Exception) -> bool:
    """Whether the controller is away or busy, or refuses this node: then waiting is all that can be done."""
    return isinstance(fault, UnreachableError | RetryLaterError | UnauthorisedError)


def tell(name: str, fault: Exception, seconds: float) -> None:
    """Logs a fault of a loop; an absent controller, or one that refuses this node, needs no traceback."""
    if isinstance(fault, UnauthorisedError):
        log.error("the controller refuses this node", loop=name, fault=str(fault), retry_in_seconds=round(seconds, 2))
    elif is_absence(fault):
        log.warning("controller is not available", loop=name, fault=str(fault), retry_in_seconds=round(seconds, 2))
    else:
        log.exception("loop had a fault and goes on", loop=name, fault=str(fault), retry_in_seconds=round(seconds, 2))
