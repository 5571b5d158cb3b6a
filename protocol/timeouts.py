"""Every chained limit in one table, and how they hang together. `docs/timeouts.md` is this table in print."""

from dataclasses import dataclass, field, fields
from typing import Any


def _seconds(default: float, words: str) -> Any:
    return field(default=default, metadata={"words": words})


@dataclass(frozen=True)
class Timeouts:
    """Seconds. Both sides make one at start and pass it on."""

    # the owner and its take
    device_period: float = _seconds(0.021, "what a sound device delivers at once")
    ring: float = _seconds(10.0, "what the ring between device and disk holds")
    flush: float = _seconds(0.5, "frames become durable so often")
    segment: float = _seconds(60.0, "length of a segment")
    growth_quiet: float = _seconds(1.0, "a take that did not grow for so long is quiet")
    growth_stalled: float = _seconds(3.0, "and stalled after so long")
    owner_request: float = _seconds(2.0, "a request of the agent to an owner, also after connect")
    owner_first_request: float = _seconds(2.0, "a client of an owner that says nothing is cut off")
    owner_start: float = _seconds(5.0, "an owner that was started answers")
    owner_drain: float = _seconds(6.0, "an owner that ends writes out what it has; past it: a kill, written as one")
    take_linger: float = _seconds(10.0, "a take that nobody needs goes on so long")
    clock_pair: float = _seconds(10.0, "frame and UTC are noted together so often")

    # agent and controller
    heartbeat: float = _seconds(10.0, "counted from sending; a wish or another phase makes one due at once")
    http_connect: float = _seconds(3.0, "a connection to the controller")
    http_total: float = _seconds(8.0, "a request of the agent, connecting included")
    lease: float = _seconds(30.0, "what each heartbeat extends")
    wake_held: float = _seconds(25.0, "a request for news is held so long; answered at once when the controller stops")
    wake_poll: float = _seconds(10.0, "the agent asks for jobs at least so often, ± 20 %")
    change_poll: float = _seconds(5.0, "a controller reads again what changed for waiting nodes")
    retry_first: float = _seconds(0.5, "after a first fault; doubled each time, with jitter")
    retry_longest: float = _seconds(30.0, "the longest pause between tries, whatever `Retry-After` asks for")
    upload_stall: float = _seconds(60.0, "an upload without a byte is given up and resumed")
    upload_pause: float = _seconds(0.25, "new content is looked for so often")
    meter_period: float = _seconds(0.1, "levels of watched interfaces are read and sent so often")
    meter_watch: float = _seconds(30.0, "an interface stays watched; pages say that they look each third of this")
    request_head: float = _seconds(10.0, "a client that has connected, or begun a request, sends its head within")
    request_rest: float = _seconds(10.0, "a client that was answered may go on sending the body so long")
    page_ping: float = _seconds(15.0, "a sign of life on the event stream of a page")
    page_stuck: float = _seconds(10.0, "a page that takes nothing for so long is cut off")
    page_session: float = _seconds(30.0, "an open page asks so often whether its session goes on")
    presence: float = _seconds(5.0, "pages hear so soon that a node is not seen any more, or is again")
    orphan_capture: float = _seconds(
        900.0, "an open-ended recording whose job was ended goes on so long; nobody could stop it any more"
    )
    disk_away: float = _seconds(
        900.0, "a spill disk that is missing is waited for so long; then what lies elsewhere is delivered"
    )
    renderer_stalled: float = _seconds(
        30.0, "a renderer whose file did not grow for so long, while its take did, is ended"
    )

    node_token: float = _seconds(
        86_400.0, "the token of a node is good so long; its agent is asked for another at half"
    )
    node_token_grace: float = _seconds(
        30 * 86_400.0, "a token that ran out can still be exchanged for another: an agent that was away comes back"
    )
    enrolment_code: float = _seconds(900.0, "a code with which a node joins is good so long")

    # the controller's own
    rescue_period: float = _seconds(5.0, "lost jobs are looked for so often")
    grace_starting: float = _seconds(0.0, "beyond the lease, before anything is captured")
    grace_capturing: float = _seconds(120.0, "beyond the lease, while a node captures or finishes")
    grace_uploading: float = _seconds(900.0, "since the last byte, while a node uploads")
    unclaimed: float = _seconds(60.0, "a due start that no node took fails")
    stale_start: float = _seconds(
        900.0, "an open-ended start that nobody could take begins no later than this: nobody expects it any more"
    )
    node_not_seen: float = _seconds(30.0, "a node that was not heard for so long is not seen")
    database_statement: float = _seconds(5.0, "one statement")
    database_acquire: float = _seconds(2.0, "a connection of the pool")

    # stopping
    agent_stop: float = _seconds(3.0, "SIGTERM to exit of the agent, whatever hangs; owners go on")
    controller_stop: float = _seconds(5.0, "SIGTERM to exit of the controller, whatever hangs")
    demo_stop: float = _seconds(10.0, "Ctrl-C to everything down, owners drained")

    def scaled(self, factor: float) -> "Timeouts":
        """All limits times a factor; for trying in minutes what takes hours.

        No process starts and no disk syncs faster because less time is given: those limits are never shortened.
        """
        scaled = {one.name: getattr(self, one.name) * factor for one in fields(self)}
        of_the_machine = {name: getattr(self, name) * max(factor, 1.0) for name in ("owner_start", "ring")}
        return Timeouts(**{**scaled, **of_the_machine})


