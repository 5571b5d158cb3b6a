"""The player: exact, by keys too, while a recording grows and when it has ended."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from reelkeeper.faultkit.system import wait_for
from tests import profiles
from tests.acceptance.demo import Demo

New = Callable[..., BrowserContext]

_IS_SOUNDING = """() => {
  const audio = document.getElementById("audio");
  return !audio.paused && audio.readyState > 2 && audio.currentTime > 0;
}"""

_PEAKS_BYTES = """() => performance.getEntriesByType("resource")
  .filter((entry) => entry.name.includes("/peaks?")).reduce((sum, entry) => sum + entry.encodedBodySize, 0)"""


def heard(page: Page) -> float:
    """The moment that the page says is heard, in seconds."""
    text = page.locator("#position").inner_text()
    parts = [float(part) for part in text.split(":")]
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))


def spread(page: Page) -> float:
    """How many seconds are in view."""
    minutes, seconds = page.locator("#spread").inner_text().split()[0].split(":")
    return 60 * int(minutes) + float(seconds)


def audio(page: Page, what: str) -> Any:
    return page.evaluate(f"() => document.getElementById('audio').{what}")


def is_sounding(page: Page) -> bool:
    return bool(page.evaluate(_IS_SOUNDING))


def take_time(page: Page) -> None:
    """Plays so slowly that a busy machine does what follows before the sound ends."""
    page.evaluate(
        "() => { const it = document.getElementById('audio'); it.playbackRate = it.defaultPlaybackRate = 0.25; }"
    )


CODECS = ("VOICE", "FLAC_16", "WAV")


@pytest.fixture(scope="module")
def speeches(demo: Demo) -> dict[str, str]:
    """Codec → some seconds of speech, delivered."""
    made = {codec: demo.record("speech", profile=getattr(profiles, codec), name=f"Speech {codec}") for codec in CODECS}
    for recording in made.values():
        demo.wait_capturing(recording, 12 * 48_000)
    for recording in made.values():
        demo.stop_recording(recording)
    for recording in made.values():
        demo.wait_state(recording, "completed")
    return made


@pytest.fixture(params=CODECS)
def finished(speeches: dict[str, str], request: pytest.FixtureRequest) -> str:
    """Some seconds of speech in each codec."""
    return speeches[request.param]


def test_a_press_on_the_overview_is_heard_from_there(page: Page, finished: str) -> None:
    page.goto(f"/recordings/{finished}")
    box = page.locator("#seek").bounding_box()
    assert box is not None
    page.get_by_role("button", name="Play", exact=True).click()
    wait_for("the sound", lambda: is_sounding(page))
    seconds = page.evaluate("() => Number(document.querySelector('.sound-facts').dataset.seconds)")
    pressed = time.monotonic()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    wait_for("the middle", lambda: is_sounding(page) and heard(page) >= seconds / 2 - 0.5)
    assert heard(page) <= seconds / 2 + 1 + time.monotonic() - pressed


def test_keys_move_pause_and_change_speed(page: Page, finished: str) -> None:
    page.goto(f"/recordings/{finished}")
    page.keyboard.press("ArrowRight")
    wait_for("five seconds", lambda: heard(page) == pytest.approx(5, abs=0.1))
    assert audio(page, "paused")
    page.keyboard.press("Space")
    wait_for("the sound", lambda: is_sounding(page) and heard(page) > 5.1)
    page.keyboard.press("Space")
    wait_for("silence", lambda: audio(page, "paused"))
    page.keyboard.press(">")
    assert audio(page, "playbackRate") == 1.25
    page.keyboard.press("m")
    assert audio(page, "muted")
    page.keyboard.press("Home")
    wait_for("the start", lambda: heard(page) == 0)
    slider = page.get_by_role("slider", name="Position")
    expect(slider).to_have_attribute("aria-valuenow", "0")
    slider.focus()
    page.keyboard.press("End")
    wait_for("the end", lambda: heard(page) > 11)
    expect(slider).to_have_attribute("aria-valuetext", f"{int(heard(page))} seconds of {int(heard(page))} seconds")


def test_keys_are_quiet_when_they_are_switched_off(page: Page, finished: str) -> None:
    page.goto(f"/recordings/{finished}")
    page.evaluate("() => localStorage.setItem('keys', 'off')")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("m")
    assert heard(page) == 0
    assert not audio(page, "muted")


def test_link_to_a_moment_opens_there(page: Page, finished: str) -> None:
    page.goto(f"/recordings/{finished}?t=6.5")
    wait_for("the page", lambda: heard(page) == 6.5)
    pressed = time.monotonic()
    page.get_by_role("button", name="Play", exact=True).click()
    wait_for("the moment", lambda: is_sounding(page) and heard(page) > 6.6)
    assert heard(page) < 7.5 + time.monotonic() - pressed
    page.keyboard.press("c")
    assert f"/recordings/{finished}?t=" in page.url


def test_zooming_and_moving_ask_only_for_what_is_in_view(page: Page, finished: str) -> None:
    page.goto(f"/recordings/{finished}")
    wait_for("peaks", lambda: page.evaluate(_PEAKS_BYTES) > 0)
    whole = spread(page)
    for _ in range(3):
        page.keyboard.press("+")
    wait_for("a close look", lambda: spread(page) == pytest.approx(whole / 8, abs=0.2))
    page.get_by_role("button", name="Later").click()
    page.keyboard.press("0")
    wait_for("the whole", lambda: spread(page) == whole)
    assert page.evaluate(_PEAKS_BYTES) < 25_000


def test_growing_recording_is_heard_sought_and_goes_on_when_it_ends(demo: Demo, page: Page) -> None:
    recording = demo.record("speech", profile=profiles.VOICE, name="Grows")
    demo.wait_capturing(recording, 8 * 48_000)
    page.goto(f"/recordings/{recording}")
    expect(page.locator(".follow")).to_be_visible()
    before = page.locator("#total").inner_text()
    wait_for("it to grow", lambda: page.locator("#total").inner_text() > before)
    page.get_by_role("button", name="Play", exact=True).click()
    wait_for("the sound", lambda: is_sounding(page))
    at_the_edge = heard(page)
    assert at_the_edge > 5
    page.keyboard.press("Home")
    wait_for("the start", lambda: is_sounding(page) and 0 < heard(page) < at_the_edge)
    take_time(page)
    page.evaluate("() => { window.sameDocument = true; }")
    demo.stop_recording(recording)
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    asked, at = time.monotonic(), heard(page)
    wait_for("it to go on", lambda: heard(page) > at + 0.5)
    assert heard(page) < at + 1 + time.monotonic() - asked
    assert page.evaluate("() => window.sameDocument")
    expect(page.locator(".follow")).to_be_hidden()


def test_stopping_from_the_page_keeps_it_playing(demo: Demo, page: Page) -> None:
    recording = demo.record("speech", profile=profiles.VOICE, name="Stopped while it plays")
    demo.wait_capturing(recording, 6 * 48_000)
    page.goto(f"/recordings/{recording}")
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    wait_for("the sound", lambda: is_sounding(page))
    take_time(page)
    page.evaluate("() => { window.sameDocument = true; }")
    page.get_by_role("link", name="Stop").click()
    page.get_by_role("button", name="Stop and deliver").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    assert is_sounding(page)
    assert page.evaluate("() => window.sameDocument")


def test_list_plays_in_its_dock(page: Page, finished: str) -> None:
    page.goto("/recordings")
    row = page.locator(f"#recording-{finished}")
    row.get_by_role("link", name="Play").click()
    dock = page.locator("#dock")
    expect(dock).to_be_visible()
    wait_for("the sound", lambda: page.evaluate("() => document.querySelector('#dock audio').currentTime > 0"))
    assert page.url.endswith("/recordings")
    dock.get_by_role("button", name="Close the player").click()
    expect(dock).to_be_hidden()


def test_without_script_a_link_to_a_moment_reaches_the_native_player(new_context: New, finished: str) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto(f"/recordings/{finished}?t=3")
    player = page.locator("audio[controls]")
    expect(player).to_be_visible()
    assert (player.get_attribute("src") or "").endswith("/audio#t=3.0")
    expect(page.locator("#transport")).to_be_hidden()
