"""Whom a page shuts out, by axe, and what of it spills over: in both themes, narrow and wide, after one load."""

from collections.abc import Iterator
from typing import Literal

from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import Page

SIDEWAYS_WIDTHS = (320, 360, 832, 1440)
_AXE_WIDTHS = (1440, 360)
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RULES_OF_COLOUR = ["color-contrast", "link-in-text-block"]
"""All that hangs on the theme."""
_RUN_AXE = "rules => axe.run({runOnly: rules, resultTypes: ['violations']})"
_IS_SIDEWAYS = "() => document.documentElement.scrollWidth > innerWidth"


def shut_out(page: Page) -> list[str]:
    """Every fault that axe finds in the page as it stands; its viewport and its theme are others afterwards."""
    page.evaluate(AXE_SCRIPT)
    return [*_faults(page, "light", _RULES), *_faults(page, "dark", _RULES_OF_COLOUR)]


def sideways(page: Page) -> list[str]:
    """Where the page as it stands scrolls sideways: its narrow and wide, and with text of twice the size."""
    found = []
    for width in SIDEWAYS_WIDTHS:
        _widen(page, width)
        if page.evaluate(_IS_SIDEWAYS):
            found.append(f"{width} px")
    _widen(page, 1280)
    page.evaluate("() => { document.documentElement.style.fontSize = '200%'; }")
    if page.evaluate(_IS_SIDEWAYS):
        found.append("text of twice the size")
    page.evaluate("() => { document.documentElement.style.fontSize = ''; }")
    return found


def _faults(page: Page, theme: Literal["light", "dark"], rules: list[str]) -> Iterator[str]:
    page.emulate_media(color_scheme=theme)
    for width in _AXE_WIDTHS:
        _widen(page, width)
        answer = AxeResults(page.evaluate(_RUN_AXE, rules))
        if answer.violations_count:
            yield f"{theme} {width}: {answer.generate_report()}"


def _widen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
