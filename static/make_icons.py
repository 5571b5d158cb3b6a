"""Joins the icons named in `icons.txt` into one sprite: `python static/make_icons.py ICONS_FOLDER SPRITE`."""

import re
import sys
from pathlib import Path


def main(icons: Path, sprite: Path) -> None:
    names = Path(__file__).with_name("icons.txt").read_text().split()
    symbols = [f'<symbol id="{name}" viewBox="0 0 24 24">{_drawing(icons / f"{name}.svg")}</symbol>' for name in names]
    sprite.write_text(f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(symbols)}</svg>\n')


def _drawing(path: Path) -> str:
    """What lies between the tags of the file, on one line."""
    found = re.search(r"<svg[^>]*>(.*)</svg>", path.read_text(), re.DOTALL)
    assert found, f"{path} is no SVG"
    return re.sub(r"\s+", " ", found[1]).replace("> <", "><").replace(" />", "/>").strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
