"""Paths of SVG enclose what they draw, in few characters."""

import re

import pytest

from web.drawings import OVERVIEW_HALF, overview_path, preview_path


def outline(path: str) -> list[tuple[int, int]]:
    """The corners that a path of M, V, H-like steps visits."""
    found = re.fullmatch(r"M0 (\d+)((?:V-?\d+(?:h-?\d+)?)*)z", path)
    assert found, path
    x, corners = 0, [(0, int(found[1]))]
    for y, step in re.findall(r"V(-?\d+)(?:h(-?\d+))?", found[2]):
        corners.append((x, int(y)))
        x += int(step or 0)
        corners.append((x, int(y)))
    return corners


def test_preview_has_a_step_a_column_and_ends_where_it_began() -> None:
    corners = outline(preview_path([0, 15, 15, 3]))
    assert corners == [(0, 16), (0, 15), (1, 15), (1, 0), (3, 0), (3, 12), (4, 12), (4, 16), (4, 16)]


def test_silence_is_a_line_and_costs_next_to_nothing() -> None:
    assert preview_path([0] * 160) == "M0 16V15h160V16z"


def test_overview_goes_forth_over_the_highs_and_back_under_the_lows() -> None:
    corners = outline(overview_path([-128, -64], [64, 127]))
    assert corners[0] == (0, OVERVIEW_HALF)
    assert (0, 50) in corners
    assert (2, 1) in corners
    assert (2, 150) in corners
    assert (0, 200) in corners
    assert corners[-1][0] == 0


@pytest.mark.parametrize("level", [0, 1])
def test_overview_of_silence_still_shows_a_line(level: int) -> None:
    ys = {y for _, y in outline(overview_path([-level] * 3, [level] * 3))}
    assert ys == {OVERVIEW_HALF - 1, OVERVIEW_HALF, OVERVIEW_HALF + 1}
