"""Loading a host.config.py: what it may hold, and what is said when it does not load."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jshost.exceptions import ConfigError
from jshost.worker.config import describe_failure, load_config, read_options
from jshost.worker.config import load as load_whole
from jshost.worker.context import HostContext
from jshost.worker.loaded_files import LoadedFiles
from jshost.worker.stacks import user_stack

Load = Callable[..., HostContext]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Write a config file, and others beside it by name, and load it."""
    path, modules = list(sys.path), set(sys.modules)

    def write_and_load(text: str, **files: str) -> HostContext:
        for name, content in files.items():
            (tmp_path / f"{name}.py").write_text(content)
        (tmp_path / "host.config.py").write_text(text)
        return load_config(tmp_path / "host.config.py")

    yield write_and_load
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


# What it may hold


def test_functions_are_found_by_name(load: Load) -> None:
    host = load("def hello(name='World'):\n    return f'Hello, {name}!'\nfunctions = {'hi': hello}")
    assert list(host.functions) == ["hi"]
    assert host.functions["hi"](name="Foo") == "Hello, Foo!"


def test_anything_callable_is_a_function(load: Load) -> None:
    host = load(
        "import functools\n"
        "class Model:\n"
        "    def __call__(self, x): return x + 1\n"
        "    def method(self, x): return x + 2\n"
        "functions = {'object': Model(), 'method': Model().method, 'builtin': len,\n"
        "             'partial': functools.partial(pow, 2), 'class': dict}"
    )
    assert host.functions["object"](1) == 2
    assert host.functions["method"](1) == 3
    assert set(host.functions) == {"object", "method", "builtin", "partial", "class"}


def test_a_config_without_functions_has_none(load: Load) -> None:
    assert load("port = 0").functions == {}


def test_modules_beside_the_config_can_be_imported(load: Load, tmp_path: Path) -> None:
    host = load("import near\nfunctions = {'f': near.f}", near="def f(): return 'near'")
    assert host.functions["f"]() == "near"
    assert sys.path[0] == str(tmp_path)


def test_the_config_is_a_module_that_pickle_and_typing_can_find(load: Load) -> None:
    host = load("class Point: pass\ndef f(): return Point\nfunctions = {'f': f}")
    cls = host.functions["f"]()
    assert getattr(sys.modules[cls.__module__], "Point") is cls  # noqa: B009


def test_functions_see_the_config_by_their_host(load: Load) -> None:
    host = load("api_key = 'secret'")
    assert host.config.api_key == "secret"
    assert host.logger.name == "host"


def test_a_config_may_bring_its_logger(load: Load) -> None:
    assert load("import logging\nlogger = logging.getLogger('mine')").logger.name == "mine"


