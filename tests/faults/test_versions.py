"""Another version beside this one."""

from pathlib import Path

import pytest

from reelkeeper.faultkit.campaign import Campaign, upgrade_plan
from reelkeeper.faultkit.mutants.tree import CORE
from reelkeeper.faultkit.system import UnexpectedError
from reelkeeper.faultkit.versions import built, name_of


def test_version_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnexpectedError, match="no-such-version"):
        built("no-such-version", tmp_path / "source")


@pytest.mark.long
def test_recordings_go_on_through_upgrades_and_back(tmp_path: Path) -> None:
    """Of the last commit: `versions REF` does the same with any other."""
    other = built("HEAD", tmp_path / "source")
    assert (other / CORE).exists()
    assert not name_of(other).endswith("dirty")
    with Campaign(None, tmp_path / "kept", other=other) as campaign:
        assert campaign.run(upgrade_plan(1, 0.25)).violations == []
