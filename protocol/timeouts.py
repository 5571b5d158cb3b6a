"""Every chained limit in one table. Outer limits exceed what they contain; a test holds that."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Timeouts:
    """Seconds. Both sides make one at start and pass it on."""

    # the owner and its take
    device_period: float = 0.021
    ring: float = 10.0
    flush: float = 0.5
    segment: float = 60.0
    growth_quiet: float = 1.0
    growth_stalled: float = 3.0
    owner_request: float = 2.0
    owner_first_request: float = 2.0
    owner_start: float = 5.0
    owner_drain: float = 6.0
    take_linger: float = 10.0
    clock_pair: float = 10.0

    # agent and controller
    heartbeat: float = 10.0
    http_connect: float = 3.0
    http_total: float = 8.0
    lease: float = 30.0
    agent_lease: float = 27.0
    wake_held: float = 25.0
    wake_poll: float = 10.0
    change_poll: float = 5.0
    retry_first: float = 0.5
    retry_longest: float = 30.0
    upload_stall: float = 60.0
    upload_pause: float = 0.25
    meter_period: float = 0.1
    """Levels of watched interfaces are read and sent so often."""
    meter_watch: float = 30.0
    """An interface stays watched so long after a page last said that it looks; pages say it each third of this."""
    page_ping: float = 15.0
    page_stuck: float = 10.0
    """A page that takes nothing for so long is cut off."""
    page_session: float = 30.0
    """An open page asks so often whether its session goes on."""
    presence: float = 5.0
    """Pages hear so soon that a node is not seen any more, or is again."""
    orphan_capture: float = 900.0
    """An open-ended recording whose job the controller has ended goes on so long; nobody could stop it any more."""

    # the controller's own
    rescue_period: float = 5.0
    grace_starting: float = 0.0
    grace_capturing: float = 120.0
    grace_uploading: float = 900.0
    unclaimed: float = 60.0
    stale_start: float = 900.0
    """An open-ended start that nobody could take begins no later than this: nobody expects it any more."""
    node_not_seen: float = 30.0
    database_statement: float = 5.0
    database_acquire: float = 2.0

    # stopping
    agent_stop: float = 3.0
    controller_stop: float = 5.0
    demo_stop: float = 10.0

    def scaled(self, factor: float) -> "Timeouts":
        """All limits times a factor; for trying in minutes what takes hours."""
        return Timeouts(**{field.name: getattr(self, field.name) * factor for field in fields(self)})
