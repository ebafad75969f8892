"""The options of a host: both spellings, what each may be, and what is said when it is not."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any

import pytest
from support.paths import ROOT

from jshost.exceptions import ConfigError
from jshost.pool import launch
from jshost.pool.options import PER_CONFIG, HostOptions, camel_case, option_names, read_options

FIELDS = {field.name: field for field in dataclasses.fields(HostOptions)}


def test_the_defaults_are_what_users_expect() -> None:
    options = read_options({}, "host.config.py")
    assert options == HostOptions()
    assert (options.address, options.port, options.workers) == ("127.0.0.1", 9009, 1)
    assert options.request_data_limit == 10 * 1024 * 1024
    assert options.function_timeout is None
    assert options.respawn is True


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("port", "port"),
        ("max_queue", "maxQueue"),
        ("request_data_limit", "requestDataLimit"),
        ("allowed_origins", "allowedOrigins"),
    ],
)
def test_camel_case(name: str, spelled: str) -> None:
    assert camel_case(name) == spelled
    assert {name, spelled} <= set(option_names())


def test_every_option_has_a_name_in_each_language() -> None:
    assert sorted(option_names()) == sorted({*FIELDS, *map(camel_case, FIELDS)})


def test_what_an_included_config_may_set_are_options() -> None:
    assert set(PER_CONFIG) <= set(FIELDS)


GOOD: list[tuple[str, Any, Any]] = [
    ("address", "0.0.0.0", "0.0.0.0"),
    ("port", 0, 0),
    ("port", 65535, 65535),
    ("port", "8080", 8080),
    ("port", 8080.0, 8080),
    ("workers", 4, 4),
    ("threads", 1, 1),
    ("max_queue", 0, 0),
    ("concurrency", 1, 1),
    ("function_timeout", 1.5, 1.5),
    ("function_timeout", "2", 2.0),
    ("function_timeout", None, None),
    ("shutdown_timeout", None, None),
    ("shutdown_delay", 0, 0.0),
    ("shutdown_delay", "2.5", 2.5),
    ("request_data_limit", 1, 1),
    ("request_data_limit", "10mb", 10 * 1024**2),
    ("request_data_limit", "10 MB", 10 * 1024**2),
    ("request_data_limit", "1.5k", 1536),
    ("request_data_limit", "2G", 2 * 1024**3),
    ("request_data_limit", "512", 512),
    ("request_data_limit", "512b", 512),
    ("max_requests", None, None),
    ("max_requests", 1000, 1000),
    ("max_memory", None, None),
    ("max_memory", "200mb", 200 * 1024**2),
    ("max_age", "3600", 3600.0),
    ("include", ["host.config.js"], ("host.config.js",)),
    ("allowed_hosts", ("a.example", "b.example"), ("a.example", "b.example")),
    ("allowed_origins", [], ()),
    ("respawn", False, False),
]


@pytest.mark.parametrize(("name", "value", "wanted"), GOOD)
def test_a_good_value_is_taken_in_either_spelling(name: str, value: Any, wanted: Any) -> None:
    for spelled in {name, camel_case(name)}:
        found = getattr(read_options({spelled: value}, "host.config.js"), name)
        assert found == wanted
        assert type(found) is type(wanted)


BAD: list[tuple[str, Any]] = [
    ("address", ""),
    ("address", None),
    ("address", 127),
    ("shutdown_delay", -1),
    ("shutdown_delay", None),
    ("max_requests", 0),
    ("max_memory", "much"),
    ("max_memory", 0),
    ("max_age", 0),
    ("shutdown_delay", True),
    ("port", -1),
    ("port", 65536),
    ("port", "http"),
    ("port", 80.5),
    ("port", True),
    ("port", None),
    ("port", math.nan),
    ("port", math.inf),
    ("port", [9009]),
    ("workers", 0),
    ("workers", "many"),
    ("concurrency", 0),
    ("max_queue", -1),
    ("function_timeout", 0),
    ("function_timeout", -1),
    ("function_timeout", True),
    ("function_timeout", "soon"),
    ("function_timeout", math.inf),
    ("function_timeout", math.nan),
    ("request_data_limit", 0),
    ("request_data_limit", -5),
    ("request_data_limit", "0mb"),
    ("request_data_limit", "10 megabytes"),
    ("request_data_limit", ""),
    ("request_data_limit", None),
    ("request_data_limit", True),
    ("include", "host.config.js"),
    ("include", [1]),
    ("include", None),
    ("allowed_hosts", "a.example"),
    ("allowed_origins", [None]),
    ("respawn", "no"),
    ("respawn", 1),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_refused_in_the_spelling_that_was_used(name: str, value: Any) -> None:
    spelled = camel_case(name)
    with pytest.raises(ConfigError) as caught:
        read_options({spelled: value}, "/site/host.config.js")
    text = str(caught.value)
    assert text.startswith(f'/site/host.config.js: the option "{spelled}" must be ')
    assert text.endswith(f"not {value!r}.")


def test_an_error_says_what_is_wanted() -> None:
    with pytest.raises(ConfigError, match="must be a whole number from 0 to 65535, not 'http'"):
        read_options({"port": "http"}, "host.config.py")
    with pytest.raises(ConfigError, match='a size in bytes, or a string such as "10mb", not'):
        read_options({"requestDataLimit": "big"}, "host.config.js")
    with pytest.raises(ConfigError, match=r"a list of strings, not 'host\.config\.js'"):
        read_options({"include": "host.config.js"}, "host.config.py")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("prot", "port"),
        ("worker", "workers"),
        ("maxQeue", "maxQueue"),
        ("max_qeue", "max_queue"),
        ("requestDatalimit", "requestDataLimit"),
    ],
)
def test_an_unknown_option_suggests_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_options({name: 1}, "host.config.js")
    assert str(caught.value) == (
        f'host.config.js: there is no option "{name}". Did you mean "{near}"?'
    )


def test_an_option_like_no_other_suggests_nothing() -> None:
    with pytest.raises(ConfigError) as caught:
        read_options({"zzz": 1}, "the command line")
    assert str(caught.value) == 'the command line: there is no option "zzz".'


def test_what_is_not_set_stays_as_the_base_has_it() -> None:
    base = read_options({"port": 1, "workers": 3}, "host.config.py")
    both = read_options({"port": 2}, "the command line", base)
    assert (both.port, both.workers) == (2, 3)
    assert base.port == 1


def test_options_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        HostOptions().port = 1  # type: ignore[misc]


def test_an_option_with_a_help_text_has_a_flag() -> None:
    """`jshost serve --help` is where its users read it."""
    from jshost.cli.main import main

    flags = {flag for parameter in main.commands["serve"].params for flag in parameter.opts}
    helped = [name for name, field in FIELDS.items() if field.metadata["help"]]
    assert len(helped) >= 8
    assert [name for name in helped if f"--{name.replace('_', '-')}" not in flags] == []


def test_workers_are_told_all_names() -> None:
    assert list(launch.OPTION_NAMES) == option_names()
    assert HostOptions().threads == launch.DEFAULT_THREADS


def test_the_docs_list_each_option_in_both_spellings_with_its_default() -> None:
    text = (ROOT / "docs" / "options.md").read_text()
    rows = re.findall(r"^\|([^|]*)\|( `[^|]*)\|([^|]*)\|", text, re.MULTILINE)
    listed: dict[str, str] = {}
    for camel, snake, default in rows:
        names = re.findall(r"\w+", snake)
        assert re.findall(r"\w+", camel) in ([camel_case(name) for name in names], [])  # no threads
        listed |= dict.fromkeys(names, default.strip("`' "))
    assert listed.pop("logger") == "", "which workers read"
    assert listed.keys() == FIELDS.keys()
    given = {
        name: default if name in ("address", "request_data_limit") else json.loads(default)
        for name, default in listed.items()
        if default != "none"
    }
    assert read_options(given, "docs/options.md") == HostOptions()
