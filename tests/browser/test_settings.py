"""The pages of the settings in both themes, wide and narrow, and by keyboard alone."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.shut_out import shut_out, sideways
from tests.browser.test_looks import FIRST_VISIT_BYTES, REPEATED_VISIT_BYTES, visited, visited_again

New = Callable[..., BrowserContext]

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def paths() -> list[str]:
    return [
        *("/settings/profiles", "/settings/profiles/new", "/settings/users", "/settings/groups"),
        *("/settings/roles", "/settings/roles/new", "/settings/system"),
        *("/settings/tokens", "/settings/webhooks", "/account/tokens"),
    ]


def with_their_first(page: Page, paths: list[str]) -> list[str]:
    """The lists, and the page of the first thing on each."""
    found = []
    for path in paths:
        page.goto(path)
        first = page.locator("a.row-link").first
        found += [path] + ([first.get_attribute("href") or path] if first.count() else [])
    return found


def test_settings_shut_nobody_out_and_spill_nothing(new_context: New, paths: list[str]) -> None:
    page = new_context().new_page()
    found = {}
    for path in with_their_first(page, paths):
        page.goto(path)
        found[path] = [*sideways(page), *shut_out(page)]
    assert not any(found.values()), "\n".join(f"{path}: {faults}" for path, faults in found.items() if faults)


def test_settings_load_little(new_context: New, paths: list[str]) -> None:
    for path in paths:
        context = new_context()
        first, again = visited(context.new_page(), path), visited_again(context, path)
        assert first <= FIRST_VISIT_BYTES, (path, first)
        assert again <= REPEATED_VISIT_BYTES, (path, again)


def test_somebody_is_invited_and_given_a_role_by_keyboard_alone(page: Page) -> None:
    page.goto("/settings/users")
    page.get_by_label(re.compile("Invite somebody")).focus()
    page.keyboard.type("Keyboard Kim")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Link for Keyboard Kim")
    page.get_by_role("link", name="Give roles to Keyboard Kim").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Give a role").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("operator")
    page.get_by_role("button", name="Give").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Operator everywhere").first).to_be_visible()
    assert page.evaluate("() => document.activeElement !== null")