RELATIONS: tuple[tuple[str, str], ...] = (
    ("ring >= 2 * 5", "twice the worst stall of a disk loses nothing"),
    ("flush + device_period <= 1", "the promised second"),
    ("growth_quiet >= 2 * flush", "two flushes are no alarm"),
    ("growth_stalled > growth_quiet", "quiet comes first"),
    ("segment > clock_pair", "each segment has its pairs of frame and UTC"),
    ("renderer_stalled > 2 * upload_pause + growth_stalled", "a renderer that only waits for frames does not hang"),
    ("owner_request < heartbeat", "an owner that hangs costs no heartbeat"),
    ("owner_first_request <= owner_request", "a silent client is gone before the agent gives up"),
    ("owner_start > owner_request", "a start holds at least one request"),
    ("http_connect < http_total < heartbeat", "a heartbeat that fails is followed by one in time"),
    ("3 * heartbeat <= lease", "two lost heartbeats cost no lease"),
    ("retry_longest <= lease", "who waits longest still comes back within a lease"),
    ("node_not_seen >= 3 * heartbeat", "two lost heartbeats are no absence"),
    ("presence + node_not_seen < 60", "a page tells of an absence within a minute"),
    ("wake_held < 60", "proxies close what is silent for a minute"),
    ("request_head > http_connect + 5", "a client on a slow line gets its head through"),
    ("page_ping < 60", "the same for pages"),
    ("upload_stall >= 60", "proxies may keep bytes so long"),
    ("page_stuck < page_ping + page_session", "a stuck page does not outlive its session by much"),
    ("1.2 * wake_poll + change_poll < unclaimed", "a lost wake-up costs no start"),
    ("unclaimed < stale_start", "a start fails before it is stale"),
    ("database_acquire < database_statement < http_total", "the controller answers before the agent gives up"),
    ("database_acquire + database_statement < http_total", "also when both take their time"),
    ("rescue_period < lease", "a lost job is ended within one lease more"),
    ("grace_starting + lease + rescue_period + 2 <= 37", "a job is ended in time before it captures (I1)"),
    ("grace_capturing + lease + rescue_period + 2 <= 157", "and while it captures (I1)"),
    ("grace_uploading > upload_stall + retry_longest", "an upload that stalls and resumes is not given up"),
    (
        "node_token / 2 > 10 * (wake_held + retry_longest)",
        "an agent has many tries to exchange its token before it runs out",
    ),
    ("node_token_grace > node_token", "a node that was away for days comes back"),
    ("orphan_capture > lease + grace_capturing + rescue_period", "a capture outlives its job"),
    ("agent_stop + owner_drain + flush < demo_stop", "the demo stops the agent, then its owners"),
    ("controller_stop < demo_stop", "and the controller beside them"),
    ("owner_drain < 30 and demo_stop < 30", "`TimeoutStopSec` of services"),
)
"""What must hold at full scale, as an expression over the table, and why."""


def as_markdown() -> str:
    """The table in print."""
    full = Timeouts()
    timers = [
        f"| `{one.name}` | {_printed(getattr(full, one.name))} | {one.metadata['words']} |" for one in fields(full)
    ]
    relations = [f"| `{expression}` | {why} |" for expression, why in RELATIONS]
    return "\n".join([_BEFORE, *timers, _BETWEEN, *relations, _AFTER])


def _printed(seconds: float) -> str:
    if seconds and seconds < 1:
        return f"{seconds * 1000:g} ms"
    for unit, length in (("d", 86_400), ("h", 3_600)):
        if seconds > length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds / 60:g} min" if seconds >= 120 and seconds % 60 == 0 else f"{seconds:g} s"


_BEFORE = """\
# Limits and timeouts

Made by `python -m protocol.timeouts > docs/timeouts.md`. `REELKEEPER_TIME_SCALE` multiplies all of them, but
shortens neither `owner_start` nor `ring`: those are given to the machine.

| limit | value | what |
|---|---|---|"""

_BETWEEN = """
## How they hang together

Each outer limit exceeds what it contains. A test computes every line.

| must hold, in seconds | why |
|---|---|"""

_AFTER = """
The agent keeps no time of its own for a lease. A lease decides who reports and uploads, never who may go on capturing;
whether it still holds is decided where the answer is written, by epoch and node run in the same transaction. An agent
that stopped reporting by its own clock would only lose leases that the controller would have renewed.
"""

if __name__ == "__main__":
    print(as_markdown(), end="")
