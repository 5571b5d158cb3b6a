"""Breaks one thing on purpose, and mends it: one small function for each class of faults.

A function returns when what it broke is whole again, not when the system has recovered. What it draws, it draws from
the chance of its scene, so that a seed decides everything.
"""

from collections.abc import Callable
from dataclasses import dataclass

from reelkeeper.faultkit.injector import devices, disks, memory, network, processes, strangers, upgrades
from reelkeeper.faultkit.injector.scene import Scene
from reelkeeper.faultkit.sleeper import why_no_sleep
from reelkeeper.faultkit.volume import why_no_power_cuts

__all__ = ["ELSEWHERE", "SINGLE", "UPGRADE", "FaultClass", "Scene"]

DEVICE_GAPS = frozenset({"device_lost", "device_stalled", "device_format_changed", "overrun"})
DISK_GAPS = frozenset({"disk_full", "disk_failing", "write_error", "ring_full", "owner_died"})
SLEEP_GAPS = frozenset({"overrun", "suspended"})
NOT_TAKEN = frozenset({"node_did_not_answer", "not_claimed", "capture_not_started", "contact_lost"})
NO_ROOM = frozenset({"disk_full", "capture_not_started", "below_minimum", "contact_lost"})


@dataclass(frozen=True)
class FaultClass:
    """`rows` are those of the fault matrix in docs/fault-kit.md."""

    name: str
    rows: tuple[int, ...]
    inject: Callable[[Scene], None]
    gap_causes: frozenset[str] = frozenset()
    """Gaps that it explains."""
    may_fail: frozenset[str] = frozenset()
    """Failures that it explains."""
    delay_seconds: float = 0.0
    """How much later than usual a press may be heard of, without having been told of its age, at a scale of 0.1."""
    loses_contact: bool = False
    """Jobs may be given up by it; then nobody can stop their recordings any more, so they have a planned end."""
    may_damage: bool = False
    """What the controller has may turn out to be damaged, as long as it serves none of it and gets it once more."""
    why_not: Callable[[], str | None] = lambda: None
    """Why this machine does not allow it."""
    weight: int = 1
    """How often it is drawn."""


_OWNER = frozenset({"owner_died"})

OFTEN = 6
"""Classes that a release counts one by one."""

SINGLE = (
    FaultClass("agent_kill", (1, 34), processes.kill_agent, may_fail=NOT_TAKEN, weight=OFTEN),
    FaultClass("agent_restart", (14,), processes.restart_agent, may_fail=NOT_TAKEN),
    FaultClass("owner_kill", (2,), processes.kill_owner, _OWNER, weight=OFTEN),
    FaultClass("both_kill", (3,), processes.kill_both, _OWNER, NOT_TAKEN, weight=OFTEN),
    FaultClass("renderer_kill", (3,), processes.kill_renderer),
    FaultClass("controller_kill", (4,), processes.kill_controller, weight=OFTEN),
    FaultClass("controller_restart", (5,), processes.restart_controller),
    FaultClass("database_restart", (6,), processes.restart_database),
    FaultClass("database_kill", (7,), processes.kill_database),
    FaultClass("partition_short", (8,), network.part_shortly, may_fail=NOT_TAKEN, weight=2),
    FaultClass("partition_beyond_lease", (8,), network.part_longer_than_the_lease, may_fail=NOT_TAKEN, weight=2),
    FaultClass(
        "partition_beyond_recording", (8,), network.part_longer_than_the_recording, may_fail=NOT_TAKEN, weight=2
    ),
    FaultClass("partition_given_up", (8,), network.part_until_given_up, may_fail=NOT_TAKEN, loses_contact=True),
    FaultClass("one_way", (9,), network.lose_answers, may_fail=NOT_TAKEN, delay_seconds=1.0),
    FaultClass("slow_network", (10,), network.slow_network, may_fail=NOT_TAKEN, delay_seconds=1.0),
    FaultClass("enospc", (11,), disks.fill_disk, DISK_GAPS, NO_ROOM, why_not=why_no_power_cuts, weight=OFTEN),
    FaultClass("eio", (12,), disks.fail_writes, DISK_GAPS, NO_ROOM, why_not=disks.why_no_trace),
    FaultClass(
        "power_cut_node", (13,), disks.cut_power_of_node, _OWNER, NOT_TAKEN, why_not=why_no_power_cuts, weight=3
    ),
    FaultClass("power_cut_controller", (13,), disks.cut_power_of_controller, why_not=why_no_power_cuts, weight=2),
    FaultClass("power_cut_all", (13,), disks.cut_power_of_all, _OWNER, NOT_TAKEN, why_not=why_no_power_cuts, weight=2),
    FaultClass("device_loss", (15,), devices.lose_device, DEVICE_GAPS, weight=OFTEN),
    FaultClass("device_format", (16,), devices.change_format, DEVICE_GAPS),
    FaultClass("overrun", (17,), devices.overrun_device, DEVICE_GAPS),
    FaultClass("stall", (15,), devices.stall_device, DEVICE_GAPS),
    FaultClass("device_hang", (35,), devices.hang_device, DEVICE_GAPS | _OWNER),
    FaultClass("owner_pause", (17,), processes.stop_owner, DEVICE_GAPS | _OWNER | {"ring_full"}),
    FaultClass("clock_jump", (18,), strangers.jump_clock, may_fail=NOT_TAKEN, why_not=strangers.why_no_clocks),
    FaultClass("suspend", (19,), processes.suspend_node, SLEEP_GAPS, NOT_TAKEN, why_not=why_no_sleep),
    FaultClass(
        "suspend_given_up",
        (19,),
        processes.suspend_node_for_long,
        SLEEP_GAPS,
        NOT_TAKEN,
        loses_contact=True,
        why_not=why_no_sleep,
    ),
    FaultClass("zombie", (20,), processes.stop_agent_for_long, may_fail=NOT_TAKEN, loses_contact=True, weight=OFTEN),
    FaultClass("clone", (21,), strangers.clone_node, may_fail=NOT_TAKEN),
    FaultClass("repeated_requests", (22,), network.repeat_requests, may_fail=NOT_TAKEN, delay_seconds=3.0),
    FaultClass("race", (23,), strangers.race_wishes),
    FaultClass("ends_meet", (38,), strangers.meet_ends, DEVICE_GAPS | _OWNER),
    FaultClass("torn_segment", (24,), disks.tear_segments, _OWNER, NOT_TAKEN),
    FaultClass("memory_limit", (30,), memory.limit_memory, _OWNER | DEVICE_GAPS, NOT_TAKEN),
    FaultClass("bit_flip_node", (25,), disks.flip_bit_of_rendition),
    FaultClass("bit_flip_controller", (25,), disks.flip_bit_of_received, may_damage=True),
    FaultClass("upload_damage", (26,), network.damage_uploads, weight=OFTEN),
    FaultClass("hostile_owner", (27, 37), strangers.storm_owner),
    FaultClass("pid_reuse", (28,), strangers.reuse_pid, _OWNER, NOT_TAKEN),
    FaultClass("slow_disk", (29, 36), disks.slow_disk, DISK_GAPS, why_not=disks.why_no_trace),
)

UPGRADE = FaultClass("upgrade", (32,), upgrades.upgrade, may_fail=NOT_TAKEN)
"""Takes another version, and so is drawn by nobody: `versions REF` runs it."""

ELSEWHERE = {
    14: "tests/faults/test_units.py, a long test: a systemd in namespaces of its own restarts the unit of an agent.",
    33: "soak: one fault a minute for hours.",
}
"""Rows of the fault matrix that are no class here, and what runs them."""
