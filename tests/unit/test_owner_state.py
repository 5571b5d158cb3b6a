import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.owner.config import Capture, Interface
from agent.owner.state import (
    OwnerState,
    Process,
    StateError,
    holds_lock,
    list_states,
    owner_lock,
    read_state,
    remove_state,
    write_state,
)


def state_in(folder: Path) -> OwnerState:
    process = Process.of(os.getpid())
    assert process
    return OwnerState(folder, process, "secret", Interface("synthetic", "counter"), Capture(2, 48_000, "s16"))


def test_state_reads_back_as_written_and_only_its_user_can_read_it(tmp_path: Path) -> None:
    write_state(state_in(tmp_path))
    assert read_state(tmp_path) == state_in(tmp_path)
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_failed_write_keeps_the_last_good_state(tmp_path: Path) -> None:
    write_state(state_in(tmp_path))
    with pytest.raises(TypeError):
        write_state(replace(state_in(tmp_path), token=b"no text"))  # type: ignore[arg-type]
    assert read_state(tmp_path) == state_in(tmp_path)


def test_missing_state_is_none_and_may_be_removed(tmp_path: Path) -> None:
    assert read_state(tmp_path) is None
    remove_state(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"process": 5}',
        b"null",
        json.dumps({"token": "x" * 70_000}).encode(),
    ],
)
def test_foreign_bytes_are_not_a_state(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.json").write_bytes(content)
    with pytest.raises(StateError):
        read_state(tmp_path)


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("process", "pid", -1),
        ("process", "pid", "1"),
        ("process", "start_ticks", None),
        ("interface", "name", ""),
        ("capture", "channels", 0),
    ],
)
def test_state_with_one_impossible_fact_is_refused(tmp_path: Path, group: str, name: str, value: object) -> None:
    write_state(state_in(tmp_path))
    fields = json.loads((tmp_path / "state.json").read_text())
    fields[group][name] = value
    (tmp_path / "state.json").write_text(json.dumps(fields))
    with pytest.raises(StateError):
        read_state(tmp_path)


def test_unreadable_state_does_not_hide_the_others(tmp_path: Path) -> None:
    for name in ("owner-a", "owner-b"):
        (tmp_path / name).mkdir()
    write_state(state_in(tmp_path / "owner-a"))
    (tmp_path / "owner-b" / "state.json").write_text("{")
    assert [state.folder.name for state in list_states(tmp_path)] == ["owner-a"]


def test_process_is_told_from_a_later_one_with_the_same_pid() -> None:
    mine = Process.of(os.getpid())
    assert mine
    assert mine.is_alive()
    assert not replace(mine, start_ticks=mine.start_ticks + 1).is_alive()
    assert not replace(mine, boot_id="another boot").is_alive()


def test_ended_process_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = Process.of(child.pid)
    assert process
    child.kill()
    child.wait()
    assert child.stdin
    child.stdin.close()
    assert not process.is_alive()


def test_lock_is_given_once_and_free_again_afterwards(tmp_path: Path) -> None:
    with owner_lock(tmp_path) as first, owner_lock(tmp_path) as second:
        assert (first, second) == (True, False)
    with owner_lock(tmp_path) as third:
        assert third


def test_holder_of_the_lock_is_recognised_even_when_its_file_was_removed(tmp_path: Path) -> None:
    mine = Process.of(os.getpid())
    assert mine
    assert not holds_lock(mine, tmp_path)
    with owner_lock(tmp_path):
        assert holds_lock(mine, tmp_path)
        (tmp_path / "lock").unlink()
        assert holds_lock(mine, tmp_path)
    assert not holds_lock(mine, tmp_path)
