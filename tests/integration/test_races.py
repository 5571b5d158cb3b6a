"""Start, stop, cancel, claim, report and end at the same moment, in any order, over real connections."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.ids import new_id
from protocol.messages import ClaimedJob, Phase, Wish
from protocol.timeouts import Timeouts
from tests.integration.room import SOMEBODY, Room, make_room
from tests.integration.web_room import patient
from web.domain.access import EVERYTHING
from web.domain.errors import ControllerError
from web.domain.recordings import Recording
from web.domain.states import RecordingState
from web.services.work import recordings
from web.store import recordings as recording_store
from web.store.database import Database

ACTS = ["start", "stop", "stop", "cancel", "claim", "claim", "capture", "upload", "finish", "seal"]
OVER = {RecordingState.COMPLETED, RecordingState.FAILED, RecordingState.CANCELLED}
FACTS = """
SELECT j.state, j.wish, j.epoch, r.state AS recording_state, j.recording_id,
       (SELECT count(*) FROM job o WHERE o.recording_id = j.recording_id) AS jobs,
       (SELECT count(*) FROM lease l WHERE l.job_id = j.id) AS leases,
       (SELECT count(*) FROM job_event e WHERE e.job_id = j.id AND e.kind = 'claimed') AS claims,
       (SELECT array_agg(e.kind) FROM job_event e WHERE e.job_id = j.id
        AND e.kind IN ('completed', 'failed', 'cancelled')) AS ends,
       (SELECT count(*) FROM job_event e WHERE e.job_id = j.id AND e.kind = 'stop_wished') AS stops,
       (SELECT count(*) FROM job_event e WHERE e.job_id = j.id AND e.kind = 'cancel_wished') AS cancels
FROM job j JOIN recording r ON r.id = j.recording_id WHERE j.recording_id = $1
"""


class Race:
    """One recording that everybody is at. What was acknowledged is kept, and held against the rows in the end."""

    def __init__(self, room: Room, seed: int) -> None:
        self._room = room
        self._random = random.Random(seed)
        self.recording_id: UUID = new_id()
        self.job: ClaimedJob | None = None
        self.wishes: set[Wish] = set()
        self.acknowledged: list[RecordingState] = []

    async def act(self, name: str) -> None:
        """Does one thing after a moment; a refusal is an answer like any other."""
        for _ in range(self._random.randrange(4)):
            await asyncio.sleep(0)
        with contextlib.suppress(ControllerError):
            await self._acts()[name]()

    def _acts(self) -> dict[str, Callable[[], Awaitable[object]]]:
        return {
            "start": self.start,
            "stop": lambda: self._wish(Wish.STOP),
            "cancel": lambda: self._wish(Wish.CANCEL),
            "claim": self._claim,
            "capture": lambda: self._report(Phase.CAPTURING),
            "upload": lambda: self._report(Phase.UPLOADING),
            "finish": self._finish,
            "seal": self._seal,
        }

    async def start(self) -> None:
        started = await self._room.start(id=self.recording_id, name="Race")
        assert started.id == self.recording_id

    async def _wish(self, wish: Wish) -> None:
        wishing = recordings.stop_recording if wish is Wish.STOP else recordings.cancel_recording
        before = await self._found()
        after = await wishing(self._room.db, self.recording_id, by=SOMEBODY)
        self.acknowledged.append(after.state)
        if before.state not in OVER and after.state not in OVER:
            self.wishes.add(wish)

    async def _claim(self) -> None:
        job = await self._room.claim()
        if job is not None and job.recording_id == self.recording_id:
            assert self.job is None, "claimed twice"
            self.job = job

    async def _report(self, phase: Phase) -> None:
        if self.job is not None:
            await self._room.heartbeat(self.job, phase=phase)

    async def _finish(self) -> None:
        if self.job is not None:
            await self._room.finish(self.job)

    async def _seal(self) -> None:
        if self.job is not None:
            cache_file = await self._room.open_file(self.job)
            await self._room.seal(self.job, cache_file)

    async def _found(self) -> Recording:
        return await recording_store.get(self._room.db, self.recording_id, scope=EVERYTHING)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


async def race(database_url: str, sequences: list[tuple[list[str], int]]) -> None:
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(Database(database_url, patient(Timeouts()), pool_size=12))
        connection = await asyncpg.connect(database_url)
        stack.push_async_callback(connection.close)
        room = await make_room(db, name=f"Hall {new_id()}", capacity=64)
        for acts, seed in sequences:
            one = Race(room, seed)
            await one.start()
            await asyncio.gather(*(one.act(name) for name in acts))
            await _judge(connection, one)
            with contextlib.suppress(ControllerError):
                await recordings.cancel_recording(db, one.recording_id, by=SOMEBODY)
            if one.job is not None:
                with contextlib.suppress(ControllerError):
                    await room.finish(one.job, "cancelled", "cancelled")


async def _judge(connection: Any, one: Race) -> None:
    (row,) = await connection.fetch(FACTS, one.recording_id)
    ends = row["ends"] or []
    assert row["jobs"] == 1
    assert len(ends) <= 1
    assert (row["state"] in {"completed", "failed", "cancelled"}) == bool(ends)
    assert not ends or ends == [row["state"]] == [row["recording_state"]]
    assert row["leases"] == (1 if row["state"] == "running" else 0)
    assert row["stops"] <= 1
    assert row["cancels"] <= 1
    assert row["claims"] == (1 if one.job is not None else 0)
    highest = max(one.wishes, key=list(Wish).index, default=Wish.RUN)
    assert list(Wish).index(Wish(row["wish"])) >= list(Wish).index(highest)
    for seen in one.acknowledged:
        assert seen not in OVER or seen == row["recording_state"]
    if one.job is None and one.acknowledged:
        assert row["state"] == "cancelled"


SEQUENCES = st.lists(
    st.tuples(st.lists(st.sampled_from(ACTS), min_size=2, max_size=10), st.integers(0, 2**32)), min_size=4, max_size=4
)
SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=10, deadline=None, suppress_health_check=SHARED)
@given(sequences=SEQUENCES)
def test_whoever_comes_first_one_end_and_the_highest_wish_stand(
    database_url: str, runner: asyncio.Runner, sequences: list[tuple[list[str], int]]
) -> None:
    runner.run(race(database_url, sequences))


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=500, deadline=None, suppress_health_check=SHARED)
@given(sequences=SEQUENCES)
def test_two_thousand_races_end_once_and_as_wished(
    database_url: str, runner: asyncio.Runner, sequences: list[tuple[list[str], int]]
) -> None:
    runner.run(race(database_url, sequences))
