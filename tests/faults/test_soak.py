"""What a soak says of hours of faults."""

from pathlib import Path

from reelkeeper.faultkit.injector import SINGLE
from reelkeeper.faultkit.soak import ENDING, Look, left_of, slope_mib_an_hour, tables

MIB = 1 << 20


def test_slope_is_that_of_a_settled_process() -> None:
    growing = [(number / 60, (50 if number < 12 else 80) * MIB + number * MIB) for number in range(60)]
    assert slope_mib_an_hour(growing) is not None
    assert round(slope_mib_an_hour(growing) or 0.0) == 60
    assert slope_mib_an_hour(growing[:4]) is None


def test_table_tells_processes_and_what_gathers_apart() -> None:
    looks = [
        Look(number / 60, number, {"agent 7@1": 50 * MIB, f"controller {number // 5}@2": 90 * MIB}, {"leases": number})
        for number in range(10)
    ]
    text = tables(looks)
    assert "| agent 7@1 | 10 | 0.15 | 50.0, 50.0, 50.0 | +0.00 |" in text
    assert "| controller 1@2 | 5 | 0.07 | 90.0, 90.0, 90.0 | too few looks |" in text
    assert "| leases | 0 | 9 | 9 |" in text


def test_what_a_system_leaves_on_the_machine_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert left_of(gone) == []
    gone.mkdir()
    assert left_of(gone) == [f"{gone} is left"]


def test_classes_that_end_a_process_exist() -> None:
    assert ENDING - {fault.name for fault in SINGLE} == set()
