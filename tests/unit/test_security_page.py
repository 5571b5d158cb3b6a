"""The page that says what keeps strangers out names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.compile(r"`(tests/[\w/.]+)::(\w+)`")


def test_every_test_that_the_page_names_exists() -> None:
    named = NAMED.findall(PAGE)
    assert len(named) > 60
    missing = [(file, name) for file, name in named if f"def {name}(" not in (ROOT / file).read_text()]
    assert missing == []


def test_every_control_and_every_attack_has_a_test() -> None:
    """Supply chain is held by how the project is built."""
    rows = [row for row in PAGE.splitlines() if row.startswith("| ") and not row.startswith(("| `REEL", "| variable"))]
    without = [row for row in rows if not NAMED.search(row) and not row.endswith("| test |")]
    assert [row.split(" | ")[0] for row in without] == ["| Supply chain"]


def test_every_setting_that_the_page_names_exists() -> None:
    settings = (ROOT / "web" / "settings.py").read_text()
    for name in re.findall(r"`REELKEEPER_(\w+)`", PAGE):
        assert f"    {name.lower()}: " in settings, name
