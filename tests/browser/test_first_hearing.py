"""A person's first minutes: from the link that the demo prints to a recording that is heard and kept."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import BrowserContext, expect

from tests.acceptance.demo import Demo

New = Callable[..., BrowserContext]


def test_record_speak_stop_hear_with_script(demo: Demo, new_context: New, tmp_path: Path) -> None:
    """The path that the front page promises, with its clicks counted and its seconds told."""
    page = new_context(storage_state=None, viewport={"width": 1440, "height": 900}).new_page()
    began = time.monotonic()
    page.goto(demo.run("sign-in"))
    page.get_by_role("button", name="Open the console").click()  # 1
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    signed_in = time.monotonic()
    page.get_by_role("link", name="Record", exact=True).first.click()  # 2
    dialog = page.get_by_role("dialog", name="Record")
    expect(dialog.get_by_role("radio", name="Speech")).to_be_checked()
    moving = dialog.locator(".input", has=page.get_by_role("radio", name="Speech")).get_by_role("meter").first
    expect(moving).not_to_have_attribute("aria-valuenow", "-60")
    dialog.get_by_role("button", name="Start recording").click()  # 3
    page.wait_for_url("**/recordings/*")
    expect(page.get_by_text("Recording", exact=True).first).to_be_visible()
    running = time.monotonic()
    recording = page.url.rpartition("/")[2]
    demo.wait_capturing(recording, 96_000)
    page.get_by_role("link", name="Stop").click()  # 4
    page.get_by_role("button", name="Stop").click()  # 5
    stopped = time.monotonic()
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    page.get_by_role("button", name="Play", exact=True).click()  # 6
    page.wait_for_function("() => document.querySelector('audio').currentTime > 0")
    heard = time.monotonic()
    page.wait_for_function("() => document.querySelector('audio').currentTime > 1")
    assert page.evaluate("() => document.querySelector('audio').error") is None
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.suffix == ".mp3"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == demo.wait_checksum(recording)
    print(
        f"6 clicks; signed in {signed_in - began:.1f} s, from there to recording {running - signed_in:.1f} s, "
        f"from stop to playing {heard - stopped:.1f} s"
    )


def test_record_stop_hear_without_script(demo: Demo, new_context: New, tmp_path: Path) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto("/")
    page.get_by_role("link", name="Record", exact=True).first.click()
    page.get_by_role("radio", name="Speech").check()
    page.get_by_role("button", name="Start recording").click()
    page.wait_for_url("**/recordings/*")
    recording = page.url.rpartition("/")[2]
    demo.wait_capturing(recording, 48_000)
    page.reload()
    page.get_by_role("link", name="Stop").click()
    page.get_by_role("button", name="Stop").click()
    demo.wait_state(recording, "completed")
    page.goto(f"/recordings/{recording}")
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    assert page.locator("audio[controls]").count() == 1
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    file = tmp_path / "without.mp3"
    download.value.save_as(file)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == demo.wait_checksum(recording)
