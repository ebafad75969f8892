"""Which way imports go (DESIGN.md, section 8), what `import jshost` costs, what is public."""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "jshost"
JAVASCRIPT = PACKAGE / "js"

# A room and the rooms that it may import, in Python and in JavaScript; each names only rooms above
# it, so there are no circles between them. Besides, a room may import itself.
ROOMS = """
    exceptions:
    platform:
    protocol:     exceptions
    worker:       exceptions platform protocol
    pool:         exceptions platform protocol
    discovery:    exceptions platform protocol
    client:       exceptions platform protocol discovery
    embedding:    exceptions platform protocol discovery client pool
    server:       exceptions platform protocol discovery pool
    faces:        exceptions platform protocol discovery client pool worker embedding
    testing:      exceptions platform protocol discovery client pool worker embedding faces
    templatetags: exceptions client faces
    django:       exceptions platform protocol discovery client pool faces
    cli:          exceptions platform protocol discovery client pool faces
    management:   exceptions client faces django cli
"""
OUTSIDE = {
    **dict.fromkeys(("", "conf", "function", "host", "manager", "verbosity", "wire"), "faces"),
    **dict.fromkeys(("index", "all"), "faces"),  # of the npm package
    "apps": "django",
    "__main__": "cli",
}
"""The room of each file that stands in no folder."""

