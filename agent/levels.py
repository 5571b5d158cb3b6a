"""Levels of the interfaces that somebody looks at, sent several times a second. No capture ever waits for this."""

import asyncio
import time

import structlog

from agent.controller_client import ControllerClient
from agent.devices import Owners
from agent.inputs import Inputs
from agent.owner.handle import OwnerError, OwnerGoneError
from agent.patience import go_on_for_ever, run_together
from agent.settings import AgentSettings
from agent.spool import Spool
from protocol.messages import ChannelLevel, InterfaceLevels, InterfaceRef, InterfaceReport, LevelsRequest

log = structlog.get_logger()

_MOST_WATCHED = 64
_PERIODS_TO_ANSWER = 5
"""An owner that takes longer is left out this time."""


class Meters:
    """Keeps the owners of watched interfaces running, and ends those that nobody needs any more."""

    def __init__(
        self, settings: AgentSettings, spool: Spool, client: ControllerClient, owners: Owners, inputs: Inputs
    ) -> None:
        self._timeouts = settings.timeouts
        self._spool = spool
        self._client = client
        self._owners = owners
        self._inputs = inputs
        self._heard_at: dict[InterfaceRef, float] = {}
        self._starts: dict[InterfaceRef, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Goes on for ever. Raises NodeRunSupersededError when another agent took this node's place."""
        await self._spool.registered.wait()
        try:
            await run_together(self._send(), go_on_for_ever("idle owners", self._retire, self._timeouts))
        finally:
            for start in self._starts.values():
                start.cancel()
            await asyncio.gather(*self._starts.values(), return_exceptions=True)

    async def _send(self) -> None:
        with self._spool.listening() as listener:

            async def step() -> None:
                watched = self._spool.watched(self._timeouts.meter_watch)[:_MOST_WATCHED]
                if not watched:
                    await listener.wait(self._timeouts.meter_watch)
                    return
                began = time.monotonic()
                heard = await asyncio.gather(*(self._heard(interface) for interface in watched))
                answer = await self._client.levels(
                    LevelsRequest(node_run=self._spool.node.node_run, interfaces=[one for one in heard if one])
                )
                self._spool.watch(answer.watched)
                await asyncio.sleep(max(0.0, began + self._timeouts.meter_period - time.monotonic()))

            await go_on_for_ever("levels", step, self._timeouts)

    async def _heard(self, interface: InterfaceRef) -> InterfaceLevels | None:
        """Since the last report; no channels for an interface that delivers nothing, or is only being opened.

        None when it is only late: a busy machine is no broken device.
        """
        channels = []
        try:
            async with asyncio.timeout(self._timeouts.meter_period * _PERIODS_TO_ANSWER):
                channels = await (await self._owners.held(interface)).levels()
        except OwnerGoneError:
            self._owners.forget(interface)
            self._start(interface)
        except (OwnerError, TimeoutError) as fault:
            log.debug("an owner gives no levels just now", interface=interface.name, fault=str(fault))
        now = time.monotonic()
        if channels:
            self._heard_at[interface] = now
        elif now - self._heard_at.get(interface, 0.0) < self._timeouts.growth_quiet:
            return None
        return InterfaceLevels(
            interface=interface,
            channels=[
                ChannelLevel(peak_dbfs=one.peak_dbfs, rms_dbfs=one.rms_dbfs, clipped_frames=one.clipped_frames)
                for one in channels
            ],
        )

    def _start(self, interface: InterfaceRef) -> None:
        """Beside the sending, which goes on. One that failed is tried again after a while."""
        report = next((one for one in self._inputs.present if (one.backend, one.name) == _key(interface)), None)
        running = self._starts.get(interface)
        if report is not None and (running is None or running.done()):
            self._starts[interface] = asyncio.create_task(self._started(interface, report))

    async def _started(self, interface: InterfaceRef, report: InterfaceReport) -> None:
        try:
            await self._owners.start_in_any_format(interface, report.default_capture)
        except Exception as fault:
            tell_why = log.warning if isinstance(fault, OwnerError) else log.exception
            tell_why("an interface that is watched does not open", interface=interface.name, fault=str(fault))
            await asyncio.sleep(self._timeouts.meter_watch / 3)

    async def _retire(self) -> None:
        await self._owners.retire_unused()
        await asyncio.sleep(self._timeouts.take_linger)


def _key(interface: InterfaceRef) -> tuple[str, str]:
    return (interface.backend, interface.name)
