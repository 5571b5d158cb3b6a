"""A copy of the source tree in which rules can be broken."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reelkeeper.faultkit.mutants.mutant import Mutant

ROOT = Path(__file__).parents[3]
CORE = "core_rs/_core.abi3.so"
BUILT = ("static/vendor",)
"""What git does not know and runs all the same, besides the core."""


class PatchError(Exception):
    """A mutant does not fit the source any more."""


class Tree:
    """The copy. Whatever runs in it imports nothing of the original."""

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self._target = target

    @contextmanager
    def broken_by(self, mutant: Mutant) -> Iterator[None]:
        """The tree with the mutant in it, the core built. Raises PatchError."""
        before = {edit.file: (self.path / edit.file).read_text() for edit in mutant.edits}
        try:
            for edit in mutant.edits:
                path = self.path / edit.file
                path.write_text(patched(path.read_text(), mutant, edit.old, edit.new))
            if mutant.is_of_the_core:
                self.build_core()
            yield
        finally:
            for file, text in before.items():
                (self.path / file).write_text(text)
            if mutant.is_of_the_core:
                shutil.copy(ROOT / CORE, self.path / CORE)

    def build_core(self, *, is_optimised: bool = False) -> None:
        """Builds the core of this tree in the cached folder. Raises PatchError when that does not compile.

        What is not optimised is built sooner, and too slow for many channels in the time of a device.
        """
        command = ["env", f"CARGO_TARGET_DIR={self._target}", f"PYO3_PYTHON={sys.executable}"]
        command += ["cargo", "build", "--quiet", "--locked", "--package", "core_rs", "--lib"]
        command += ["--features", "python,pyo3/extension-module"]
        command += ["--release"] if is_optimised else []
        done = subprocess.run(command, cwd=self.path, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PatchError(f"the core does not compile: {done.stderr[-2000:]}")
        library = self.path / CORE
        library.unlink()
        shutil.copy(self._target / ("release" if is_optimised else "debug") / "libcore_rs.so", library)

    def run(self, arguments: tuple[str, ...], seconds: float) -> "subprocess.CompletedProcess[str]":
        """`python -m` in this tree. Raises subprocess.TimeoutExpired."""
        environment = ["env", f"PYTHONPATH={self.path}", "PYTHONDONTWRITEBYTECODE=1"]
        return subprocess.run(
            [*environment, sys.executable, "-m", *arguments],
            cwd=self.path,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


def copy_of_the_source(folder: Path) -> Tree:
    """A copy in this folder of everything that git knows, as it stands, and of what was built beside it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for name in BUILT:
        shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
    shutil.copy2(ROOT / CORE, folder / CORE)
    return Tree(folder, ROOT / "target" / "mutants")


def patched(text: str, mutant: Mutant, old: str, new: str) -> str:
    """The text with the new words in place of the old. Raises PatchError unless the old stand there once."""
    found = text.count(old)
    if found != 1 or old == new:
        raise PatchError(f"{mutant.name} fits {found} places instead of one: {old!r}")
    return text.replace(old, new)
