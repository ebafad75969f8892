"""Which way imports go (DESIGN.md, section 8), what `import jshost` costs, what is public."""

from __future__ import annotations

import ast
import importlib
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "jshost"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(path: Path) -> set[str]:
    """All modules that a file imports, also inside functions and for types only."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level == 1 and PACKAGE not in path.parents:
                continue  # the manager's own modules: its folder is not called as its package is
            assert node.level == 0, f"{path}: write imports in full"
            assert node.module is not None
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in whole}
    return found


def belongs(module: str, packages: Iterable[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def inside(package: str) -> list[str]:
    return [name for name in MODULES if belongs(name, [package])]


def breaches(modules: Iterable[str], is_allowed: Callable[[str], bool]) -> list[str]:
    return [
        f"{module} imports {imported}"
        for module in modules
        for imported in sorted(imports_of(MODULES[module]))
        if not is_allowed(imported)
    ]


def top(module: str) -> str:
    return module.partition(".")[0]


# Which way imports go


def test_the_walk_sees_the_imports_that_there_are() -> None:
    """Or else the rules below would hold of anything."""
    assert "jshost.pool.scheduling.scheduler" in imports_of(MODULES["jshost.pool.pool"])
    assert "jshost.protocol.values" in imports_of(MODULES["jshost.function"])
    assert "starlette.applications" in imports_of(MODULES["jshost.server.app"])
    assert "jshost.manager" in imports_of(MODULES["jshost.host"]), "inside of a function"
    assert len(inside("jshost.pool")) > 10
    assert len(inside("jshost.worker")) > 10
    assert len(inside("jshost.server")) > 5


def test_what_users_import_does_not_import_the_server_or_the_manager() -> None:
    modules = [name for name in MODULES if not belongs(name, ["jshost.server"])]
    forbidden = ["jshost.server", "jshost_manager", "manager", "starlette", "uvicorn", "uvloop"]
    assert "jshost.cli.main" in modules
    assert breaches(modules, lambda name: not belongs(name, forbidden)) == []


def test_pools_and_workers_import_only_the_protocol_and_exceptions() -> None:
    allowed = ["jshost.protocol", "jshost.platform", "jshost.exceptions"]

    def is_allowed(name: str, own: list[str]) -> bool:
        return top(name) != "jshost" or name == "jshost" or belongs(name, own)

    for room in ("jshost.pool", "jshost.worker"):
        own = [*allowed, room]
        assert breaches(inside(room), lambda name, own=own: is_allowed(name, own)) == []


def test_workers_know_nothing_of_http() -> None:
    forbidden = ["starlette", "uvicorn", "httptools", "httpx", "h11", "http", "urllib", "click"]
    modules = [*inside("jshost.pool"), *inside("jshost.worker")]
    assert breaches(modules, lambda name: not belongs(name, forbidden)) == []


def test_an_embedded_host_needs_no_server_and_no_http() -> None:
    forbidden = [
        "jshost.server",
        "jshost.host",
        "jshost.client.http.transport",
        "jshost.client.http.http1",
        "psutil",
    ]
    forbidden += [
        "jshost.client.http.async_transport",
        "jshost.client.http.httpx_transport",
        "httptools",
        "http",
        "uvloop",
    ]
    forbidden += ["jshost.client.http.connection", "jshost.client.http.async_connection"]
    modules = inside("jshost.embedding")
    assert len(modules) > 5
    assert breaches(modules, lambda name: not belongs(name, forbidden)) == []


def test_pools_are_driven_by_any_loop() -> None:
    modules = [*inside("jshost.pool"), "jshost.embedding.reactor"]
    assert breaches(modules, lambda name: top(name) != "asyncio") == []


def test_only_the_server_knows_starlette_and_uvicorn() -> None:
    modules = [name for name in MODULES if not belongs(name, ["jshost.server"])]
    assert breaches(modules, lambda name: top(name) not in ("starlette", "uvicorn")) == []


def test_exceptions_and_the_codecs_need_nothing_of_ours() -> None:
    modules = ["jshost.exceptions", "jshost.protocol.multipart", "jshost.protocol.attachments"]
    assert breaches(modules, lambda name: top(name) in sys.stdlib_module_names) == []


def test_wire_needs_only_the_codecs() -> None:
    allowed = {*sys.stdlib_module_names}
    allowed |= {
        "jshost.protocol.multipart",
        "jshost.protocol.attachments",
        "jshost.protocol.tables",
    }
    assert (
        breaches(["jshost.protocol.values"], lambda name: name in allowed or top(name) in allowed)
        == []
    )


def test_a_python_worker_needs_only_the_standard_library() -> None:
    """It runs where jshost's own dependencies may be missing."""
    reached: set[str] = set()
    ahead = ["jshost.worker.main"]
    while ahead:
        module = ahead.pop()
        if module not in reached:
            reached.add(module)
            if module != "jshost":  # which imports lazily what is asked for
                ahead += [name for name in imports_of(MODULES[module]) if top(name) == "jshost"]
    assert {"jshost.protocol.frames", "jshost.worker.threads", "jshost.protocol.values"} <= reached
    allowed = {*sys.stdlib_module_names, "jshost"}
    assert breaches(sorted(reached - {"jshost"}), lambda name: top(name) in allowed) == []
    at_start = "jshost.pool.scheduling.scheduler", "jshost.pool.pool", "jshost.client.settings"
    assert reached.isdisjoint(at_start)


