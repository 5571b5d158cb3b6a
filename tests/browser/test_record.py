"""The dialog that records, and the dashboard that shows it, with script."""

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.demo import Demo


@pytest.fixture(autouse=True)
def nothing_runs_on(demo: Demo) -> Iterator[None]:
    """What a test leaves running would fill the node for the next."""
    yield
    for recording in demo.get("/recordings")["items"]:
        if recording["state"] in ("queued", "recording"):
            demo.stop_recording(recording["id"])


def opened(page: Page, path: str = "/") -> None:
    page.goto(path)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    page.keyboard.press("r")
    expect(page.locator("#name")).to_be_focused()


def test_r_then_enter_records(page: Page) -> None:
    opened(page, "/jobs")
    began = time.monotonic()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/recordings/[0-9a-f-]{36}$"))
    expect(page.get_by_text("Recording", exact=True).first).to_be_visible()
    print(f"from Enter to a recording that runs {time.monotonic() - began:.1f} s")


def test_name_is_selected_so_that_typing_replaces_it(page: Page) -> None:
    opened(page)
    page.keyboard.type("Council")
    expect(page.locator("#name")).to_have_value("Council")


def test_what_does_not_fit_is_said_as_soon_as_it_is_chosen(page: Page) -> None:
    opened(page)
    fit = page.locator("#record-fit")
    expect(fit).to_contain_text("kbit/s")
    page.get_by_role("radio", name="Counter, 32").check()
    expect(fit.locator(".warn")).to_contain_text("MP3 takes 1 or 2 channels, not 32")
    wav = page.locator("#profile_id option", has_text="WAV").get_attribute("value")
    page.locator("#profile_id").select_option(wav)
    expect(fit.locator(".warn")).to_have_count(0)


def test_a_refused_form_takes_the_focus_to_its_faults(page: Page) -> None:
    opened(page)
    page.get_by_role("radio", name="Counter, 32").check()
    page.get_by_role("button", name="Start recording").press("Enter")
    faults = page.get_by_role("alert").filter(has_text="This needs another look")
    expect(faults).to_be_focused()
    faults.get_by_role("link").press("Enter")
    page.wait_for_url(re.compile("#channels$"))


def test_a_running_recording_is_on_the_dashboard_with_a_clock_meters_and_stop(demo: Demo, page: Page) -> None:
    page.goto("/")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    recording = demo.record("tone", name="On the dashboard")
    card = page.locator(".now > li", has_text="On the dashboard")
    expect(card.locator(".elapsed .clock")).to_have_text(re.compile(r"^0:(0[3-9]|[1-5]\d)$"))
    expect(card.get_by_role("meter").first).to_have_attribute("aria-valuenow", re.compile(r"^-2[0-2]$"))
    expect(page.locator(".verdict")).to_contain_text("running")
    card.get_by_role("link", name="Stop").press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("On the dashboard")
    page.keyboard.press("Escape")
    assert demo.recording(recording)["state"] == "recording"
    demo.stop_recording(recording)
    expect(card).to_have_count(0)
