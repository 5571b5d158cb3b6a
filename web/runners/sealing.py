"""Seal what was noted, and let the log have the head of the chain: whoever keeps the log can tell a chain made anew."""

import time

import structlog

from web.domain.audit import LIMITS
from web.domain.seals import Seal
from web.services.auditing.audit_seals import Sealer
from web.store.database import Database

_log = structlog.get_logger()


class Sealing:
    """What one controller remembers between two ticks."""

    def __init__(self) -> None:
        self._sealer = Sealer()
        self._logged: Seal | None = None
        self._logged_at: float | None = None

    async def tick(self, db: Database) -> None:
        """Seals all that is settled, if no other controller does. Raises DatabaseUnavailableError."""
        head = await self._sealer.seal(db)
        if head is not None and head != self._logged and self._is_due():
            _log.info("audit sealed", head=str(head), number=head.number)
            self._logged, self._logged_at = head, time.monotonic()

    def _is_due(self) -> bool:
        return self._logged_at is None or time.monotonic() - self._logged_at >= LIMITS.head_logged_every
