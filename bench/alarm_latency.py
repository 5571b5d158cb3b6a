"""How long a fault lasts before the controller knows of it: a real controller, agent and owner, at full time scale.

Each row breaks one recording of the counter, and waits for its event in the database; the goal is what is promised.
"""

import argparse
import asyncio
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.measure import Claim, at_most, not_measured, report
from reelkeeper.faultkit.rig import ask_owner
from reelkeeper.faultkit.system import System, is_alive, running, wait_for
from web.settings import ControllerSettings
from web.store.embedded import EmbeddedPostgres

LONGEST_SECONDS = 90.0
SYNC_DELAY_SECONDS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    home = Path(tempfile.mkdtemp(prefix="rk-"))
    home.chmod(0o755)
    figures: dict[str, object] = {}
    claims: list[Claim] = []
    try:
        with running(System(home=home)) as system:
            for what, kinds, seconds, goal in HOOKS:
                measured = [of_hook(system, kinds, what, seconds) for _ in range(rounds)]
                note(f"{what}: seconds to the alarm", measured, goal, claims, figures)
            if shutil.which("strace"):
                measured = [of_disk(system) for _ in range(rounds)]
                note("stalled disk: seconds to the alarm", measured, 10.0, claims, figures)
            else:
                claims.append(not_measured("stalled disk: seconds to the alarm", "≤ 10", "no strace"))
            note("node gone: seconds to the alarm", [of_node(system)], 36.0, claims, figures)
    finally:
        shutil.rmtree(home)
    report("alarm latency", claims, figures)


HOOKS = (
    ("stall", ("device_stalled", "device_lost"), 20.0, 10.0),
    ("disconnect", ("device_stalled", "device_lost"), 20.0, 10.0),
    ("zeros", ("exact_zeros",), 20.0, 10.0),
    ("freeze", ("frozen",), 20.0, 10.0),
    ("repeat", ("frozen",), 20.0, 10.0),
    ("mute_channel", ("dead_channel",), 20.0, 10.0),
    ("clip", ("clipping",), 20.0, 10.0),
)
"""Hook of the counter, its events, how long it is broken, and seconds that are promised."""


def note(what: str, measured: list[float], goal: float, claims: list[Claim], figures: dict[str, object]) -> None:
    claims.append(at_most(what, max(measured), goal))
    figures[f"{what} (median)"] = statistics.median(measured)


def of_hook(system: System, kinds: tuple[str, ...], name: str, seconds: float) -> float:
    def break_it() -> None:
        (state,) = living_owners(system)
        answer = ask_owner(state, {"do": "hook", "name": name, "value": seconds})
        assert "ok" in answer, answer

    return alarm_after(system, kinds, break_it)


def of_disk(system: System) -> float:
    """Every sync of the owner takes very long, once a tracer is attached."""
    tracers: list[subprocess.Popen[bytes]] = []

    def break_it() -> None:
        (state,) = living_owners(system)
        delay = f"inject=fdatasync,fsync:delay_enter={SYNC_DELAY_SECONDS}s"
        command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", delay, "-p", str(state["process"]["pid"])]
        tracers.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))

    try:
        return alarm_after(system, ("capture_stalled",), break_it)
    finally:
        for tracer in tracers:
            tracer.send_signal(signal.SIGINT)
            tracer.wait()


def of_node(system: System) -> float:
    """The agent is killed; what it captures goes on."""
    began = time.monotonic()
    assert system.agent is not None
    system.agent.kill()
    system.agent.wait()
    wait_for("the alarm", lambda: events(system, ("node_not_seen",), None), LONGEST_SECONDS)
    return time.monotonic() - began


def alarm_after(system: System, kinds: tuple[str, ...], break_it: Callable[[], None]) -> float:
    with recording(system) as identifier:
        began = time.monotonic()
        break_it()
        wait_for(f"one of {kinds}", lambda: events(system, kinds, identifier), LONGEST_SECONDS)
        return time.monotonic() - began


@contextmanager
def recording(system: System) -> Iterator[str]:
    """One with sound in it, and an owner of its own."""
    identifier = system.record()
    system.wait_capturing(identifier, 8 * 48_000, LONGEST_SECONDS)
    try:
        yield identifier
    finally:
        system.stop_recording(identifier)
        system.wait_state(identifier, "completed", LONGEST_SECONDS)
        for state in living_owners(system):
            for name, *_ in HOOKS:
                ask_owner(state, {"do": "hook", "name": name, "value": 0})


def living_owners(system: System) -> list[dict[str, object]]:
    return [state for state in system.owner_states() if is_alive(state["process"]["pid"])]


def events(system: System, kinds: tuple[str, ...], recording_id: str | None) -> list[str]:
    """Kinds of the events that the controller knows of."""
    return asyncio.run(_events(system, kinds, recording_id))


async def _events(system: System, kinds: tuple[str, ...], recording_id: str | None) -> list[str]:
    settings = ControllerSettings(home=system.home, run_folder=system.run_folder, port=system.port)
    url = EmbeddedPostgres(settings.database_folder, settings.database_sockets_folder).running_url("owner")
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT kind FROM health_event WHERE kind = ANY($1) AND recording_id IS NOT DISTINCT FROM $2::uuid",
            list(kinds),
            recording_id,
        )
        return [row["kind"] for row in rows]
    finally:
        await connection.close()


if __name__ == "__main__":
    main()
