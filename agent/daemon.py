"""Starts the loops of the agent and stops them in order. Captures and renderers go on without it."""

import asyncio
import contextlib

import structlog

from agent.arming import Arming
from agent.control import Control
from agent.controller_client import ControllerClient
from agent.credentials import Credentials
from agent.devices import Owners
from agent.disk import Disk
from agent.errors import NodeRunSupersededError, RejoinedError
from agent.health import Health
from agent.inputs import Inputs
from agent.job_folder import JobFolder
from agent.jobs import Jobs
from agent.levels import Meters
from agent.patience import go_on_for_ever, run_together
from agent.recording.part import Means
from agent.renderer.handle import Renderers, stop_renderer
from agent.settings import AgentSettings, child_environment
from agent.spool import Spool
from agent.states import Stage
from agent.takes import Takes
from agent.upload import Uploads
from protocol.messages import EndReason
from protocol.stopping import stop_by_signal

log = structlog.get_logger()

EXIT_OK = 0
EXIT_SUPERSEDED = 3
"""Another agent took this node's place: do not start this one again by itself."""
_DRAIN_LOOK_SECONDS = 1.0
_LAST_RESORT = 0.8
"""Of the time that a stop may take."""


async def run(settings: AgentSettings, *, drain: bool = False) -> int:
    """The agent until SIGTERM or SIGINT; an exit code. A signal ends the process within `Timeouts.agent_stop`.

    With `drain` it takes on nothing new, delivers what it has, ends its owners and returns.
    When the node joins again meanwhile, it goes on under the new token. Raises SpoolBusyError, NotEnrolledError,
    RunFolderError, CertificateError or InsecureControllerError when it cannot run at all.
    """
    with stop_by_signal(settings.timeouts.agent_stop * _LAST_RESORT) as stop:
        while True:
            try:
                return await _run_as_node(settings, stop, drain=drain)
            except RejoinedError as again:
                log.info("starting over under a new token", reason=str(again))


async def stop_owners(settings: AgentSettings, reason: str = EndReason.NODE_STOPPED) -> None:
    """Ends every capture and every renderer of this node, for when the node itself stops. Nothing captured is lost."""
    try:
        async with asyncio.timeout(settings.timeouts.demo_stop - settings.timeouts.agent_stop):
            await Owners(settings).disarm_all(str(reason))
    except TimeoutError:
        log.error("an owner did not end in time and was left behind")
    await asyncio.to_thread(_stop_renderers, settings)


async def _run_as_node(settings: AgentSettings, stop: asyncio.Event, *, drain: bool) -> int:
    with contextlib.closing(Spool.open(settings.node_folder)) as spool:
        node = spool.node
        owners = Owners(settings, on_death=spool.ring)
        url = settings.controller_url or node.controller_url
        client = ControllerClient.of(settings, url, node.token, on_refused=spool.token_due.set)
        async with client:
            await owners.attach_all()
            try:
                return await _run_loops(settings, spool, client, owners, stop, drain=drain)
            except RejoinedError:
                owners.disconnect()
                raise


async def _run_loops(
    settings: AgentSettings, spool: Spool, client: ControllerClient, owners: Owners, stop: asyncio.Event, *, drain: bool
) -> int:
    timeouts = settings.timeouts
    health = Health(spool, timeouts)
    takes = Takes(spool, owners, health, timeouts, settings.spill_folders)
    disk = Disk(settings, spool, takes, health)
    inputs = Inputs(settings, owners)
    means = Means(settings, spool, client, owners, inputs, Renderers(child_environment()), takes, health, disk)
    control = Control(settings, spool, client, inputs, health, disk, drain=drain)
    meters = Meters(settings, spool, client, owners, inputs)
    uploads = Uploads(settings, spool, client, health)
    try:
        await run_together(
            _until_stopped(spool, stop, drain=drain),
            go_on_for_ever("control", control.run, timeouts),
            go_on_for_ever("token", Credentials(spool, client).run, timeouts, longest=timeouts.heartbeat),
            go_on_for_ever("uploads", uploads.run, timeouts),
            go_on_for_ever("events", lambda: health.run(client), timeouts),
            go_on_for_ever("jobs", Jobs(means).run, timeouts),
            go_on_for_ever("meters", meters.run, timeouts),
            go_on_for_ever("takes", takes.run, timeouts),
            go_on_for_ever("disk", disk.run, timeouts),
            go_on_for_ever("arming", Arming(spool, owners, takes, health, timeouts).run, timeouts),
        )
    except NodeRunSupersededError as fenced:
        log.critical(
            "another agent runs as this node; this one ends and does not register again. "
            "Find the clone, then enrol one of the two anew.",
            alarm="node_run_superseded",
            fault=str(fenced),
        )
        await control.tell_of_newer_run()
        return EXIT_SUPERSEDED
    if drain and not stop.is_set():
        await owners.disarm_all("drained")
    return EXIT_OK


async def _until_stopped(spool: Spool, stop: asyncio.Event, *, drain: bool) -> None:
    """Until a signal came, or everything is delivered that was to be drained."""
    if not drain:
        await stop.wait()
        return
    with spool.listening() as listener:
        while not stop.is_set() and not (spool.registered.is_set() and _is_drained(spool)):
            await listener.wait(_DRAIN_LOOK_SECONDS)


def _is_drained(spool: Spool) -> bool:
    """Whether nothing is left to do. What the controller refuses to take stays here and is not waited for, nor is a
    disk."""
    return all(
        state.stage is Stage.KEPT
        or (state.owed is not None and state.stage is Stage.UPLOADING)
        or (state.is_delivered and state.given_up)
        for state in spool.jobs.values()
    )


def _stop_renderers(settings: AgentSettings) -> None:
    """Renderers begin anew from their takes, with the same bytes."""
    for path in (settings.node_folder / "jobs").glob("*/"):
        stop_renderer(JobFolder(path))
