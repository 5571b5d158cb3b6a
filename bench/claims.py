"""X10 in the store: claim and finish through the services, against bare statements on the same driver and server."""

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable
from pathlib import Path

import asyncpg

from bench import measure
from protocol.ids import new_id
from protocol.messages import (
    CaptureFormat,
    ClaimRequest,
    EnrolRequest,
    FinishRequest,
    HeartbeatRequest,
    InterfaceRef,
    InterfaceReport,
    Inventory,
    RunRequest,
)
from protocol.timeouts import Timeouts
from web.domain.access import NodeActor, system
from web.domain.recordings import StartRecording
from web.services.recorders import joining, nodes
from web.services.work import jobs, recordings
from web.store.database import Database
from web.store.embedded import EmbeddedPostgres
from web.store.migrate import migrate

CLIENTS = 8
GOAL = 0.6
COUNTER = InterfaceRef(backend="synthetic", name="counter")
BENCH = system("bench")

BARE_TABLE = "CREATE TABLE bare (id bigserial PRIMARY KEY, node int, state text NOT NULL, expires_at timestamptz)"
BARE_INDEX = "CREATE INDEX ON bare (node, id) WHERE state = 'queued'"
BARE_CLAIM = """
UPDATE bare SET state = 'running', expires_at = clock_timestamp() + interval '30 s'
WHERE id = (SELECT id FROM bare WHERE node = $1 AND state = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id
"""
BARE_FINISH = "UPDATE bare SET state = 'failed' WHERE id = $1 AND state = 'running'"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=50, help="of each client in a round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rk-") as folder:
        Path(folder).chmod(0o711)
        with asyncio.Runner() as runner:
            runner.run(_measure(Path(folder), arguments.jobs, arguments.rounds))


async def _measure(folder: Path, jobs_each: int, rounds: int) -> None:
    ours, bare, heartbeats = [], [], []
    async with EmbeddedPostgres(folder / "database", folder / "s") as server:
        await migrate(server.url("owner"))
        await _make_bare(server.url("owner"))
        async with Database(server.url(), Timeouts(), pool_size=CLIENTS) as db, _pool(server.url("owner")) as pool:
            agents = [await _agent(db, f"Node {number}") for number in range(CLIENTS)]
            for turn in range(rounds + 1):
                for agent in agents:
                    await _fill(db, agent, jobs_each)
                await pool.execute("UPDATE job SET run_at = clock_timestamp() WHERE state = 'queued'")
                await pool.execute(
                    "INSERT INTO bare (node, state) SELECT n, 'queued' FROM generate_series(0, $1) n, "
                    "generate_series(1, $2)",
                    CLIENTS - 1,
                    jobs_each,
                )
                costs = [
                    await _timed([_work(db, agent, jobs_each) for agent in agents]),
                    await _timed([_bare_work(pool, number, jobs_each) for number in range(CLIENTS)]),
                    await _timed([_beat(db, agent, jobs_each) for agent in agents]),
                ]
                if turn > 0:
                    for kept, cost in zip((ours, bare, heartbeats), costs, strict=True):
                        kept.append(cost)
    a_round = CLIENTS * jobs_each
    measure.report(
        "claims",
        [measure.at_least("claim and finish in the store ÷ bare asyncpg", measure.ratio(bare, ours), GOAL)],
        {
            "clients": CLIENTS,
            "jobs a second": a_round / min(cost.wall_seconds for cost in ours),
            "bare jobs a second": a_round / min(cost.wall_seconds for cost in bare),
            "heartbeats a second": a_round / min(cost.wall_seconds for cost in heartbeats),
        },
    )


async def _timed(work: list[Awaitable[None]]) -> measure.Cost:
    loop = asyncio.get_running_loop()
    start = loop.time()
    await asyncio.gather(*work)
    return measure.Cost(loop.time() - start, 0.0)


async def _make_bare(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(BARE_TABLE)
    await connection.execute(BARE_INDEX)
    await connection.close()


def _pool(url: str) -> asyncpg.Pool:
    return asyncpg.create_pool(url, min_size=CLIENTS, max_size=CLIENTS)


async def _agent(db: Database, name: str) -> NodeActor:
    code = await joining.create_enrolment_code(db, name, by=BENCH)
    answer = await joining.enrol(db, EnrolRequest(code=code.code, version="1"))
    node = NodeActor(answer.node_id, name)
    await nodes.begin_run(db, RunRequest(previous_run=0, version="1"), node=node)
    capture = CaptureFormat(channels=2, sample_rate_hz=48_000, sample_type="s16")
    report = InterfaceReport(
        backend=COUNTER.backend,
        name=COUNTER.name,
        label="Counter",
        max_channels=2,
        sample_rates_hz=[48_000],
        sample_types=["s16"],
        default_capture=capture,
    )
    inventory = Inventory(
        node_run=1, version="1", interfaces=[report], spool_free_bytes=1, spool_total_bytes=1, utc_ns=0
    )
    await nodes.update_inventory(db, inventory, node=node)
    await nodes.set_capacity(db, node.node_id, 64, by=BENCH)
    return node


async def _fill(db: Database, node: NodeActor, count: int) -> None:
    """Jobs that are due at once; asked for as future ones, since the capacity is not what is measured."""
    for number in range(count):
        request = StartRecording.model_validate(
            {
                "id": new_id(),
                "node_id": node.node_id,
                "name": f"Recording {number}",
                "interface": COUNTER,
                "duration_ms": 1000,
                "starts_at": "2100-01-01T00:00:00Z",
            }
        )
        await recordings.start_recording(db, request, by=BENCH)


async def _work(db: Database, node: NodeActor, count: int) -> None:
    finish = FinishRequest(epoch=1, node_run=1, outcome="failed", reason="bench", message="Bench.")
    for _ in range(count):
        job = await jobs.claim_next(db, ClaimRequest(claim_id=new_id(), node_run=1, interfaces=[COUNTER]), node=node)
        assert job is not None
        await jobs.finish_job(db, job.job_id, finish, node=node)


async def _bare_work(pool: asyncpg.Pool, node: int, count: int) -> None:
    for _ in range(count):
        job_id = await pool.fetchval(BARE_CLAIM, node)
        await pool.execute(BARE_FINISH, job_id)


async def _beat(db: Database, node: NodeActor, count: int) -> None:
    for _ in range(count):
        await jobs.heartbeat(db, HeartbeatRequest(node_run=1, jobs=[]), node=node)


if __name__ == "__main__":
    main()
