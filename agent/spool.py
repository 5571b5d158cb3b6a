"""What is on disk and what is still owed. The loops meet only here: each changes it, and hears of every change."""

import asyncio
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import structlog

from agent.errors import JobGoneError, NotEnrolledError, SpoolBusyError
from agent.files import (
    BrokenFileError,
    Model,
    forget_last,
    read_model,
    remove,
    remove_unfinished,
    sync_folder,
    write_model,
)
from agent.identity import change_identity, read_identity
from agent.job_folder import JobFolder
from agent.states import Armed, Claim, Instant, JobState, NodeIdentity, Released, StoredEvent
from protocol.messages import ArmedInterface, InterfaceRef, Wish

log = structlog.get_logger()

CLAIMS_LIMIT = 100
EVENTS_LIMIT = 10_000


class Listener:
    """Hears that something changed, also between two waits."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Waits for a change, no longer than this. Whether there was one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # wait_for of Python 3.11 swallows a cancel that meets the event
                await self._event.wait()
        rung = self._event.is_set()
        self._event.clear()
        return rung


@dataclass
class Progress:
    """What heartbeats say of a job and no restart has to remember."""

    frames: int = 0
    uploaded_bytes: int = 0


class Spool:
    """The agent's memory. Writes are on disk before they are seen by anybody."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._claims = folder / "claims"
        self._jobs = folder / "jobs"
        self._events = folder / "events"
        self._released = folder / "released"
        self.takes_folder = folder / "takes"
        self._job_states: dict[UUID, JobState] = {}
        self._locks: dict[UUID, asyncio.Lock] = {}
        self._listeners: set[Listener] = set()
        self._releasing = threading.Lock()
        self._changing_events = threading.Lock()
        self.events_limit = EVENTS_LIMIT
        self._events_waiting: int | None = None
        """At most so many; None until they are counted again."""
        self._lock_descriptor: int | None = None
        self.progress: dict[UUID, Progress] = {}
        self.broken: list[str] = []
        """What could not be read at the start, in words."""
        self.identity: NodeIdentity | None = None
        self.registered = asyncio.Event()
        """Set once the controller gave this agent its node run."""
        self._identity_in_turn = asyncio.Lock()
        self.token_due = asyncio.Event()
        """Set when the controller asks for another token, or refuses the one that it got."""
        self._watched: tuple[InterfaceRef, ...] = ()
        self._watched_at = 0.0
        self._armed: tuple[ArmedInterface, ...] = ()

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The spool, held by a kernel lock until `close`. Raises SpoolBusyError while another agent holds it."""
        spool = cls(folder)
        for made in (spool._claims, spool._jobs, spool._events, spool._released, spool.takes_folder):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        spool._hold()
        spool._load()
        return spool

    def close(self) -> None:
        if self._lock_descriptor is not None:
            os.close(self._lock_descriptor)
            self._lock_descriptor = None

    # ---- hearing of changes ----

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def ring(self) -> None:
        """Says that something changed."""
        for listener in self._listeners:
            listener.ring()

    # ---- the node ----

    @property
    def node(self) -> NodeIdentity:
        """Who this node is. Raises NotEnrolledError."""
        if self.identity is None:
            raise NotEnrolledError()
        return self.identity

    async def update_node(self, **changes: Any) -> NodeIdentity:
        """Raises RejoinedError."""
        async with self._identity_in_turn:
            identity = self.node.model_copy(update=changes)
            await asyncio.to_thread(change_identity, self.folder, self.node, identity)
            self.identity = identity
            return identity

    # ---- what somebody looks at ----

    def watch(self, interfaces: Iterable[InterfaceRef]) -> None:
        """What the controller called watched last. In memory only."""
        before, self._watched = self._watched, tuple(interfaces)
        self._watched_at = time.monotonic()
        if self._watched != before:
            self.ring()

    def watched(self, seconds: float) -> tuple[InterfaceRef, ...]:
        """Nothing once the controller has not been heard for so long."""
        return self._watched if time.monotonic() - self._watched_at < seconds else ()

    def hears_controller(self, seconds: float) -> bool:
        """Whether it answered within this time."""
        return self._watched_at > 0 and time.monotonic() - self._watched_at < seconds

    # ---- what is captured before anybody starts ----

    @property
    def armed(self) -> tuple[ArmedInterface, ...]:
        """As the controller said last, also before this agent started."""
        return self._armed

    async def arm(self, interfaces: Iterable[ArmedInterface]) -> None:
        """All of them; whoever is not named any more is not armed any more."""
        armed = Armed(interfaces=tuple(interfaces))
        if armed.interfaces != self._armed:
            await asyncio.to_thread(self._keep_armed, armed)
            self._armed = armed.interfaces
            self.ring()

    # ---- jobs ----

    @property
    def jobs(self) -> Mapping[UUID, JobState]:
        return self._job_states

    def job_folder(self, job_id: UUID) -> JobFolder:
        return JobFolder(self._jobs / str(job_id))

    async def add_job(self, state: JobState) -> None:
        """Takes a job on. One that is known keeps its state, and takes over a newer epoch and a higher wish."""
        async with self._lock(state.job_id):
            known = self._job_states.get(state.job_id)
            if known is None:
                await asyncio.to_thread(self._make_job_folder, state.job_id)
                await self._store(state)
            elif state.claimed.epoch > known.claimed.epoch:
                await self._store(known.model_copy(update={"claimed": state.claimed, "owed": None}))
        if state.wished_at is not None:
            await self.raise_wish(state.job_id, state.wish, state.wished_at)

    async def update_job(self, job_id: UUID, **changes: Any) -> JobState:
        """Changes fields of a job; what others changed meanwhile stays. Raises JobGoneError."""
        async with self._lock(job_id):
            if job_id not in self._job_states:
                raise JobGoneError()
            state = self._job_states[job_id].model_copy(update=changes)
            await self._store(state)
            return state

    async def change_job(self, job_id: UUID, change: Callable[[JobState], dict[str, Any]]) -> JobState | None:
        """Like `update_job`, for changes that depend on the state, of a job that may be gone meanwhile (None).

        An empty change writes nothing.
        """
        async with self._lock(job_id):
            state = self._job_states.get(job_id)
            if state is not None and (changes := change(state)):
                state = state.model_copy(update=changes)
                await self._store(state)
            return state

    async def raise_wish(self, job_id: UUID, wish: Wish, at: Instant) -> None:
        """Wishes only rise: an equal or a lower one changes nothing."""
        order = list(Wish)
        await self.change_job(
            job_id,
            lambda state: {"wish": wish, "wished_at": at} if order.index(wish) > order.index(state.wish) else {},
        )

    async def remove_job(self, job_id: UUID) -> None:
        async with self._lock(job_id):
            await asyncio.to_thread(self._remove_job_folder, job_id)
            self._job_states.pop(job_id, None)
            self.progress.pop(job_id, None)
        self._locks.pop(job_id, None)
        self.ring()

    # ---- claims ----

    def pending_claims(self) -> list[UUID]:
        """Claims without an answer, oldest first."""
        return sorted(claim.claim_id for claim in self._read_some(self._claims, Claim, CLAIMS_LIMIT))

    async def add_claim(self, claim_id: UUID) -> None:
        await asyncio.to_thread(write_model, self._claims / f"{claim_id}.json", Claim(claim_id=claim_id))

    async def drop_claim(self, claim_id: UUID) -> None:
        await asyncio.to_thread(remove, self._claims / f"{claim_id}.json")

    # ---- events ----

    async def add_event(self, event: StoredEvent) -> None:
        """Kept until it is dropped. While `events_limit` wait already, the log alone tells of more.

        Room for as many again is left to the ends of conditions: one whose beginning was heard would last for ever.
        """
        if self._events_waiting is None:
            self._events_waiting = await asyncio.to_thread(lambda: sum(1 for _ in self._events.glob("*.json")))
        if self._events_waiting >= self.events_limit * (1 if event.ended_at is None else 2):
            log.warning("too many events wait for the controller, this one is not kept", kind=event.event.kind)
            return
        await asyncio.to_thread(self._write_event, event)
        if self._events_waiting is not None:
            self._events_waiting += 1
        self.ring()

    async def events(self, limit: int) -> list[StoredEvent]:
        """Events that the controller has yet to hear of, oldest first."""
        return await asyncio.to_thread(self._read_some, self._events, StoredEvent, limit)

    async def drop_events(self, told: list[StoredEvent]) -> None:
        """These were heard. One that says more by now, such as its end, has yet to be told and stays."""
        for event in told:
            await asyncio.to_thread(self._drop_event, event)
        self._events_waiting = None

    # ---- what is needed no more ----

    def released(self, take_id: UUID) -> set[UUID]:
        """Recordings that need nothing of this take any more: sealed by the controller, or without a frame."""
        try:
            return set(read_model(self._released / f"{take_id}.json", Released).recording_ids)
        except FileNotFoundError:
            return set()
        except BrokenFileError as broken:
            log.error("what was released is unknown, so the take stays", take_id=str(take_id), fault=str(broken))
            return set()

    def add_released(self, take_id: UUID, recording_id: UUID) -> None:
        """May be called from any thread."""
        with self._releasing:
            ids = sorted(self.released(take_id) | {recording_id})
            write_model(self._released / f"{take_id}.json", Released(recording_ids=ids))

    def forget_missing_takes(self) -> None:
        """Takes that are gone need no memory; a kill may have left some, or made one anew."""
        for path in self._released.glob("*.json"):
            if not (self.takes_folder / path.stem).exists():
                remove(path)

    # ---- on disk ----

    def _hold(self) -> None:
        descriptor = os.open(self.folder / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            os.close(descriptor)
            raise SpoolBusyError(
                f"Another agent uses {self.folder}. Stop it first, or set REELKEEPER_HOME to another folder."
            ) from cause
        self._lock_descriptor = descriptor

    def _load(self) -> None:
        for folder in (self.folder, self._claims, self._events, self._released, *self._jobs.iterdir()):
            remove_unfinished(folder)
        with suppress(FileNotFoundError):
            self.identity = read_identity(self.folder)
            if self.identity.next_token is not None:
                self.token_due.set()
        with suppress(FileNotFoundError):
            self._load_armed()
        for folder in sorted(self._jobs.iterdir()):
            try:
                state = read_model(folder / "job.json", JobState)
            except FileNotFoundError:
                if not list(folder.glob("job.json*")):
                    shutil.rmtree(folder)
                continue
            except BrokenFileError as broken:
                self._report(f"A job cannot be read any more; its recording stays on this node. {broken}")
                continue
            self._job_states[state.job_id] = state.in_this_boot()

    def _keep_armed(self, armed: Armed) -> None:
        """What was disarmed must not come back from a predecessor."""
        write_model(self.folder / "armed.json", armed)
        forget_last(self.folder / "armed.json")

    def _load_armed(self) -> None:
        """Raises FileNotFoundError."""
        try:
            self._armed = read_model(self.folder / "armed.json", Armed).interfaces
        except BrokenFileError as broken:
            self._report(f"No interface is armed until the controller says so again. {broken}")

    def _report(self, words: str) -> None:
        log.error("spool has a broken file", fault=words)
        self.broken.append(words)

    def _lock(self, job_id: UUID) -> asyncio.Lock:
        return self._locks.setdefault(job_id, asyncio.Lock())

    async def _store(self, state: JobState) -> None:
        await asyncio.to_thread(write_model, self.job_folder(state.job_id).job, state)
        self._job_states[state.job_id] = state
        self.ring()

    def _write_event(self, event: StoredEvent) -> None:
        with self._changing_events:
            write_model(self._events / f"{event.event.id}.json", event)

    def _drop_event(self, event: StoredEvent) -> None:
        path = self._events / f"{event.event.id}.json"
        with self._changing_events, suppress(FileNotFoundError, BrokenFileError):
            if read_model(path, StoredEvent) == event:
                remove(path)

    def _make_job_folder(self, job_id: UUID) -> None:
        self.job_folder(job_id).path.mkdir(mode=0o700, exist_ok=True)
        sync_folder(self._jobs)

    def _remove_job_folder(self, job_id: UUID) -> None:
        """The state goes first, so that a crash leaves no job without its files."""
        folder = self.job_folder(job_id)
        if folder.path.exists():
            remove(folder.job)
            shutil.rmtree(folder.path)
            sync_folder(self._jobs)

    def _read_some(self, folder: Path, kind: type[Model], limit: int) -> list[Model]:
        found = []
        for path in sorted(folder.glob("*.json"))[:limit]:
            try:
                found.append(read_model(path, kind))
            except (FileNotFoundError, BrokenFileError) as broken:
                self._report(f"A file of the spool cannot be read. {broken}")
        return found
