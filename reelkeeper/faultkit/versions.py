"""Another version of this source, built beside it, so that both can run on one node and one database."""

import shutil
import subprocess
from pathlib import Path

from reelkeeper.faultkit.mutants.tree import BUILT, CORE, ROOT, Tree
from reelkeeper.faultkit.system import UnexpectedError

_OF_THE_CORE = ("core_rs/src", "core_rs/Cargo.toml", "Cargo.lock")


def built(ref: str, folder: Path) -> Path:
    """A clone of this repository at `ref` in a new folder, with a core that fits it and the packages of this one.

    The core is built unless it is that of this version. Raises UnexpectedError for a ref that is none, PatchError for
    a core that does not compile.
    """
    _git("clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(folder))
    _git("-C", str(folder), "checkout", "--quiet", "--detach", _commit(ref))
    for name in BUILT:
        shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
    shutil.copy2(ROOT / CORE, folder / CORE)
    if _git("diff", "--name-only", ref, "--", *_OF_THE_CORE):
        Tree(folder, ROOT / "target" / "versions").build_core(is_optimised=True)
    return folder


def name_of(source: Path) -> str:
    """The commit of a source tree, and whether it was changed since."""
    return _git("-C", str(source), "describe", "--always", "--dirty")


def _commit(ref: str) -> str:
    return _git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UnexpectedError(f"git {' '.join(arguments)}: {done.stderr.strip() or done.returncode}")
    return done.stdout.strip()
