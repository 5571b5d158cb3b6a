"""The whole spool of an agent as the store of a campaign: every file in it that replaces another, and renditions."""

import asyncio
import random
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from agent.files import read_model, write_model
from agent.identity import read_identity
from agent.job_folder import JobFolder
from agent.owner.config import Capture, Interface
from agent.owner.state import OwnerState, Process, read_state, write_state
from agent.renderer.follow import follow
from agent.spool import Spool
from agent.states import Instant, JobState, NodeIdentity, RenderTask, Stage, StoredEvent
from protocol.ids import new_id
from protocol.messages import ClaimedJob, EventReport, WavEncoding, Wish
from tests.agent_room import job_settings
from tests.faults.store_content import make_take, render_task, require_intact

MOST_JOBS = 6
MADE = "made"

Known = dict[str, Any]
Values = dict[str, str]
"""What each file says; one that is absent has no value."""


class SpoolStore:
    """Random steps of the life of jobs, claims, events and owners; one is under way when the kill comes."""

    seconds = (0.02, 0.35)

    def prepare(self, home: Path) -> None:
        make_take(home / "source", frames=12_000)

    def work(self, disk: Path, known: Known, rng: random.Random, tell: Callable[[Any], None]) -> None:
        asyncio.run(_Life(disk, rng, tell).live())

    def check(self, disk: Path, known: Known, told: list[Any]) -> Known:
        found = values_on(disk / "spool")
        assert moved_aside(disk / "spool") == []
        steps = require_values(found, dict(known.get("values", {})), told)
        counts = dict(known.get("counts", {}))
        counts["steps"] = counts.get("steps", 0) + steps
        counts["files"] = counts.get("files", 0) + len(found)
        return {"values": found, "counts": counts}


def require_values(found: Values, before: Values, told: list[Any]) -> int:
    """Raises AssertionError when a file says neither what was promised last nor what was about to be written.

    `told`: pairs of `begin`, `done` or `failed` and the changes. Returns how many were done.
    """
    allowed: dict[str, set[str | None]] = {key: {value} for key, value in before.items()}
    pending: dict[str, str | None] = {}
    steps = 0
    for word, changes in told:
        if word == "begin":
            pending = changes
        for key, value in pending.items():
            known = allowed.get(key, {None})
            # What is removed may come back where telling it twice does no harm.
            is_final = word == "done" and (value is not None or not _may_return(key))
            allowed[key] = {value} if is_final else {*known, value}
        if word == "done":
            pending, steps = {}, steps + 1
    for key in sorted(allowed.keys() | found.keys()):
        may = allowed.get(key, {None})
        assert found.get(key) in may, f"{key} says {found.get(key)!r}, not one of {may!r}"
    return steps


def values_on(folder: Path) -> Values:
    """What an agent that starts again finds. Raises AssertionError for anything that it cannot read."""
    if not folder.exists():
        return {}
    spool = Spool.open(folder)
    found: Values = {}
    if spool.identity is not None:
        found["node"] = text_of(read_identity(folder))
    for job_id, state in spool.jobs.items():
        found[f"job:{job_id}"] = text_of(state)
        found.update(_values_of(job_id, spool.job_folder(job_id)))
    found |= {f"claim:{claim_id}": str(claim_id) for claim_id in spool.pending_claims()}
    found |= {f"event:{event.event.id}": text_of(event) for event in asyncio.run(spool.events(100_000))}
    for path in (folder / "released").glob("*.json"):
        found[f"released:{path.stem}"] = ",".join(sorted(map(str, spool.released(UUID(path.stem)))))
    if (folder / "owner").exists() and (owner := read_state(folder / "owner")) is not None:
        found["owner"] = owner.token
    assert spool.broken == [], spool.broken
    spool.close()
    return found


