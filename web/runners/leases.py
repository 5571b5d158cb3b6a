"""Fail the jobs whose node is lost, and the starts that no node took."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

from web.store.database import Database


class OutageWatch:
    """Knows since when agents could have reached us: a silence of ours must not fail their jobs. One a controller."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        raise NotImplementedError


async def tick(db: Database, watch: OutageWatch) -> list[UUID]:
    """Rescue once; answers the jobs that were ended. Call it every `timeouts.rescue_period`, from any controller.

    After an outage of controller or database it waits one lease first. Raises DatabaseUnavailableError.
    """
    raise NotImplementedError