def test_the_manager_knows_only_the_exceptions() -> None:
    for path in (ROOT / "manager").rglob("*.py"):
        ours = {name for name in imports_of(path) if top(name) == "jshost"}
        assert ours <= {"jshost", "jshost.exceptions"}, path


IO_AND_CLOCKS = {
    *("asyncio", "multiprocessing", "os", "select", "selectors", "signal", "socket"),
    *("subprocess", "threading", "datetime", "random", "time"),
}


@pytest.mark.parametrize(
    "module",
    [
        "jshost.protocol.frames",
        "jshost.pool.scheduling.scheduler",
        "jshost.pool.scheduling.decisions",
        "jshost.pool.scheduling.recycling",
        "jshost.pool.scheduling.respawns",
        "jshost.pool.scheduling.succession",
        "jshost.client.http.http1",
        "jshost.protocol.multipart",
        "jshost.protocol.attachments",
    ],
)
def test_what_decides_does_no_io_and_has_no_clock(module: str) -> None:
    assert breaches([module], lambda name: top(name) not in IO_AND_CLOCKS) == []


def test_javascript_imports_only_node_and_itself() -> None:
    """The wheel carries no node_modules."""
    found = {
        specifier
        for path in (PACKAGE / "js").rglob("*.mjs")
        for specifier in re.findall(r"^import .*?from '([^']+)'", path.read_text(), re.M | re.S)
    }
    assert "node:net" in found
    assert {name for name in found if not name.startswith(("node:", "./", "../"))} == set()
    assert not re.search(
        r"^import ", (PACKAGE / "js" / "protocol" / "frames.mjs").read_text(), re.M
    )


# What importing costs


def run(code: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout


SERVER = ["starlette", "uvicorn", "uvloop", "asyncio", "httpx", "click"]


def loaded_by(code: str, modules: list[str]) -> list[str]:
    """Which of these modules a new interpreter has loaded after the code."""
    found = run(f"{code}\nimport sys; print([name for name in {modules} if name in sys.modules])")
    return list(ast.literal_eval(found))


def test_import_jshost_loads_nothing_heavy() -> None:
    assert loaded_by("import jshost", [*SERVER, "httptools", "psutil", "platformdirs"]) == []


@pytest.mark.parametrize("name", ["Function", "JSHost", "settings"])
def test_what_callers_use_loads_no_server(name: str) -> None:
    assert loaded_by(f"from jshost import {name}", SERVER) == []


def test_import_jshost_takes_at_most_60_ms() -> None:
    spent: dict[str, list[float]] = {"pass": [], "import jshost": []}
    for _ in range(15):
        for code, times in spent.items():
            began = time.perf_counter()
            run(code)
            times.append(time.perf_counter() - began)
    bare, ours = (statistics.median(times) for times in spent.values())
    assert ours - bare <= 0.060


# What is public

PUBLIC = [
    name
    for name, path in MODULES.items()
    if path.parent == PACKAGE and not name.endswith("__main__")
]


def declared(path: Path) -> list[str] | None:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


def isort_order(name: str) -> tuple[int, list[int | str]]:
    """Constants, classes, the rest; digits by their value: as ruff's RUF022 sorts."""
    kind = 0 if len(name) > 1 and name.isupper() else 1 if name[0].isupper() else 2
    return kind, [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


@pytest.mark.parametrize("module", PUBLIC)
def test_a_public_module_says_what_is_public(module: str) -> None:
    assert declared(MODULES[module]), f"{module} has no __all__"


@pytest.mark.parametrize("module", [name for name, path in MODULES.items() if declared(path)])
def test_all_is_complete_and_sorted(module: str) -> None:
    names = declared(MODULES[module]) or []
    assert names == sorted(set(names), key=isort_order)
    loaded = importlib.import_module(module)
    assert [name for name in names if not hasattr(loaded, name)] == []


def test_a_star_import_gives_what_all_lists() -> None:
    names = declared(MODULES["jshost"])
    found = run("from jshost import *; print(sorted(n for n in dir() if n[0] != '_'))")
    assert ast.literal_eval(found) == sorted(names or [])


def test_a_name_that_jshost_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'jshost' has no attribute 'Functoin'"):
        getattr(importlib.import_module("jshost"), "Functoin")  # noqa: B009


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_where_it_runs(module: str) -> None:
    if module.endswith("jshost.server"):
        return
    docstring = ast.get_docstring(ast.parse(MODULES[module].read_text())) or ""
    assert "Runs in: " in docstring
