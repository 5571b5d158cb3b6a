"""What the controller and this node tell each other about jobs: run, inventory, claims, heartbeats, wishes."""

import asyncio
import random
import time
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog

from agent.controller_client import ControllerClient
from agent.devices import agent_version
from agent.disk import Disk
from agent.errors import ControllerFault, RetryLaterError, UnreachableError
from agent.health import Health
from agent.inputs import Inputs
from agent.patience import ENDS, Patience, go_on_for_ever, run_together, tell
from agent.settings import AgentSettings
from agent.spool import Listener, Progress, Spool
from agent.states import Instant, JobState, Stage
from protocol.ids import new_id
from protocol.messages import (
    ClaimRequest,
    HeartbeatAnswer,
    HeartbeatRequest,
    InterfaceRef,
    InterfaceReport,
    Inventory,
    JobReport,
    JobStanding,
    Phase,
    RunAnswer,
    RunRequest,
    Wish,
)

log = structlog.get_logger()


class Control:
    """The loops that keep controller and spool in step. A controller that is away only makes them wait."""

    def __init__(
        self,
        settings: AgentSettings,
        spool: Spool,
        client: ControllerClient,
        inputs: Inputs,
        health: Health,
        disk: Disk,
        *,
        drain: bool,
    ) -> None:
        self._timeouts = settings.timeouts
        self._spool = spool
        self._client = client
        self._inputs = inputs
        self._health = health
        self._disk = disk
        self._drain = drain
        self._change_no = 0
        self._claims_sent = 0
        self._claim_due = asyncio.Event()
        self._heartbeat_due = asyncio.Event()
        self._reported: object = None
        self._capturing = 0

    async def run(self) -> None:
        """Registers, then goes on for ever. Raises what ENDS the agent."""
        await self._register()
        await run_together(
            self._heartbeats(), go_on_for_ever("wake", self._wake, self._timeouts), self._claims(), self._inventories()
        )

    async def tell_of_newer_run(self) -> None:
        """Says that this agent is still there, beside the one of the newer run. Tried for a lease."""
        request = HeartbeatRequest(node_run=self._spool.node.node_run, jobs=[], knows_newer_run=True)
        patience = Patience(self._timeouts)
        with suppress(TimeoutError, ControllerFault):  # a refusal is the answer
            async with asyncio.timeout(self._timeouts.lease):
                while True:
                    try:
                        await self._client.heartbeat(request)
                        return
                    except (UnreachableError, RetryLaterError) as fault:
                        await asyncio.sleep(patience.after(fault))

    # ---- being this node's only agent ----

    async def _register(self) -> None:
        if self._spool.node.run_request is None:
            await self._spool.update_node(run_request=new_id())
        node = self._spool.node
        request = RunRequest(previous_run=node.node_run, request_id=node.run_request, version=agent_version())
        patience = Patience(self._timeouts, longest=self._timeouts.heartbeat)
        while not self._spool.registered.is_set():
            try:
                await self._take_over(await self._client.run(request))
            except ENDS:
                raise
            except Exception as fault:
                seconds = patience.after(fault)
                tell("run", fault, seconds)
                await asyncio.sleep(seconds)

    async def _take_over(self, answer: RunAnswer) -> None:
        """The answer's jobs are the live leases; what else the spool holds has lost its lease."""
        live = {job.job_id for job in answer.jobs}
        for job in answer.jobs:
            await self._spool.add_job(JobState.of(job))
        for job_id in set(self._spool.jobs) - live:
            await self._lease_lost(job_id, "the controller no longer counts it among this node's jobs")
        await self._spool.arm(answer.armed)
        await self._spool.update_node(node_run=answer.node_run, run_request=None)
        self._spool.registered.set()
        self._claim_due.set()
        self._spool.ring()
        log.info("registered", node_run=answer.node_run, jobs=len(answer.jobs))

    # ---- claims ----

    async def _claims(self) -> None:
        async def step() -> None:
            if not self._drain:
                while await self._claim():
                    pass
            await _cleared_within(self._claim_due, self._timeouts.wake_poll * random.uniform(0.8, 1.2))

        await go_on_for_ever("claims", step, self._timeouts, longest=self._timeouts.wake_poll)

    async def _claim(self) -> bool:
        """Asks for a job under an id that is on disk first, and again under the same id until there is an answer."""
        claim_id = await self._pending_claim()
        present = [InterfaceRef(backend=one.backend, name=one.name) for one in self._inputs.present]
        self._claims_sent += 1
        request = ClaimRequest(
            claim_id=claim_id, node_run=self._spool.node.node_run, number=self._claims_sent, interfaces=present
        )
        job = await self._client.claim_next(request)
        if job is not None:
            await self._spool.add_job(JobState.of(job))
            log.info("claimed", job_id=str(job.job_id), interface=job.settings.interface.name)
        await self._spool.drop_claim(claim_id)
        return job is not None and not self._drain

    async def _pending_claim(self) -> UUID:
        for claim_id in await asyncio.to_thread(self._spool.pending_claims):
            return claim_id
        claim_id = new_id()
        await self._spool.add_claim(claim_id)
        return claim_id

    # ---- wishes ----

    async def _wake(self) -> None:
        began = time.monotonic()
        answer = await self._client.wake(self._change_no, self._spool.node.node_run)
        self._spool.watch(answer.watched)
        if answer.change_no == self._change_no:
            if time.monotonic() - began < self._timeouts.retry_first:
                await asyncio.sleep(self._timeouts.retry_first)
            return
        self._note_change(answer.change_no)

    def _note_change(self, change_no: int) -> None:
        if change_no != self._change_no:
            self._change_no = change_no
            self._claim_due.set()
            self._heartbeat_due.set()

    async def _heartbeats(self) -> None:
        with self._spool.listening() as listener:

            async def step() -> None:
                sent_at = time.monotonic()
                self._heartbeat_due.clear()
                self._note_room()
                self._reported = self._standing()
                node_run = self._spool.node.node_run
                request = HeartbeatRequest(node_run=node_run, jobs=self._reports(), knows_newer_run=False)
                await self._apply(await self._client.heartbeat(request))
                await self._until_heartbeat_is_due(sent_at + self._timeouts.heartbeat, listener)

            await go_on_for_ever("heartbeat", step, self._timeouts, longest=self._timeouts.heartbeat / 2)

    def _note_room(self) -> None:
        """An ended capture is room for the next job."""
        capturing = sum(state.stage in {Stage.STARTING, Stage.CAPTURING} for state in self._spool.jobs.values())
        if capturing < self._capturing:
            self._claim_due.set()
        self._capturing = capturing

    async def _until_heartbeat_is_due(self, at: float, listener: Listener) -> None:
        """The period is counted from sending; a wake-up or another phase of a job makes it due at once."""
        while not self._heartbeat_due.is_set() and self._reported == self._standing():
            left = at - time.monotonic()
            if left <= 0:
                return
            waits = [asyncio.ensure_future(listener.wait(left)), asyncio.ensure_future(self._heartbeat_due.wait())]
            try:
                await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    def _standing(self) -> object:
        """What makes a heartbeat worth sending early."""
        return {
            state.job_id: (state.stage, state.start_frame) for state in self._spool.jobs.values() if state.is_reported
        }

    def _reports(self) -> list[JobReport]:
        return [self._report(state) for state in self._spool.jobs.values() if state.is_reported]

    def _report(self, state: JobState) -> JobReport:
        progress = self._spool.progress.get(state.job_id, Progress())
        return JobReport(
            job_id=state.job_id,
            epoch=state.claimed.epoch,
            phase=state.stage.phase or _last_phase(state),
            frames=progress.frames,
            uploaded_bytes=progress.uploaded_bytes,
            start_frame=state.start_frame,
        )

    async def _apply(self, answer: HeartbeatAnswer) -> None:
        for standing in answer.jobs:
            await self._apply_to_job(standing)
        self._spool.watch(answer.watched)
        await self._spool.arm(answer.armed)
        if answer.rotate_token:
            self._spool.token_due.set()
        self._note_change(answer.change_no)

    async def _apply_to_job(self, standing: JobStanding) -> None:
        if standing.wish is not Wish.RUN:
            await self._spool.raise_wish(standing.job_id, standing.wish, Instant.in_ms(-standing.wish_age_ms))
        if standing.standing != "renewed":
            await self._lease_lost(standing.job_id, f"the controller says that its lease is {standing.standing}")

    async def _lease_lost(self, job_id: UUID, why: str) -> None:
        """Ends reporting, never the capture. What is being sealed or finished hears it from that answer instead."""

        def change(state: JobState) -> dict[str, Any]:
            answer_decides = state.stage in {Stage.UPLOADING, Stage.ENDING, Stage.SEALED, Stage.KEPT}
            return (
                {}
                if answer_decides or state.is_sent_again or state.owed
                else {"owed": why, "owed_since": Instant.in_ms(0)}
            )

        before = self._spool.jobs.get(job_id)
        after = await self._spool.change_job(job_id, change)
        if before and after and after.owed and not before.owed:
            await self._health.tell(
                "lease_lost",
                "warning",
                f"The job is no longer this node's: {why}. What is recorded stays here and is offered as salvage. "
                "Look at the recording in the library.",
                job_id=job_id,
            )

    # ---- inventory ----

    async def _inventories(self) -> None:
        sent: object = None
        sent_at = 0.0

        async def step() -> None:
            nonlocal sent, sent_at
            await self._inputs.look()
            if not self._disk.standings:
                await self._disk.look()
            found = (self._inputs.present, self._disk.standings)
            if found != sent:
                self._claim_due.set()
            if found != sent or time.monotonic() - sent_at > 6 * self._timeouts.heartbeat:
                await self._client.put_inventory(self._inventory(self._inputs.present))
                sent, sent_at = found, time.monotonic()
            await _cleared_within(self._disk.changed, self._timeouts.heartbeat)

        await go_on_for_ever("inventory", step, self._timeouts)

    def _inventory(self, found: list[InterfaceReport]) -> Inventory:
        spools = self._disk.reports()
        return Inventory(
            node_run=self._spool.node.node_run,
            version=agent_version(),
            interfaces=found,
            spools=spools,
            spool_free_bytes=sum(one.free_bytes for one in spools),
            spool_total_bytes=sum(one.total_bytes for one in spools if one.standing != "failing"),
            disk_seconds_left=self._disk.seconds_left,
            utc_ns=time.time_ns(),
        )


async def _cleared_within(event: asyncio.Event, seconds: float) -> None:
    """Waits until the event is set, no longer than this, and takes it back."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    event.clear()


def _last_phase(state: JobState) -> Phase:
    """The phase of a job that has ended without content, as long as the controller has not heard it."""
    return Phase.STARTING if state.take_id is None else Phase.CAPTURING
