"""The mutants fit the source as it is, and each has its own run that must notice."""

import re
from pathlib import Path

import pytest

from reelkeeper.faultkit.mutants.catalogue import MUTANTS
from reelkeeper.faultkit.mutants.mutant import Edit, Mutant
from reelkeeper.faultkit.mutants.tree import ROOT, PatchError, patched


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_fits_the_source(mutant: Mutant) -> None:
    for edit in mutant.edits:
        patched((ROOT / edit.file).read_text(), mutant, edit.old, edit.new)


def test_mutant_of_a_function_in_the_database_changes_the_definition_that_stands() -> None:
    migrations = sorted(Path(ROOT, "web", "store", "migrations").glob("*.sql"))
    for edit in (edit for mutant in MUTANTS for edit in mutant.edits if "/migrations/" in edit.file):
        path = ROOT / edit.file
        functions = re.findall(r"FUNCTION (\w+)\(", path.read_text().partition(edit.old)[0])
        later = [file for file in migrations if file.name > path.name]
        assert not [file.name for file in later if re.search(rf"FUNCTION {functions[-1]}\(", file.read_text())]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_must_notice_a_mutant_exists(mutant: Mutant) -> None:
    module, *arguments = mutant.caught_by
    if module != "pytest":
        assert Path(ROOT, *module.split(".")).with_suffix(".py").exists() or Path(ROOT, *module.split(".")).is_dir()
        return
    [node] = [argument for argument in arguments if argument.startswith("tests/")]
    file, _, name = node.partition("::")
    assert f"def {name}" in (ROOT / file).read_text()


def test_there_are_at_least_twenty_mutants_with_names_of_their_own() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(set(names)) == len(names) >= 20


def test_patch_that_does_not_apply_is_an_error() -> None:
    mutant = Mutant("m", "A rule.", (Edit("a", "old", "new"),), ("x",), 1)
    with pytest.raises(PatchError, match="fits 0 places"):
        patched("something else", mutant, "old", "new")
    with pytest.raises(PatchError, match="fits 2 places"):
        patched("old old", mutant, "old", "new")
