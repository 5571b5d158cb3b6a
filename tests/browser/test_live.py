"""The console never lies about how live it is, and is right again by itself."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from playwright.sync_api import BrowserContext, Page, expect

from tests.acceptance.demo import Demo
from tests.acceptance.system import wait_for
from tests.browser.conftest import Complaints

New = Callable[..., BrowserContext]


def live(page: Page) -> None:
    expect(page.locator("#live")).to_have_attribute("data-state", "live", timeout=10_000)


def test_a_state_that_changes_elsewhere_is_seen_without_a_reload(demo: Demo, page: Page) -> None:
    page.goto("/jobs")
    live(page)
    page.evaluate("() => { window.sameDocument = true; }")
    recording = demo.record("tone", name="Seen while it happens")
    row = page.locator("tr", has_text="Seen while it happens")
    expect(row).to_contain_text("Capturing", timeout=10_000)
    demo.stop_recording(recording)
    expect(row).to_contain_text("Completed", timeout=10_000)
    assert page.evaluate("() => window.sameDocument")


def test_after_a_restart_of_the_controller_the_screen_is_right_by_itself(
    demo: Demo, page: Page, complaints: Complaints
) -> None:
    complaints.expected |= {"ERR_", "/events"}
    page.goto("/jobs")
    live(page)
    page.evaluate("() => { window.sameDocument = true; }")
    os.kill(controller_of(demo), signal.SIGKILL)
    expect(page.locator("#live")).not_to_have_attribute("data-state", "live", timeout=10_000)
    recording = record_once_it_answers(demo, "Made while nobody looked")
    expect(page.locator("tr", has_text="Made while nobody looked")).to_be_visible(timeout=10_000)
    live(page)
    assert page.evaluate("() => window.sameDocument")
    demo.stop_recording(recording)
    demo.wait_state(recording, "completed")


HIDE = """() => {
  Object.defineProperty(document, "hidden", {value: HIDDEN, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_eight_tabs_each_load_within_a_second_and_the_hidden_hold_no_stream(demo: Demo, new_context: New) -> None:
    """Chromium opens six connections to a host: with a stream a tab the seventh tab would hang."""
    context = new_context()
    context.add_init_script("Object.defineProperty(document, 'hidden', {value: true, configurable: true});")
    seconds, pages = [], []
    for _ in range(8):
        page = context.new_page()
        began = time.monotonic()
        page.goto("/jobs", wait_until="load")
        seconds.append(time.monotonic() - began)
        expect(page.locator("#live")).to_have_attribute("data-state", "paused")
        pages.append(page)
    print("seconds to load: " + " ".join(f"{one:.2f}" for one in seconds))
    assert max(seconds) < 5.0  # the seventh would wait until another tab closes
    recording = demo.record("tone", name="While all were hidden")
    for page in (pages[7], pages[0]):
        page.evaluate(HIDE.replace("HIDDEN", "false"))
        live(page)
        expect(page.locator("tr", has_text="While all were hidden")).to_be_visible()
    pages[0].evaluate(HIDE.replace("HIDDEN", "true"))
    expect(pages[0].locator("#live")).to_have_attribute("data-state", "paused", timeout=10_000)
    demo.stop_recording(recording)
    demo.wait_state(recording, "completed")


def test_back_shows_a_whole_page_also_after_fragments_were_fetched(demo: Demo, page: Page) -> None:
    page.goto("/jobs")
    live(page)
    page.get_by_role("link", name="Failed").first.click()
    page.wait_for_url("**state=failed*")
    page.get_by_role("link", name="Nodes").click()
    page.wait_for_url("**/nodes")
    page.go_back()
    page.wait_for_url("**state=failed*")
    expect(page.get_by_role("banner")).to_be_visible()
    expect(page.get_by_role("heading", level=1, name="Jobs")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("banner")).to_be_visible()
    assert page.url.endswith("/jobs")


def test_a_field_in_use_is_not_swapped_away(demo: Demo, page: Page) -> None:
    page.goto("/record")
    live(page)
    name = page.get_by_label("Name")
    name.fill("Half a na")
    recording = demo.record("tone")
    demo.wait_capturing(recording)
    demo.stop_recording(recording)
    demo.wait_state(recording, "completed")
    expect(name).to_be_focused()
    expect(name).to_have_value("Half a na")


def test_single_keys_lead_to_pages_and_can_be_switched_off(page: Page) -> None:
    page.goto("/jobs")
    page.keyboard.press("g")
    page.keyboard.press("n")
    page.wait_for_url("**/nodes")
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    keys.get_by_role("checkbox").uncheck()
    keys.get_by_role("button", name="Close").click()
    page.keyboard.press("r")
    expect(page.get_by_role("dialog", name="Record")).not_to_be_visible()


def controller_of(demo: Demo) -> int:
    for pid in demo.processes():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if b"controller" in words:
            return pid
    raise AssertionError("no controller runs")


def record_once_it_answers(demo: Demo, name: str) -> str:
    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{demo.url}/readyz").is_success
        return False

    wait_for("the controller to answer again", answers, 30)
    return demo.record("tone", name=name)
