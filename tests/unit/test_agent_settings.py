"""What an operator may set, and the private folder for sockets."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.errors import RunFolderError
from agent.settings import AgentSettings, child_environment, sound_environment
from protocol.home import default_run_folder
from protocol.timeouts import Timeouts


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REELKEEPER_HOME", str(tmp_path))
    monkeypatch.setenv("REELKEEPER_CONTROLLER_URL", "https://controller.example")
    monkeypatch.setenv("REELKEEPER_TIME_SCALE", "0.5")
    settings = AgentSettings()
    assert settings.takes_folder == tmp_path / "node" / "takes"
    assert settings.controller_url == "https://controller.example"
    assert settings.timeouts == Timeouts().scaled(0.5)
    assert not settings.enrolled


def test_sound_files_are_named_by_a_list_and_owners_see_only_where_the_sound_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REELKEEPER_FILE_INPUTS", '["/srv/sounds", "/srv/hymn.flac"]')
    monkeypatch.setenv("REELKEEPER_TOKEN", "secret")
    monkeypatch.setenv("PULSE_SERVER", "unix:/run/pulse")
    assert AgentSettings(home=tmp_path).file_inputs == (Path("/srv/sounds"), Path("/srv/hymn.flac"))
    assert sound_environment()["PULSE_SERVER"] == "unix:/run/pulse"
    assert "secret" not in sound_environment().values()


def test_captures_spill_into_folders_in_their_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REELKEEPER_SPILL_FOLDERS", '["/mnt/b", "/mnt/a"]')
    settings = AgentSettings(home=tmp_path)
    assert settings.capture_folders == (settings.takes_folder, Path("/mnt/b"), Path("/mnt/a"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_scale", 0),
        ("uploads_limit", 0),
        ("uploads_limit", "many"),
        ("spill_folders", ["relative"]),
        ("spill_folders", ["/mnt"] * 8),
        ("reserve_bytes", -1),
    ],
)
def test_nonsense_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        AgentSettings.model_validate({name: value})


def test_run_folder_is_private_also_when_it_was_not(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o777)
    assert AgentSettings(home=tmp_path, run_folder=folder).private_run_folder() == folder
    assert folder.stat().st_mode & 0o777 == 0o700


def test_run_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunFolderError, match="REELKEEPER_RUN_FOLDER"):
        AgentSettings(home=tmp_path, run_folder=tmp_path / "run").private_run_folder()


def test_two_homes_have_two_run_folders() -> None:
    assert default_run_folder(Path("/nowhere/a")) != default_run_folder(Path("/nowhere/b"))


def test_renderer_sees_none_of_the_agents_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELKEEPER_SECRET", "canary")
    monkeypatch.setenv("DATABASE_URL", "postgres://canary")
    assert "canary" not in " ".join(child_environment().values())
