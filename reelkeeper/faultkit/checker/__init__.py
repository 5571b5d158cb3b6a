"""Judges what a fault left behind: one function for each invariant, each says in words what does not hold.

It knows nothing but the evidence: history, rows, downloads, files of the node. It reads no log of ours.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from reelkeeper.faultkit.checker import content, control, remains
from reelkeeper.faultkit.evidence import RATE_HZ, Evidence

Check = Callable[[Evidence], Iterator[str]]


@dataclass(frozen=True)
class Violation:
    invariant: str
    words: str


def check(evidence: Evidence) -> list[Violation]:
    """Everything that does not hold."""
    return [Violation(name, words) for name, judge in CHECKS.items() for words in judge(evidence)]


def worst_loss_ms(evidence: Evidence) -> float | None:
    """The longest stretch that was captured and is not there, None when no capture process died."""
    return max((loss / RATE_HZ * 1000 for _, _, loss in content.losses(evidence)), default=None)


CHECKS: dict[str, Check] = {
    "I1": control.i1_every_job_ends_in_time,
    "I2": control.i2_one_terminal_state,
    "I3": content.i3_nothing_acknowledged_is_lost,
    "I4": content.i4_loss_is_bounded,
    "I5": content.i5_no_frame_twice_or_out_of_order,
    "I6": content.i6_every_gap_is_listed,
    "I7": content.i7_digests_are_equal_end_to_end,
    "I8": content.i8_nothing_unfinished_is_served,
    "I9": control.i9_no_zombie_changes_results,
    "I10": control.i10_starts_are_idempotent,
    "I11": control.i11_a_stop_acts_once,
    "I12": control.i12_history_is_complete,
    "I13": remains.i13_memory_is_bounded,
    "I14": remains.i14_nothing_is_left_behind,
    "I15": remains.i15_files_parse,
    "I16": remains.i16_shutdown_is_bounded,
    "I17": remains.i17_helpers_know_no_secret,
    "I18": control.i18_denied_requests_change_nothing,
    "I19": remains.i19_a_full_disk_breaks_nothing_before,
    "I20": content.i20_a_limit_leaves_a_valid_file,
}
