"""The audit: what an entry costs an act, the chain over 100 000 entries under load, who is found out, and its page."""

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import asyncpg
import httpx

from bench import measure
from protocol.messages import EnrolRequest
from protocol.timeouts import Timeouts
from web.domain.access import Actor, Source, everywhere, system
from web.domain.audit import LIMITS, Object, Outcome
from web.domain.seals import Head
from web.serve import listening, run_server
from web.services.auditing import audit
from web.services.auditing.audit_seals import Proof, Sealer, prove
from web.services.entry import accounts
from web.services.recorders import joining, nodes
from web.settings import ControllerSettings
from web.store import audit as stored
from web.store.database import Database
from web.store.embedded import EmbeddedPostgres
from web.store.migrate import migrate

WRITERS = 8
COST_GOAL = 1.5
PAGE_GOAL_MS = 100.0
BENCH = system("bench")
PEOPLE = [Actor("user", uuid4(), f"person {n}", everywhere(), Source(f"192.0.2.{n}", uuid4())) for n in range(40)]
ACTS = ["recording.start", "recording.stop", "recording.play", "recording.download", "node.edit", "user.edit"]
TAMPERINGS = {
    "one entry edited": (
        "UPDATE audit_entry SET reason = 'nothing' WHERE id = {id}",
        "DELETE FROM audit_entry WHERE id = {id}; INSERT INTO audit_entry SELECT * FROM kept WHERE id = {id}",
    ),
    "one entry deleted": (
        "DELETE FROM audit_entry WHERE id = {id}",
        "INSERT INTO audit_entry SELECT * FROM kept WHERE id = {id}",
    ),
    "one deleted with its seal": (
        "DELETE FROM audit_entry WHERE id = {id}; DELETE FROM audit_seal WHERE entry_id = {id}",
        "INSERT INTO audit_entry SELECT * FROM kept WHERE id = {id};"
        "INSERT INTO audit_seal SELECT * FROM kept_seal WHERE entry_id = {id}",
    ),
    "one put in (in a gap of the ids)": (
        "INSERT INTO audit_entry SELECT (jsonb_populate_record(e, jsonb_build_object('id', {gap}))).* "
        "FROM audit_entry e WHERE id = {id}",
        "DELETE FROM audit_entry WHERE id = {gap}",
    ),
    "two swapped": (
        "UPDATE audit_entry SET id = -id WHERE id IN ({id}, {next}); "
        "UPDATE audit_entry SET id = CASE id WHEN -{id} THEN {next} ELSE {id} END WHERE id < 0",
        "UPDATE audit_entry SET id = -id WHERE id IN ({id}, {next}); "
        "UPDATE audit_entry SET id = CASE id WHEN -{id} THEN {next} ELSE {id} END WHERE id < 0",
    ),
}
PAGES = {
    "newest": {},
    "one person": {"actor": "person 7"},
    "one object": {"object": ""},
    "refused": {"outcome": "denied"},
    "one action": {"action": "node.edit"},
    "a noun": {"action": "user"},
    "words": {"q": "council 77"},
    "words that nothing has": {"q": "nothing"},
    "an address": {"address": "192.0.2.11"},
    "person and words": {"actor": "person 3", "q": "hall"},
    "ten minutes": {"from": "-10min"},
    "deep": {"before": "5000"},
    "nobody": {"actor": "nobody"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rk-") as name, asyncio.Runner() as runner:
        folder = Path(name)
        folder.chmod(0o711)
        runner.run(_measure(folder, arguments.entries, arguments.rounds))


async def _measure(folder: Path, entries: int, rounds: int) -> None:
    async with EmbeddedPostgres(folder / "database", folder / "s") as server:
        await migrate(server.url("owner"))
        async with Database(server.url(), Timeouts(), pool_size=WRITERS + 2) as db:
            with_audit, without = await _costs(db, rounds)
            writing, sealing = await _fill(db, entries)
            proving, proving_seconds = await _timed_proof(db)
            found = await _tamper(db, server.url("postgres"))
            slowest = await _pages(db, folder, server.url())
    assert proving.fault is None, proving.fault
    worst = max(slowest, key=lambda name: slowest[name])
    measure.report(
        "audit",
        [
            measure.at_most("an act with its entry ÷ without (wall)", measure.ratio(with_audit, without), COST_GOAL),
            measure.at_least("of 5 tamperings, named at the first entry touched", sum(found.values()), len(TAMPERINGS)),
            measure.at_most(f"p95 of the page, ms; slowest: {worst}", slowest[worst], PAGE_GOAL_MS),
        ],
        {
            "entries": proving.sealed,
            "writers": WRITERS,
            "entries a second, sealed meanwhile": entries / writing,
            "seconds from the last entry to its seal": sealing,
            "seconds to prove all": proving_seconds,
            "an act without, ms": _median_ms(without),
            "an act with its entry, ms": _median_ms(with_audit),
            **{f"p95 of the page, {name}, ms": value for name, value in slowest.items()},
        },
    )


_ACTS_A_ROUND = 200
_PAGES_EACH = 30


async def _costs(db: Database, rounds: int) -> tuple[list[measure.Cost], list[measure.Cost]]:
    """Setting the capacity of a node, a small act of one transaction, with and without its entry."""
    code = await joining.create_enrolment_code(db, "Town hall", by=BENCH)
    node_id = (await joining.enrol(db, EnrolRequest(code=code.code, version="1"))).node_id
    kept: tuple[list[measure.Cost], list[measure.Cost]] = ([], [])
    for turn in range(rounds + 1):
        with_audit = await _act(db, node_id)
        with patch.object(stored, "add", _nothing):
            without = await _act(db, node_id)
        if turn > 0:
            kept[0].append(with_audit)
            kept[1].append(without)
    return kept


async def _act(db: Database, node_id: UUID) -> measure.Cost:
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number in range(_ACTS_A_ROUND):
        await nodes.set_capacity(db, node_id, number % 60 + 1, by=PEOPLE[0])
    return measure.Cost(loop.time() - start, 0.0)


async def _nothing(*_: Any) -> None:
    """In the place of an entry."""


def _median_ms(costs: Sequence[measure.Cost]) -> float:
    return statistics.median(cost.wall_seconds for cost in costs) / _ACTS_A_ROUND * 1000


async def _fill(db: Database, entries: int) -> tuple[float, float]:
    """Writers side by side, every tenth transaction given up, and the sealer each second. Seconds of both."""
    loop = asyncio.get_running_loop()
    start, done, sealer = loop.time(), asyncio.Event(), Sealer()

    async def keep_sealing() -> None:
        while not done.is_set():
            await sealer.seal(db)
            await asyncio.sleep(LIMITS.seal_every)

    sealing = asyncio.create_task(keep_sealing())
    await asyncio.gather(*(_write(db, number, entries // WRITERS) for number in range(WRITERS)))
    written = loop.time()
    newest = await stored.newest_id(db)
    while (head := await stored.last_seal(db)) is None or head.entry_id < newest:  # noqa: ASYNC110  (the sealer's pace)
        await asyncio.sleep(0.05)
    sealed = loop.time()
    done.set()
    await sealing
    return written - start, sealed - written


async def _write(db: Database, writer: int, entries: int) -> None:
    written = 0
    while written < entries:
        try:
            async with db.transaction() as session:
                for _ in range(4):
                    await _note(session, writer * entries + written)
                    written += 1
                if written % 40 == 0:
                    raise _GivenUpError
        except _GivenUpError:
            written -= 4
            await _note(db, writer * entries + written)
            written += 1


class _GivenUpError(Exception):
    """A transaction that comes to nothing."""


async def _note(session: Any, number: int) -> None:
    of = Object("recording", UUID(int=number % 5_000 + 1), f"Council {number % 300} hall")
    await audit.note(
        session,
        PEOPLE[number % len(PEOPLE)],
        ACTS[number % len(ACTS)],
        of,
        before={"wish": "run"},
        after={"wish": "stop", "number": number},
        outcome=Outcome.DENIED if number % 50 == 0 else Outcome.DONE,
        reason="The permission is missing." if number % 50 == 0 else None,
    )


async def _timed_proof(db: Database) -> tuple[Proof, float]:
    loop = asyncio.get_running_loop()
    start = loop.time()
    return await prove(db), loop.time() - start


async def _tamper(db: Database, superuser_url: str) -> dict[str, bool]:
    """Whether each is named, by a superuser without triggers; what was done is undone and the chain holds again."""
    superuser = await asyncpg.connect(superuser_url)
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute("CREATE TABLE kept AS SELECT * FROM audit_entry; CREATE INDEX ON kept (id)")
    await superuser.execute("CREATE TABLE kept_seal AS SELECT * FROM audit_seal")
    before_gaps = await superuser.fetch(
        "SELECT id FROM kept k WHERE NOT EXISTS (SELECT FROM kept n WHERE n.id = k.id + 1) ORDER BY id"
    )
    gap = before_gaps[len(before_gaps) // 2]["id"] + 1
    touched = await superuser.fetchval("SELECT id FROM kept WHERE id < $1 ORDER BY id DESC LIMIT 1 OFFSET 1", gap)
    following = await superuser.fetchval("SELECT min(id) FROM kept WHERE id > $1", touched)
    places = {"id": touched, "next": following, "gap": gap}
    named = {
        "one deleted with its seal": following,
        "one put in (in a gap of the ids)": gap,
    }
    found = {}
    for name, (do, undo) in TAMPERINGS.items():
        await superuser.execute(do.format(**places))
        fault = (await prove(db)).fault
        found[name] = fault is not None and fault.entry_id == named.get(name, touched)
        print(f"  {name}: {'NOT FOUND' if fault is None else fault.words}")
        await superuser.execute(undo.format(**places))
    again = await prove(db)
    assert again.fault is None, again.fault
    head = again.head
    assert head is not None
    await superuser.execute("UPDATE audit_entry SET actor_name = 'nobody' WHERE id = 10; TRUNCATE audit_seal")
    sealer = Sealer()
    while (made := await sealer.seal(db)) is None or made.entry_id < head.entry_id:  # noqa: ASYNC110  (one's own)
        await asyncio.sleep(0)
    anew, kept = await prove(db), await prove(db, Head(head.entry_id, head.hash))
    print(f"  whole chain made anew: {'holds by itself' if anew.fault is None else anew.fault.words}")
    print(f"  the same against the head that was kept: {'NOT FOUND' if kept.fault is None else kept.fault.words}")
    await superuser.close()
    return found


async def _pages(db: Database, folder: Path, url: str) -> dict[str, float]:
    """p95 in ms of the page as a browser gets it, for each filter."""
    object_id = str(UUID(int=77))
    slowest = {}
    async with _console(db, folder, url) as console:
        for name, query in PAGES.items():
            asked = {key: value or object_id for key, value in query.items()}
            times = []
            for _ in range(_PAGES_EACH):
                start = asyncio.get_running_loop().time()
                answer = await console.get("/audit", params=asked)
                times.append((asyncio.get_running_loop().time() - start) * 1000)
                assert answer.status_code == 200, answer.text
            slowest[name] = statistics.quantiles(times, n=20)[-1]
    return slowest


@asynccontextmanager
async def _console(db: Database, folder: Path, url: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = ControllerSettings(home=folder / "home", port=0, disk_reserve_bytes=0)
    stop, address = asyncio.Event(), asyncio.get_running_loop().create_future()
    with listening(settings) as listener:
        serving = asyncio.create_task(run_server(settings, url, listener, stop, address.set_result))
        async with httpx.AsyncClient(
            base_url=await address, headers={"Sec-Fetch-Site": "same-origin"}, trust_env=False
        ) as client:
            await client.post(f"/welcome/{await accounts.sign_in_link_code(db)}")
            yield client
        stop.set()
        await serving


if __name__ == "__main__":
    main()
