"""What was refused is on the record: one by one up to a rate, beyond it as a count, so that a scan fills no disk."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from web.domain.access import Actor, NodeActor, system
from web.domain.audit import LIMITS, AuditLimits, Budget, Object, Outcome
from web.services.auditing import audit
from web.store.database import Database

_BY = system("audit")
_Key = tuple[str, str, str]
_EVERYBODY: _Key = ("everybody else", "", "")


@dataclass
class _Window:
    began: float
    seconds: float
    noted: int = 0
    left_out: int = 0


class Denials:
    """What one controller refused lately. `clock` gives seconds."""

    def __init__(self, db: Database, limits: AuditLimits = LIMITS, clock: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._limits = limits
        self._clock = clock
        self._windows: dict[_Key, _Window] = {}

    async def note(
        self,
        by: Actor | NodeActor,
        action: str,
        of: Object | None = None,
        *,
        reason: str,
        after: dict[str, object] | None = None,
        budget: Budget | None = None,
    ) -> None:
        """Unless this actor was refused too often lately. Raises DatabaseUnavailableError."""
        if self._is_within(by, budget or self._limits.denials):
            await audit.note(self._db, by, action, of, after=after, outcome=Outcome.DENIED, reason=reason)

    async def tick(self) -> None:
        """Notes how many were left out of the windows that are over. Raises DatabaseUnavailableError."""
        now = self._clock()
        for key in [key for key, window in self._windows.items() if now - window.began >= window.seconds]:
            window = self._windows[key]
            if window.left_out:
                who, name, address = key
                about = {"actor": name or who, "address": address or None, "left_out": window.left_out}
                await audit.note(self._db, _BY, "audit.leave_out", after={**about, "seconds": window.seconds})
            del self._windows[key]

    def _is_within(self, by: Actor | NodeActor, budget: Budget) -> bool:
        """Counts it. Without room for another actor all further ones share one count."""
        together = self._window(_EVERYBODY, self._limits.denials_together.seconds)
        key = _key_of(by)
        if key not in self._windows and len(self._windows) > self._limits.denials_together.number:
            key = _EVERYBODY
        window = self._window(key, budget.seconds)
        if together.noted >= self._limits.denials_together.number or window.noted >= budget.number:
            window.left_out += 1
            return False
        together.noted += 1
        if window is not together:
            window.noted += 1
        return True

    def _window(self, key: _Key, seconds: float) -> _Window:
        return self._windows.setdefault(key, _Window(self._clock(), seconds))


def _key_of(by: Actor | NodeActor) -> _Key:
    kind = "node" if isinstance(by, NodeActor) else by.kind
    return kind, by.name, by.source.address or ""
