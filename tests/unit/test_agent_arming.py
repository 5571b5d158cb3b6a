"""Which interfaces are armed, and when that has to wait."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from agent.arming import Arming
from agent.devices import Owners
from agent.health import Health
from agent.owner.handle import Owner, OwnerStartError
from agent.spool import Spool
from agent.states import JobState, Stage
from agent.takes import Takes
from protocol.ids import new_id
from protocol.messages import ArmedInterface, CaptureFormat, ClaimedJob, InterfaceRef, Wish
from protocol.timeouts import Timeouts
from tests.agent_room import job_settings

WIDE = CaptureFormat(channels=8, sample_rate_hz=48_000, sample_type="s24")


class FakeOwners:
    """None of them starts."""

    def __init__(self) -> None:
        self.asked: list[InterfaceRef] = []

    async def start(self, interface: InterfaceRef, capture: CaptureFormat) -> Owner:
        self.asked.append(interface)
        raise OwnerStartError("device_gone", "It is not there. Plug it in.")

    async def living(self) -> list[Owner]:
        return []


async def looked(spool: Spool, times: int = 1) -> FakeOwners:
    owners, timeouts = FakeOwners(), Timeouts()
    health = Health(spool, timeouts)
    takes = Takes(spool, cast(Owners, owners), health, timeouts)
    arming = Arming(spool, cast(Owners, owners), takes, health, timeouts)
    for _ in range(times):
        await arming.look()
    return owners


def armed(capture: CaptureFormat) -> ArmedInterface:
    return ArmedInterface(interface=job_settings().interface, capture=capture, preroll_ms=1000)


@pytest.mark.parametrize(("stage", "is_asked"), [(Stage.STARTING, 0), (Stage.CAPTURING, 0), (Stage.UPLOADING, 1)])
def test_interface_that_a_recording_has_in_another_format_is_left_to_it(
    tmp_path: Path, stage: Stage, is_asked: int
) -> None:
    spool = Spool.open(tmp_path)
    claimed = ClaimedJob(
        job_id=new_id(),
        recording_id=new_id(),
        attempt=1,
        epoch=1,
        settings=job_settings(),
        wish=Wish.RUN,
        wish_age_ms=0,
        requested_age_ms=0,
    )

    async def look() -> FakeOwners:
        await spool.add_job(JobState.of(claimed))
        await spool.update_job(claimed.job_id, stage=stage)
        await spool.arm([armed(WIDE)])
        return await looked(spool)

    assert len(asyncio.run(look()).asked) == is_asked


def test_interface_that_cannot_be_armed_is_told_once_and_not_tried_at_every_turn(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)

    async def look() -> FakeOwners:
        await spool.arm([armed(job_settings().capture)])
        return await looked(spool, times=20)

    assert len(asyncio.run(look()).asked) == 1
    (event,) = asyncio.run(spool.events(10))
    assert event.event.kind == "not_armed"
