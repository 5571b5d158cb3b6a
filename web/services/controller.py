"""What the acts of one running controller share."""

import asyncio
from dataclasses import dataclass, field

from protocol.timeouts import Timeouts
from web.domain.errors import LocalSignInOffError
from web.domain.system import Surroundings
from web.outbound import Outbound
from web.services.auditing.denials import Denials
from web.services.content.cache_content import CacheContent
from web.services.content.listening import Listening
from web.services.content.stored_content import StoredContent
from web.services.content.waveforms import Waveforms
from web.services.entry.api_rates import ApiRates
from web.services.entry.openid import OpenId
from web.services.entry.passwords import Passwords
from web.services.entry.sign_on_rates import SignOnRates
from web.services.keys import Keys
from web.services.recorders.meters import Meters
from web.store.database import Database
from web.store.notifications import Notifications


@dataclass(frozen=True)
class Controller:
    """Made once at the start and handed to every route and runner."""

    db: Database
    notifications: Notifications
    content: CacheContent
    stored: StoredContent
    listening: Listening
    waveforms: Waveforms
    meters: Meters
    keys: Keys
    open_id: OpenId | None
    """The way to who vouches for people, if anybody does."""
    is_local_sign_in: bool
    """Whether names, passwords and links for one let people in."""
    outbound: Outbound
    timeouts: Timeouts
    denials: Denials
    surroundings: Surroundings
    passwords: Passwords = field(default_factory=Passwords)
    api_rates: ApiRates = field(default_factory=ApiRates)
    sign_on_rates: SignOnRates = field(default_factory=SignOnRates)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once: whoever waits answers now."""
    sealed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there may be something to finalise."""

    def require_local_sign_in(self) -> None:
        """Before anything that leads to a password or comes by one. Raises LocalSignInOffError."""
        if not self.is_local_sign_in:
            raise LocalSignInOffError

    def stop(self) -> None:
        """Lets everything that waits or streams end at a good place. A second call does nothing."""
        self.stopping.set()
        self.content.stop()
        self.listening.stop()
        for node_id in self.notifications.waiting_nodes():
            self.notifications.wake(node_id)
        self.notifications.ring_pages()
