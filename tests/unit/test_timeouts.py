"""Each outer limit exceeds what it contains (reliability: chained timeouts)."""

from protocol.timeouts import Timeouts

T = Timeouts()


def test_outer_limits_exceed_what_they_contain() -> None:
    worst_fsync_stall = 5.0
    assert T.ring >= 2 * worst_fsync_stall
    assert T.flush + T.device_period <= 1.0
    assert T.growth_quiet >= 2 * T.flush
    assert T.growth_stalled > 2 * T.flush
    assert T.owner_request < T.heartbeat
    assert T.heartbeat <= T.lease / 3
    assert T.http_connect < T.http_total < T.heartbeat
    assert T.agent_lease <= T.lease * 0.9
    assert T.database_acquire < T.database_statement < T.http_total
    assert T.node_not_seen >= 3 * T.heartbeat
    assert T.wake_poll * 1.2 + T.change_poll < T.unclaimed
    assert T.rescue_period < T.lease


def test_demo_stop_holds_the_stop_of_its_parts() -> None:
    assert T.agent_stop + T.owner_drain < T.demo_stop
    assert T.controller_stop < T.demo_stop


def test_scaling_keeps_every_relation() -> None:
    scaled = T.scaled(0.1)
    assert scaled.lease == T.lease * 0.1
    assert scaled.lease >= 3 * scaled.heartbeat
