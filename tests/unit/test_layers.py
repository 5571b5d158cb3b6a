"""Who may import whom."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("protocol", "web", "agent", "reelkeeper", "core_rs")

ALLOWED = {
    "protocol": {"protocol"},
    "protocol.stopping": {"core_rs"},
    "web.domain": {"web.domain", "protocol"},
    "web.store": {"web.store", "web.domain", "protocol"},
    "web.cache": {"web.cache", "web.domain", "protocol", "core_rs"},
    "web.outbound": {"web.outbound", "web.domain"},
    "web.services": {"web.services", "web.outbound", "web.store", "web.cache", "web.domain", "protocol", "core_rs"},
    "web.runners": {
        *("web.runners", "web.services", "web.outbound", "web.store", "web.cache", "web.domain", "protocol", "core_rs"),
    },
    "web.media": {"web.media", "web.services", "web.store", "web.domain", "protocol"},
    "web.api": {
        *("web.api", "web.media", "web.services", "web.store", "web.cache", "web.domain", "web.errors"),
        *("web.bodies", "web.refusals", "web.sources", "protocol"),
    },
    "web.pages": {
        *("web.pages", "web.media", "web.services", "web.store", "web.domain", "web.errors", "web.rendering"),
        *("web.htmx", "web.csv", "web.exports", "web.forms", "web.hosts", "web.refusals", "web.sessions"),
        *("web.sources", "web.texts", "protocol"),
    },
    "web.errors": {"web.errors", "web.sources", "web.domain", "protocol"},
    "web.settings": {"web.settings", "web.domain", "protocol"},
    "web.route_rules": {"web.route_rules", "web.domain"},
    "web": {"web", "protocol"},
    "agent.owner": {"agent.owner", "protocol", "core_rs"},
    "agent.owner.handle": {"agent.owner", "agent.errors", "protocol"},
    "agent": {"agent", "protocol", "core_rs"},
    "reelkeeper": {"reelkeeper", "web", "agent", "protocol"},
    "reelkeeper.faultkit": {"reelkeeper", "web", "agent", "protocol", "core_rs"},
    "reelkeeper.verify": {"reelkeeper.errors", "web.cache", "protocol", "core_rs"},
}
LOOPS = {"agent.control", "agent.jobs", "agent.levels", "agent.upload"}


def modules() -> list[Path]:
    return [path for name in OURS for path in sorted((ROOT / name).rglob("*.py"))]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def lies_in(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def layer(name: str) -> str:
    """The longest layer that the module lies in."""
    return max((package for package in ALLOWED if lies_in(name, {package})), key=len)


@pytest.mark.parametrize("path", modules(), ids=lambda path: module_name(path))
def test_module_imports_only_downward(path: Path) -> None:
    name = module_name(path)
    if name == "core_rs":
        return
    ours = {found for found in imports(path) if lies_in(found, set(OURS))}
    upward = {found for found in ours if not lies_in(found, ALLOWED[layer(name)])}
    assert not upward, f"{name} imports {sorted(upward)}"


@pytest.mark.parametrize("loop", sorted(LOOPS))
def test_loops_of_the_agent_do_not_import_one_another(loop: str) -> None:
    path = ROOT.joinpath(*loop.split(".")).with_suffix(".py")
    assert not {found for found in imports(path) if lies_in(found, LOOPS - {loop})}


def test_only_the_store_touches_tables_and_sql() -> None:
    """The fault kit judges what stands in the database, so it reads that by itself, past the code that it judges."""
    for path in modules():
        if not lies_in(module_name(path), {"web.store", "reelkeeper.faultkit.database"}):
            found = {name for name in imports(path) if lies_in(name, {"piccolo", "asyncpg", "web.store.tables"})}
            assert not found, f"{module_name(path)} imports {sorted(found)}"


def test_only_settings_read_the_environment() -> None:
    allowed = {"web.settings", "agent.settings", "protocol.home"}
    for path in modules():
        if module_name(path) not in allowed:
            reads = [
                node
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Attribute)
                and node.attr in {"environ", "getenv"}
                and isinstance(node.value, ast.Name)
                and node.value.id == "os"
            ]
            assert not reads, f"{module_name(path)} reads the environment in line {reads[0].lineno}"


def test_only_one_module_of_the_agent_speaks_http() -> None:
    for path in (ROOT / "agent").rglob("*.py"):
        if module_name(path) != "agent.controller_client":
            assert not {name for name in imports(path) if lies_in(name, {"httpx", "urllib.request", "http.client"})}


def test_nobody_uses_wait_for_which_may_swallow_a_cancel() -> None:
    """Python 3.11 loses a cancel that meets the end of what is waited for; `asyncio.timeout` does not."""
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            is_it = isinstance(node, ast.Attribute) and node.attr == "wait_for" and isinstance(node.value, ast.Name)
            assert not (is_it and node.value.id == "asyncio"), f"{module_name(path)}, line {node.lineno}"
