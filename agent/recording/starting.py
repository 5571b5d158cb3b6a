"""From a claimed job to the first frame."""

from uuid import UUID

import structlog

from agent.errors import DoesNotFitError
from agent.owner import clock
from agent.owner.handle import OwnerError, OwnerRefusedError, OwnerStartError
from agent.recording.ending import Ending
from agent.recording.part import Means, Part
from agent.recording.plan import Plan
from agent.recording.retrying import Retrying
from agent.renderer.encoders import check_fit
from agent.spool import Listener
from agent.states import Instant, Stage
from protocol.messages import Wish

log = structlog.get_logger()

ARMED_EARLY_SECONDS = 2.0
"""How long before a planned start the capture process is made ready."""
SYNTHETIC = "synthetic"
"""The only backend whose inputs neither leave nor come."""


class Starting(Part):
    """Waits for the planned start, makes the interface capture, and binds the first frame."""

    def __init__(self, means: Means, job_id: UUID, ending: Ending, retrying: Retrying) -> None:
        super().__init__(means, job_id)
        self._ending = ending
        self._retrying = retrying

    async def step(self, listener: Listener) -> None:
        if self.state.wish is not Wish.CANCEL and await self._retrying.take_over():
            return
        if (self.state.owed or self.state.wish is not Wish.RUN) and await self._has_begun():
            return
        if self.state.owed:
            await self._ending.drop_need()
            await self.spool.remove_job(self.job_id)
        elif self.state.wish is Wish.CANCEL:
            await self._ending.cancelled()
        elif self.state.wish is Wish.STOP:
            await self._ending.nothing_captured()
        elif (left := self._seconds_until_armed()) > 0:
            await listener.wait(left)
        else:
            await self._begin()

    async def _begin(self) -> None:
        """The first frame is on disk here before anybody hears of it."""
        state, plan = self.state, Plan(self.state)
        if state.claimed.attempt > 1 and plan.ends_ns is not None and clock.boottime_ns() >= plan.ends_ns:
            await self._ending.failed("window_over", _WINDOW_OVER)
            return
        try:
            await self._check_fit()
            await self.means.disk.check_start(state.claimed.settings.capture)
            owner = await self.means.owners.start(state.interface, state.claimed.settings.capture)
            begun = await owner.begin(
                str(state.capture_name), plan.begins_ns, plan.start_instant, preroll_ms=plan.preroll_ms
            )
        except DoesNotFitError as refusal:
            await self._ending.failed(refusal.reason, str(refusal))
        except OwnerError as fault:
            await self._not_started(fault)
        else:
            await self.update(
                stage=Stage.CAPTURING,
                take_id=UUID(begun.take_id),
                start_frame=begun.start_frame,
                press_frame=begun.press_frame,
                begun_at=Instant.in_ms(0),
            )
            log.info("capturing", job_id=str(self.job_id), take_id=begun.take_id, start_frame=begun.start_frame)
            await self._tell_short_preroll(plan.preroll_ms, begun.press_frame - begun.start_frame)

    async def _tell_short_preroll(self, wanted_ms: int, reached_frames: int) -> None:
        reached_ms = reached_frames * 1000 // self.state.claimed.settings.capture.sample_rate_hz
        if reached_ms < wanted_ms:
            await self.means.health.tell(
                "preroll_short",
                "info",
                f"The recording begins {reached_ms / 1000:.1f} s before Record was pressed instead of "
                f"{wanted_ms / 1000:.1f} s: {self.state.interface.name} was not armed any longer.",
                job_id=self.job_id,
                interface=self.state.interface,
            )

    async def _has_begun(self) -> bool:
        """Whether it captures already: a kill or a slow disk may have kept the answer from us. Then it goes on so."""
        begun = await self.means.takes.find_start(self.state.capture_name)
        if begun is None:
            return False
        take_id, start_frame, press_frame = begun
        await self.update(stage=Stage.CAPTURING, take_id=take_id, start_frame=start_frame, press_frame=press_frame)
        return True

    async def _not_started(self, fault: OwnerError) -> None:
        """Tried again as long as that may help: until a planned end, else as long as a start may go unanswered."""
        plan, now_ns = Plan(self.state), clock.boottime_ns()
        is_hopeless = isinstance(fault, OwnerStartError) and not fault.retry_helps
        is_disk_full = isinstance(fault, OwnerStartError | OwnerRefusedError) and fault.code == "disk_full"
        if is_disk_full:
            is_hopeless = plan.ends_ns is None  # there may be room before a planned recording is over
        if plan.ends_ns is not None:
            is_over = now_ns >= plan.ends_ns
        else:
            is_over = (now_ns - plan.begins_ns) / 1e9 > self.timeouts.unclaimed
        if is_hopeless or is_over:
            await self._ending.failed("disk_full" if is_disk_full else "capture_not_started", str(fault))
            return
        await self.means.health.tell_once("capture_not_started", "critical", str(fault), job_id=self.job_id)
        raise fault

    async def _check_fit(self) -> None:
        """Raises DoesNotFitError, and OwnerStartError for an input that is away and may come back."""
        settings = self.state.claimed.settings
        check_fit(settings.encoding, settings.capture, settings.channel_map)
        if await self.means.inputs.find(settings.interface) is not None:
            return
        if settings.interface.backend == SYNTHETIC:
            raise DoesNotFitError(
                "interface_unknown",
                f"This node has no synthetic input {settings.interface.name}. Choose another interface.",
            )
        raise OwnerStartError("device_gone", f"{settings.interface.name} is not there just now. Plug it in or free it.")

    def _seconds_until_armed(self) -> float:
        starts_ns = Plan(self.state).starts_ns
        if starts_ns is None:
            return 0.0
        return (starts_ns - clock.boottime_ns()) / 1e9 - min(ARMED_EARLY_SECONDS, self.timeouts.owner_start)


_WINDOW_OVER = (
    "The window of this recording is over, and this node holds nothing of it any more. Start a new recording if it is "
    "still wanted."
)