WHICH_JSHOST = ("jshost.worker.main", "jshost")
"""A Python worker asks which jshost is installed, by itself and without what it offers."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
SCRIPTS = {
    path.relative_to(JAVASCRIPT).as_posix(): path
    for path in sorted(JAVASCRIPT.rglob("*.mjs"))
    if "node_modules" not in path.parts
}


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports_of(path: Path) -> set[str]:
    """All modules that a file imports, also inside functions and for types only."""
    found = set()
    for node in ast.walk(tree_of(path)):
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


def javascript_imports_of(path: Path) -> set[str]:
    """What a file imports, for types only too (`import('./x.mjs')` in a comment); our own files as
    `SCRIPTS` names them."""
    text = path.read_text()
    named = re.findall(r"^(?:import|export)\b[^;]*?from '([^']+)'", text, re.M)
    named += re.findall(r"^import '([^']+)'", text, re.M)
    named += re.findall(r"\bimport\('([^']+)'\)", text)
    return {
        (path.parent / name).resolve().relative_to(JAVASCRIPT).as_posix()
        if name.startswith(".")
        else name
        for name in named
    }


def python_graph() -> dict[str, set[str]]:
    """Which of our modules imports which; `jshost` itself imports lazily, by name."""
    graph = {name: imports_of(path) & MODULES.keys() for name, path in MODULES.items()}
    return {**graph, "jshost": set()}


def javascript_graph() -> dict[str, set[str]]:
    return {name: javascript_imports_of(path) & SCRIPTS.keys() for name, path in SCRIPTS.items()}


GRAPHS = {"Python": python_graph(), "JavaScript": javascript_graph()}


def room_of(module: str) -> str | None:
    """The room of a module of ours; None: it is in none."""
    is_script = module.endswith(".mjs")
    parts = module.removesuffix(".mjs").split("/") if is_script else module.split(".")[1:]
    if len(parts) > 1 or (parts and f"jshost.{parts[0]}" in PACKAGES):
        return parts[0] if parts[0] in allowed_rooms() else None
    return OUTSIDE.get(parts[0] if parts else "", "exceptions" if parts == ["exceptions"] else None)


PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}


def allowed_rooms() -> Mapping[str, set[str]]:
    lines = (line.split(":") for line in ROOMS.strip().splitlines())
    return {room.strip(): set(others.split()) for room, others in lines}


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
    python, javascript = GRAPHS["Python"], GRAPHS["JavaScript"]
    assert "jshost.pool.scheduling.scheduler" in python["jshost.pool.pool"]
    assert "jshost.manager" in python["jshost.host"], "inside of a function"
    assert "starlette.applications" in imports_of(MODULES["jshost.server.pages"])
    assert "pool/channel.mjs" in javascript["pool/pool.mjs"]
    assert "pool/owner.mjs" in javascript["pool/pool.mjs"], "in a comment"
    assert "client/function.mjs" in javascript["index.mjs"], "exported again"
    assert all(len(inside(f"jshost.{room}")) > 5 for room in ("pool", "worker", "server"))


def test_a_room_imports_only_rooms_above_it_in_the_table() -> None:
    above: set[str] = set()
    for room, allowed in allowed_rooms().items():
        assert allowed <= above, room
        above.add(room)


@pytest.mark.parametrize("language", GRAPHS)
def test_every_file_is_in_a_room(language: str) -> None:
    assert [module for module in GRAPHS[language] if room_of(module) is None] == []


@pytest.mark.parametrize("language", GRAPHS)
def test_imports_go_from_room_to_room_as_the_table_says(language: str) -> None:
    allowed = allowed_rooms()
    wrong = {
        (module, imported)
        for module, imports in GRAPHS[language].items()
        for imported in imports
        if room_of(imported) not in {room_of(module), *allowed[room_of(module) or ""]}
    }
    assert sorted(wrong - {WHICH_JSHOST}) == []


@pytest.mark.parametrize("language", GRAPHS)
def test_there_are_no_circles_between_files(language: str) -> None:
    try:
        graphlib.TopologicalSorter(GRAPHS[language]).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_workers_know_nothing_of_http() -> None:
    forbidden = ["starlette", "uvicorn", "httptools", "httpx", "h11", "http", "urllib", "click"]
    modules = [*inside("jshost.pool"), *inside("jshost.worker")]
    assert breaches(modules, lambda name: not belongs(name, forbidden)) == []


def test_an_embedded_host_needs_no_http() -> None:
    forbidden = ["jshost.client.http", "httptools", "http", "httpx", "uvloop", "psutil"]
    modules = inside("jshost.embedding")
    assert len(modules) > 5
    assert breaches(modules, lambda name: not belongs(name, forbidden)) == []


def test_only_the_served_host_knows_http() -> None:
    """What stands above the seam `jshost.client.host.Host`, and the hosts that are in process."""
    forbidden = ["jshost.client.http", "jshost.protocol.events", "base64", "hashlib", "http"]
    modules = [name for name in inside("jshost.client") if not belongs(name, forbidden)]
    modules += [*inside("jshost.embedding"), "jshost.testing.overriding_host"]
    assert "jshost.client.function" in modules
    assert breaches(modules, lambda name: not belongs(name, forbidden)) == []


def test_pools_are_driven_by_any_loop() -> None:
    modules = [*inside("jshost.pool"), "jshost.embedding.reactor"]
    assert breaches(modules, lambda name: top(name) != "asyncio") == []


def test_only_the_server_knows_starlette_and_uvicorn() -> None:
    modules = [name for name in MODULES if not belongs(name, ["jshost.server"])]
    assert breaches(modules, lambda name: top(name) not in ("starlette", "uvicorn")) == []


def test_exceptions_and_the_codecs_need_nothing_of_ours() -> None:
    modules = ["jshost.exceptions", "jshost.protocol.multipart", "jshost.protocol.attachments"]
    modules += inside("jshost.platform")
    assert breaches(modules, lambda name: belongs(name, [*sys.stdlib_module_names])) == []


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
        "jshost.pool.scheduling.actions",
        "jshost.pool.scheduling.assignments",
        "jshost.pool.scheduling.backoff",
        "jshost.pool.scheduling.policy",
        "jshost.pool.scheduling.recycling",
        "jshost.pool.scheduling.respawns",
        "jshost.pool.scheduling.retirement",
        "jshost.pool.scheduling.roster",
        "jshost.pool.scheduling.states",
        "jshost.client.host",
        "jshost.client.response",
        "jshost.client.http.event_streams",
        "jshost.client.http.http1",
        "jshost.client.http.served",
        "jshost.cli.host_table",
        "jshost.cli.rates",
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


@pytest.mark.real
def test_import_jshost_loads_nothing_heavy() -> None:
    assert loaded_by("import jshost", [*SERVER, "httptools", "psutil", "platformdirs"]) == []


@pytest.mark.real
@pytest.mark.parametrize("name", ["Function", "JSHost", "settings"])
def test_what_callers_use_loads_no_server(name: str) -> None:
    assert loaded_by(f"from jshost import {name}", SERVER) == []


@pytest.mark.real
def test_every_pytest_run_loads_the_plugin_and_no_host() -> None:
    ours = ["jshost.host", "jshost.function", "jshost.client", "jshost.embedding"]
    assert loaded_by("import jshost.testing.pytest_plugin", ours) == []


# What is public

PUBLIC = [
    name
    for name, path in MODULES.items()
    if path.parent == PACKAGE and not name.endswith("__main__")
]


@functools.cache
def declared(path: Path) -> list[str] | None:
    for node in tree_of(path).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


HAND_ON = {"jshost", "jshost.testing"}
"""Packages that import what they offer when it is asked for."""


@functools.cache
def imported_by(path: Path) -> set[str]:
    """The names that a module takes from others."""
    return {
        alias.asname or alias.name
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


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


def test_a_name_is_imported_from_the_module_that_makes_it_and_lists_it() -> None:
    """The faces only hand on what other modules make."""
    wrong = []
    for module, path in MODULES.items():
        for node in ast.walk(tree_of(path)):
            home = node.module if isinstance(node, ast.ImportFrom) else None
            if home not in MODULES or OUTSIDE.get(home.partition(".")[2]) or home in HAND_ON:
                continue
            made = set(declared(MODULES[home]) or []) - imported_by(MODULES[home])
            for alias in node.names:
                if alias.name not in made and f"{home}.{alias.name}" not in MODULES:
                    wrong.append(f"{module} imports {alias.name} from {home}")
    assert wrong == []


@pytest.mark.real
def test_a_star_import_gives_what_all_lists() -> None:
    names = declared(MODULES["jshost"])
    found = run("from jshost import *; print(sorted(n for n in dir() if n[0] != '_'))")
    assert ast.literal_eval(found) == sorted(names or [])


@pytest.mark.real
@pytest.mark.parametrize("module", ["jshost", "jshost.testing"])
def test_consoles_can_complete_what_is_imported_by_its_name_later(module: str) -> None:
    found = run(f"import {module}; print(dir({module}))")
    assert set(declared(MODULES[module]) or []) <= set(ast.literal_eval(found))


@pytest.mark.real
def test_modules_that_users_import_are_attributes_of_jshost() -> None:
    """Whatever else was imported: which of them that loads is for us to change."""
    names = ["conf", "exceptions", "function", "host", "manager", "testing", "verbosity", "wire"]
    found = run(f"import jshost; print([getattr(jshost, n).__name__ for n in {names}])")
    assert ast.literal_eval(found) == [f"jshost.{name}" for name in names]


def test_a_name_that_jshost_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'jshost' has no attribute 'Functoin'"):
        getattr(importlib.import_module("jshost"), "Functoin")  # noqa: B009


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_where_it_runs(module: str) -> None:
    docstring = ast.get_docstring(tree_of(MODULES[module])) or ""
    assert "Runs in: " in docstring


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_javascript_module_says_where_it_runs(script: str) -> None:
    first_comment = SCRIPTS[script].read_text().partition("*/")[0]
    assert "Runs in: " in first_comment
