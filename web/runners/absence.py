"""Say of a node that falls silent that it does, as a condition which lasts until it is heard again."""

from web.domain.health import Finding
from web.domain.states import Severity
from web.runners.leases import OutageWatch
from web.store import health_events, jobs, nodes, turns
from web.store.database import Database

KIND = "node_not_seen"
_REVOKED = "Its tokens were revoked, so it is refused; let it join again from its page."


async def tick(db: Database, watch: OutageWatch) -> None:
    """Tells once of every change. Call it every `timeouts.presence`, from any controller.

    After an outage of controller or database all nodes get the time in which they are heard first.
    Raises DatabaseUnavailableError.
    """
    async with db.transaction() as session:
        uptime = await jobs.uptime_seconds(session)
        reachable = watch.database_answered(uptime, db.timeouts.presence)
        if not await turns.take(session, "presence"):
            return
        for node in await nodes.changed_presence(session, KIND, seen_within=db.timeouts.node_not_seen):
            if node.is_told:
                await health_events.end(session, KIND, node_id=node.id)
            elif reachable >= db.timeouts.node_not_seen:
                await health_events.begin(session, _finding(node), node_id=node.id, age_seconds=node.silent_seconds)


def _finding(node: nodes.Presence) -> Finding:
    since = f"{node.name} has not been heard of since {node.last_seen_at:%Y-%m-%d %H:%M:%S} UTC."
    advice = _REVOKED if node.is_revoked else "Check its power and network."
    if not node.capturing:
        return Finding(KIND, Severity.WARNING, f"{since} {advice}")
    what = "the recording" if node.capturing == 1 else f"the {node.capturing} recordings"
    return Finding(
        KIND,
        Severity.CRITICAL,
        f"{since} If it has power it goes on with {what} that it was capturing, and delivers later. {advice}",
    )
