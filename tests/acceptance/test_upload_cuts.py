"""An upload that is cut at random bytes goes on where it stopped."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reelkeeper.faultkit.proxy import Proxy, Rule
from reelkeeper.faultkit.sound import breaks_of, counter_of
from reelkeeper.faultkit.system import System, free_port, wait_for

RATE = 48_000


@pytest.mark.parametrize("cuts", [10, pytest.param(50, marks=pytest.mark.long)])
def test_upload_that_is_cut_again_and_again_sends_nothing_twice_but_what_was_cut(
    start_system: Callable[..., System], tmp_path: Path, cuts: int
) -> None:
    port = free_port()
    with Proxy(port, seed=7) as proxy:
        proxy.obey(Rule("cut", method="PUT", path="/audio", times=cuts))
        system = start_system(port=port, agent_url=f"http://127.0.0.1:{proxy.port}", scale=0.2)
        recording = system.record()
        wait_for("all cuts", lambda: proxy.rules_left == 0, 200)
        system.stop_recording(recording)
        system.wait_state(recording, "completed")
        checksum = system.wait_checksum(recording)
        file = system.download(recording, tmp_path / "one.wav")
        assert breaks_of(counter_of(file)) == []
        assert len(checksum) == 64
        assert sum(append.was_cut for append in proxy.appends) == cuts
        for before, after in zip(proxy.appends, proxy.appends[1:], strict=False):
            end = before.start + before.passed
            assert before.start <= after.start <= end
            assert before.was_cut or after.start == end
        twice = sum(append.passed for append in proxy.appends) - file.stat().st_size
        assert twice <= sum(append.passed for append in proxy.appends if append.was_cut)
        print(f"{cuts} cuts, {file.stat().st_size} bytes, {twice} sent twice")