@pytest.mark.parametrize(
    ("functions", "text"),
    [
        ("['f']", '"functions" must be a dict of names to callables, not a list.'),
        ("None", '"functions" must be a dict of names to callables, not a NoneType.'),
        ("{'render': 'text'}", 'must map names to callables; "render" is a str.'),
        ("{'': len}", "has the key ''; use non-empty strings."),
        ("{1: len}", "has the key 1; use non-empty strings."),
    ],
)
def test_functions_that_are_none_are_refused(
    load: Load, tmp_path: Path, functions: str, text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(f"functions = {functions}")
    assert str(caught.value).startswith(f"{tmp_path / 'host.config.py'}: ")
    assert text in str(caught.value)


# extend_host


def test_extend_host_adds_functions(load: Load) -> None:
    host = load(
        "def extend_host(host):\n"
        "    host.add_function('a', lambda: 1)\n"
        "    host.addFunction('b', lambda: 2)\n"
        "functions = {'c': len}"
    )
    assert sorted(host.functions) == ["a", "b", "c"]


def test_the_configs_own_dict_is_not_changed(load: Load) -> None:
    host = load("functions = {}\ndef extend_host(host): host.add_function('a', len)")
    assert host.config.functions == {}


def test_a_name_that_is_taken_is_refused(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load("functions = {'x': len}\ndef extend_host(host): host.add_function('x', len)")
    assert str(caught.value) == 'A function has already been defined with the name "x"'


def test_only_callables_are_added(load: Load) -> None:
    with pytest.raises(ConfigError, match=r'add_function\("x", …\) needs a callable, not a str'):
        load("def extend_host(host): host.add_function('x', 'text')")


def test_extend_host_must_be_a_function(load: Load) -> None:
    with pytest.raises(ConfigError, match='"extend_host" must be a function that takes the host'):
        load("extend_host = {}")


# Options


def test_the_options_that_the_host_knows_are_read(load: Load) -> None:
    host = load("port = 9010\nallowed_hosts = ('a', 'b')\nfunction_timeout = None\ncolour = 'red'")
    names = ["port", "allowed_hosts", "function_timeout", "workers"]
    found = read_options(host, names)
    assert found == {"port": 9010, "allowed_hosts": ("a", "b"), "function_timeout": None}


@pytest.mark.parametrize("value", ["{1, 2}", "len", "b'x'"])
def test_a_value_that_no_option_can_have_is_refused(load: Load, tmp_path: Path, value: str) -> None:
    host = load(f"workers = {value}")
    with pytest.raises(ConfigError) as caught:
        read_options(host, ["workers"])
    text = f'{tmp_path / "host.config.py"}: the option "workers" cannot be a '
    assert str(caught.value).startswith(text)


# All of it


def test_a_loaded_config_has_all_that_its_host_must_know(load: Load, tmp_path: Path) -> None:
    load("functions = {}")  # cleans up what is imported
    path = tmp_path / "host.config.py"
    path.write_text(
        "import jshost\nport = 1\nother = 2\n@jshost.cacheable(max_age=60)\ndef f(): ...\n"
        "functions = {'f': f}\n"
    )
    loaded = load_whole(path, LoadedFiles(path), option_names=["port", "address"])
    assert list(loaded.host.functions) == ["f"]
    assert loaded.options == {"port": 1}
    assert str(path) in loaded.files
    assert loaded.caching["cacheable"] == {"f": 60}


# What is said when it does not load


def failing(load: Load, text: str, **files: str) -> BaseException:
    """What the config raises, with the traceback that it would have in a worker."""
    try:
        load(text, **files)
    except BaseException as error:  # noqa: BLE001  whatever the file raises
        traceback = error.__traceback__
        while traceback and traceback.tb_frame.f_code.co_filename == __file__:
            traceback = traceback.tb_next
        return error.with_traceback(traceback)
    raise AssertionError("it loads")


def described(load: Load, tmp_path: Path, text: str, **files: str) -> dict[str, Any]:
    return describe_failure(failing(load, text, **files), tmp_path / "host.config.py")


def test_a_syntax_error_is_shown_with_file_line_and_text(load: Load, tmp_path: Path) -> None:
    failure = described(load, tmp_path, "a = 1\nb = = 2\n")
    config = tmp_path / "host.config.py"
    assert failure["name"] == "SyntaxError"
    assert failure["message"].startswith(f"{config}, line 2: invalid syntax")
    assert f'File "{config}", line 2\n    b = = 2\n' in failure["stack"]


def test_a_syntax_error_in_an_imported_module_names_that_module(load: Load, tmp_path: Path) -> None:
    failure = described(load, tmp_path, "import near", near="def f(:\n")
    assert failure["message"].startswith(f"{tmp_path / 'near.py'}, line 1:")
    assert 'host.config.py", line 1' in failure["stack"]


def test_a_missing_package_is_named(load: Load, tmp_path: Path) -> None:
    failure = described(load, tmp_path, "import no_such_package.sub")
    assert '"no_such_package" is not installed in the environment of' in failure["message"]
    assert sys.executable in failure["message"]


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("import json.no_such_module", {}),
        ("import near.no_such_module", {"near": "a = 1"}),
        ("from json.no_such_module import x", {}),
    ],
)
def test_a_missing_part_of_a_package_that_is_there_is_not_to_be_installed(
    load: Load, tmp_path: Path, text: str, files: dict[str, str]
) -> None:
    """`pip install near` would fetch some stranger's package."""
    failure = described(load, tmp_path, text, **files)
    assert "no_such_module" in failure["message"]
    assert "pip" not in failure["message"]


def test_a_name_that_a_module_does_not_have_is_shown(load: Load, tmp_path: Path) -> None:
    failure = described(load, tmp_path, "from json import no_such_name")
    assert failure["name"] == "ImportError"
    assert "cannot import name 'no_such_name'" in failure["message"]


def test_sys_exit_is_an_error_here(load: Load, tmp_path: Path) -> None:
    failure = described(load, tmp_path, "import sys\nsys.exit('enough')")
    assert "called sys.exit('enough') while it was loaded" in failure["message"]


def test_any_other_error_is_shown_with_its_line(load: Load, tmp_path: Path) -> None:
    failure = described(load, tmp_path, "def f():\n    return {}['key']\nf()\n")
    assert failure["name"] == "KeyError"
    assert failure["message"] == f"{tmp_path / 'host.config.py'}: 'key'"
    frames = [line.strip() for line in failure["stack"].splitlines() if "File" in line]
    assert [frame.rpartition(", line ")[2] for frame in frames] == ["3, in <module>", "2, in f"]


def test_an_error_without_a_text_is_named(load: Load, tmp_path: Path) -> None:
    failure = described(load, tmp_path, "raise RuntimeError")
    assert failure["message"] == f"{tmp_path / 'host.config.py'} could not be loaded"
    assert failure["name"] == "RuntimeError"


def test_our_own_errors_need_no_stack(load: Load, tmp_path: Path) -> None:
    failure = described(load, tmp_path, "functions = 1")
    assert failure["name"] == "ConfigError"
    assert failure["stack"] == ""


# Stacks


def test_a_traceback_begins_in_the_users_code_and_keeps_its_chain(
    load: Load, tmp_path: Path
) -> None:
    failure = described(
        load,
        tmp_path,
        "import near\n"
        "try:\n    near.f()\nexcept KeyError as error:\n    raise ValueError('no') from error\n",
        near="def f():\n    raise KeyError('key')\n",
    )
    stack = failure["stack"]
    assert stack.count("Traceback (most recent call last):") == 2
    assert "The above exception was the direct cause" in stack
    assert "importlib" not in stack
    assert "worker/config.py" not in stack
    assert stack.index("near.py") < stack.index("ValueError: no")
    assert stack.endswith("ValueError: no")


def test_only_what_lies_before_the_users_code_is_dropped(load: Load, tmp_path: Path) -> None:
    error = failing(load, "def extend_host(host):\n    host.add_function('f', 'text')\n")
    stack = user_stack(error)
    assert stack.splitlines()[1].endswith('host.config.py", line 2, in extend_host')
    assert "in add_function" in stack