def moved_aside(folder: Path) -> list[str]:
    """Files that could not be read, and so were kept under another name."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.broken-*"))


def claimed_job() -> ClaimedJob:
    return ClaimedJob(
        job_id=new_id(),
        recording_id=new_id(),
        attempt=1,
        epoch=1,
        settings=job_settings(),
        lease_ms=30_000,
        wish=Wish.RUN,
        wish_age_ms=500,
        requested_age_ms=1000,
    )


def text_of(model: Any) -> str:
    return str(model.model_dump_json())


class _Life:
    def __init__(self, disk: Path, rng: random.Random, tell: Callable[[Any], None]) -> None:
        self._tell = tell
        self._rng = rng
        self._source = disk.parent / "source"
        self._folder = disk / "spool"
        self._folder.mkdir(exist_ok=True)
        self._spool = Spool.open(self._folder)

    async def live(self) -> None:
        if self._spool.identity is None:
            identity = NodeIdentity(node_id=new_id(), name="Hall", token="t", controller_url="http://localhost")
            await self._step({"node": text_of(identity)}, write_model, self._folder / "node.json", identity)
            self._spool.identity = identity
        steps = [
            self._claim_and_begin,
            self._go_on,
            self._go_on,
            self._render,
            self._finish,
            self._tell_event,
            self._drop_events,
            self._release,
            self._begin_run,
            self._start_owner,
        ]
        while True:
            await self._rng.choice(steps)()

    async def _step(self, changes: dict[str, str | None], do: Callable[..., Any], *arguments: Any) -> None:
        """Says what is about to change, changes it, and says so."""
        self._tell(["begin", changes])
        done = do(*arguments)
        if asyncio.iscoroutine(done):
            await done
        self._tell(["done", None])

    async def _claim_and_begin(self) -> None:
        if len(self._spool.jobs) >= MOST_JOBS:
            return
        claim_id, state = new_id(), JobState.of(claimed_job())
        await self._step({f"claim:{claim_id}": str(claim_id)}, self._spool.add_claim, claim_id)
        await self._step({f"job:{state.job_id}": text_of(state)}, self._spool.add_job, state)
        for pending_id in self._spool.pending_claims():
            await self._step({f"claim:{pending_id}": None}, self._spool.drop_claim, pending_id)

    async def _go_on(self) -> None:
        if not self._spool.jobs:
            return
        state = self._rng.choice(list(self._spool.jobs.values()))
        changes: dict[str, Any] = {
            "stage": self._rng.choice(list(Stage)),
            "start_frame": self._rng.randrange(1 << 40),
            "owed": self._rng.choice([None, "contact lost " * self._rng.randrange(400)]),
        }
        told = {f"job:{state.job_id}": text_of(state.model_copy(update=changes))}
        self._tell(["begin", told])
        await self._spool.update_job(state.job_id, **changes)
        self._tell(["done", None])

    async def _render(self) -> None:
        jobs = [job_id for job_id in self._spool.jobs if not self._spool.job_folder(job_id).rendition.exists()]
        if not jobs:
            return
        job_id = self._rng.choice(jobs)
        folder, task = self._spool.job_folder(job_id), render_task(self._source, WavEncoding())
        await self._step({f"render:{job_id}": text_of(task)}, write_model, folder.render, task)
        await self._step({f"rendition:{job_id}": MADE}, follow, folder)

    async def _finish(self) -> None:
        if len(self._spool.jobs) < MOST_JOBS // 2:
            return
        job_id = self._rng.choice(list(self._spool.jobs))
        gone = {f"{kind}:{job_id}": None for kind in ("job", "render", "rendition")}
        await self._step(gone, self._spool.remove_job, job_id)

    async def _tell_event(self) -> None:
        report = EventReport(
            id=new_id(), kind="gap", severity="warning", message="w" * self._rng.randrange(900), age_ms=0
        )
        event = StoredEvent(event=report, at=Instant.in_ms(0), utc_ns=1)
        await self._step({f"event:{report.id}": text_of(event)}, self._spool.add_event, event)

    async def _drop_events(self) -> None:
        told = await self._spool.events(3)
        await self._step({f"event:{stored.event.id}": None for stored in told}, self._spool.drop_events, told)

    async def _release(self) -> None:
        [take] = self._source.iterdir()
        take_id = uuid5(UUID(take.name), str(self._rng.randrange(3)))
        known = self._spool.released(take_id)
        if len(known) > 20:
            return
        recording_id = new_id()
        told = ",".join(sorted(map(str, known | {recording_id})))
        await self._step({f"released:{take_id}": told}, self._spool.add_released, take_id, recording_id)

    async def _begin_run(self) -> None:
        identity = self._spool.node.model_copy(update={"node_run": self._spool.node.node_run + 1})
        self._tell(["begin", {"node": text_of(identity)}])
        await self._spool.update_node(node_run=identity.node_run)
        self._tell(["done", None])

    async def _start_owner(self) -> None:
        """Each state replaces the one of the owner before."""
        folder = self._folder / "owner"
        folder.mkdir(exist_ok=True)
        process = Process.of(1)
        assert process is not None
        token = secrets.token_hex(16)
        state = OwnerState(folder, process, token, Interface("synthetic", "counter"), Capture(2, 48_000, "s16"))
        await self._step({"owner": token}, write_state, state)


def _values_of(job_id: UUID, folder: JobFolder) -> Values:
    found: Values = {}
    if folder.render.exists():
        found[f"render:{job_id}"] = text_of(read_model(folder.render, RenderTask))
    rendition = folder.read_rendition()
    if rendition is not None:
        require_intact(folder, rendition)
        found[f"rendition:{job_id}"] = MADE
    return found


def _may_return(key: str) -> bool:
    """A claim, and an event, are told again under the same id; the controller takes it for the same."""
    return key.split(":")[0] in {"claim", "event"}
