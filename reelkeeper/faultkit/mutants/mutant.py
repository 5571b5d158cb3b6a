"""What a mutant is."""

from dataclasses import dataclass
from typing import Literal

Needs = Literal["root"]


@dataclass(frozen=True)
class Edit:
    """One place in a file of the source tree, and what stands there instead. The old text occurs once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """One broken rule."""

    name: str
    rule: str
    """The rule that it breaks, as a sentence that holds without it."""
    edits: tuple[Edit, ...]
    caught_by: tuple[str, ...]
    """Arguments of `python -m`: a test of pytest, a campaign, a class of the kit. It must end with 1."""
    seconds: float
    """The longest that catching it may take on a quiet machine, the build of the core not counted."""
    needs: Needs | None = None

    @property
    def is_of_the_core(self) -> bool:
        """Whether the core has to be built for it."""
        return any(edit.file.endswith(".rs") for edit in self.edits)
