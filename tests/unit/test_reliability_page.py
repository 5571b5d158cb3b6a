"""The page that says how the promise is proved names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
NODE = re.compile(r"`((?:tests|core_rs)/[\w/.]+)::(\w+)`")


def test_every_test_that_the_page_names_exists() -> None:
    named = NODE.findall(PAGE)
    assert len(named) > 40
    missing = [(file, name) for file, name in named if not _defines(ROOT / file, name)]
    assert missing == []


def test_all_28_mistakes_of_others_have_their_row_and_a_test() -> None:
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 29))
    assert all(NODE.search(proof) for _, proof in rows)


def test_every_file_that_the_page_names_exists() -> None:
    for path in re.findall(r"`((?:tests|bench|core_rs)/[\w/.]+)`", PAGE) + re.findall(r"\]\(([\w-]+\.md)\)", PAGE):
        assert (ROOT / path).exists() or (ROOT / "docs" / path).exists(), path


def _defines(file: Path, name: str) -> bool:
    keyword = "fn" if file.suffix == ".rs" else "def"
    return file.exists() and f"{keyword} {name}(" in file.read_text()
