"""The command ``jshost``. Runs in: command line.

It starts host processes (``python -m jshost.server``) and talks to them by HTTP; it loads no
server itself.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from jshost.cli.first_config import init
from jshost.cli.managed import COMMANDS
from jshost.cli.reload import reload as reload_command
from jshost.cli.top import top
from jshost.exceptions import ConfigError, JSHostError
from jshost.pool.options import HostOptions
from jshost.protocol.version import __version__

__all__ = ["main"]

CHECK_TIMEOUT_S = 60.0
STRING_FLAGS = ("address", "uds", "token_file", "request_data_limit", "max_memory")


class _Commands(click.Group):
    """Commands; a config file in a command's place is served, as js-host users type it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if (
            args
            and args[0] not in self.commands
            and args[0].endswith((".py", ".js", ".mjs", ".cjs"))
        ):
            args = ["serve", *args]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except JSHostError as error:
            _fail(str(error))


def _fail(message: str) -> NoReturn:
    click.echo(f"{click.style('jshost:', fg='red', bold=True)} {message}", err=True)
    sys.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", prog_name="jshost")
def main() -> None:
    """Persistent functions across Python and JavaScript.

    \b
    jshost init                            write a first config file
    jshost serve host.config.py            serve its functions
    jshost call hello_world name=Foo       call one of them
    """


for _command in (*COMMANDS, init, reload_command, top):
    main.add_command(_command)


def _option_flags(command: Callable[..., None]) -> Callable[..., None]:
    """A flag for every field of `HostOptions` that has a help text."""
    short = {"port": ["-p"]}
    for field in reversed(dataclasses.fields(HostOptions)):
        if not field.metadata["help"]:
            continue
        flag = "--" + field.name.replace("_", "-")
        kind = str if field.name in STRING_FLAGS else int
        if field.name.endswith(("_timeout", "_delay", "_age")):
            kind = float  # type: ignore[assignment]
        default = "none" if field.default is None else field.default
        if field.name == "request_data_limit":
            default = "10mb"
        command = click.option(
            *short.get(field.name, []),
            flag,
            field.name,
            type=kind,
            help=f"{field.metadata['help']}  [default: {default}]",
        )(command)
    return command


def _config_argument(command: Callable[..., None]) -> Callable[..., None]:
    return click.argument("config", required=False, type=click.Path(path_type=Path))(command)


def _config_path(config: Path | None) -> Path:
    from jshost.client.settings import settings

    return config.resolve() if config is not None else settings.config_path()


def _server_arguments(action: str, config: Path, **extra: Any) -> list[str]:
    from jshost.client.settings import settings

    arguments = {
        "action": action,
        "config": str(config),
        "overrides": {},
        "node": settings.PATH_TO_NODE,
        "logfile": None,
        "json": False,
        "verbose": False,
        **extra,
    }
    return [sys.executable, "-P", "-m", "jshost.server", json.dumps(arguments)]


@main.command()
@_config_argument
@_option_flags
@click.option("-l", "--logfile", type=click.Path(), help="Write the log here, not to stderr.")
@click.option(
    "-j", "--json", "as_json", is_flag=True, help="Say where it listens as one JSON line."
)
@click.option("-v", "--verbose", is_flag=True, help="Log every call, and debug messages.")
@click.option("--access-log", is_flag=True, help="Log every request.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    help="How lines are logged.",
)
@click.option("--reload", is_flag=True, help="Run edited code at the next call; for development.")
def serve(
    config: Path | None,
    logfile: str | None,
    as_json: bool,
    verbose: bool,
    access_log: bool,
    log_format: str,
    reload: bool,
    **flags: Any,
) -> None:
    """Serve the functions of CONFIG until a signal ends it.

    CONFIG is a host.config.py, .js, .mjs or .cjs; without it the first of these in this folder.
    A flag wins over what CONFIG says, and that over the default. Prints one line on stdout once it
    listens. SIGTERM and Ctrl-C let calls in flight finish; a second one ends at once.
    """
    overrides = {name: value for name, value in flags.items() if value is not None}
    command = _server_arguments(
        "serve",
        _config_path(config),
        overrides=overrides,
        logfile=logfile,
        json=as_json,
        verbose=verbose,
        accessLog=access_log,
        logFormat=log_format,
        reload=reload,
    )
    os.execv(command[0], command)  # the same process id: a supervisor watches the host itself


def _describe(config: Path | None) -> dict[str, Any]:
    command = _server_arguments("describe", _config_path(config))
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=CHECK_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{config}: did not load within {CHECK_TIMEOUT_S:g} s.") from None
    if done.returncode:
        raise ConfigError(done.stderr.removeprefix("jshost: ").strip())
    config_as_json: dict[str, Any] = json.loads(done.stdout)
    return config_as_json


@main.command("config")
@_config_argument
def show_config(config: Path | None) -> None:
    """Show the effective configuration of CONFIG, as JSON."""
    click.echo(json.dumps(_describe(config), indent=2))


@main.command(short_help="Load CONFIG; show its problem, or what it serves.")
@_config_argument
@click.option("-j", "--json", "as_json", is_flag=True, help="Print the finding as JSON.")
def check(config: Path | None, as_json: bool) -> None:
    """Load CONFIG and all it includes; show its problem (exit code 1) or what it serves."""
    try:
        description = _describe(config)
    except ConfigError as error:
        if as_json:
            click.echo(json.dumps({"ok": False, "error": str(error)}))
            sys.exit(1)
        raise
    if as_json:
        click.echo(json.dumps({"ok": True, "config": description}))
        return
    for pool in description["pools"]:
        language = "Node" if pool["language"] == "javascript" else "Python"
        click.echo(f"{pool['configFile']}  ({language} {pool['version']})")
        for name in pool["functions"]:
            click.echo(f"  {name}")
    count = len(description["functions"])
    click.echo(click.style("ok", fg="green") + f": {count} function{'s' if count != 1 else ''}")
    if not count:
        click.echo('The config file defines no functions; map names to callables in "functions".')


@main.command()
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[key=value | key:=json]...")
@click.option("--data", help="Read the arguments, one JSON object, from this file, or - for stdin.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Seconds it may take.")
@click.option("--url", help="The host's root URL; by default ROOT_URL, or the running host's.")
@click.option(
    "-c", "--config", type=click.Path(path_type=Path), help="Call the host of this config file."
)
def call(
    name: str,
    arguments: Sequence[str],
    data: str | None,
    timeout: float | None,
    url: str | None,
    config: Path | None,
) -> None:
    """Call the function NAME of a running host and print its result.

    \b
    jshost call hello_world name=Foo       a string argument
    jshost call double number:=20          a JSON argument
    jshost call render --data props.json

    A string or bytes are printed as they are, anything else as JSON. When the call fails, its
    error goes to stderr and the exit code is 1.
    """
    from jshost.client.call import NOT_GIVEN
    from jshost.function import Function
    from jshost.host import JSHost, host

    target = JSHost(config, root_url=url) if url or config else host
    values = _parse_arguments(arguments, data)
    function = Function(name, target, NOT_GIVEN if timeout is None else timeout)
    try:
        result = function.call(**values)
    except (TypeError, ValueError) as error:
        _fail(str(error))
    if isinstance(result, bytes):
        sys.stdout.buffer.write(result)
    elif isinstance(result, str):
        click.echo(result.encode("utf-8", "backslashreplace"))
    else:
        text = json.dumps(result, ensure_ascii=False, default=_base64)
        click.echo(text.encode("utf-8", "backslashreplace"))


def _base64(value: bytes) -> str:
    """Bytes inside of a result, as far as a terminal can show them."""
    import base64

    return base64.b64encode(value).decode()


def _parse_arguments(arguments: Sequence[str], data: str | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if data is not None:
        try:
            text = sys.stdin.read() if data == "-" else Path(data).read_text()
            values = json.loads(text) if text.strip() else {}
        except OSError as error:
            raise click.BadParameter(f"{data}: {error.strerror}", param_hint="--data") from error
        except ValueError as error:
            raise click.BadParameter(f"{data}: not JSON: {error}", param_hint="--data") from error
        if not isinstance(values, dict):
            raise click.BadParameter(f"{data}: must hold a JSON object", param_hint="--data")
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or not key.rstrip(":"):
            raise click.UsageError(f"{argument!r} is neither key=value nor key:=json")
        if key.endswith(":"):
            try:
                values[key[:-1]] = json.loads(value)
            except ValueError as error:
                raise click.UsageError(f"{argument!r}: not JSON: {error}") from error
        else:
            values[key] = value
    return values


@main.command()
@click.option("--url", help="Ask the host at this root URL.")
@click.option("-j", "--json", "as_json", is_flag=True, help="Print what the hosts say, as JSON.")
def status(url: str | None, as_json: bool) -> None:
    """Show the hosts that run for this user (exit code 1: none)."""
    from jshost.discovery.records import all_hosts
    from jshost.host import JSHost

    found_hosts = [] if url else all_hosts()
    asked = [(url, None)] if url else [(each.url, each.token or None) for each in found_hosts]
    hosts: list[dict[str, Any]] = []
    problems: list[str] = []
    for each, token in asked:
        try:
            found = JSHost(root_url=each, token=token).request_status()
        except JSHostError as error:
            problems.append(str(error))
            continue
        hosts.append(found)
        if not as_json:
            _show_status(each, found)
    if as_json:
        click.echo(json.dumps(hosts, indent=2))
    if problems:
        _fail("\n".join(problems))
    if not hosts:
        click.echo("No host runs. Start one with: jshost serve CONFIG", err=True)
        sys.exit(1)


def _show_status(url: str, status: dict[str, Any]) -> None:
    config = status["config"]
    state = "ready" if status["ready"] else "not ready"
    click.echo(f"{url}  pid {status['pid']}  {state}  up {status['uptime']:.0f} s")
    click.echo(f"  config     {config['configFile']}")
    click.echo(f"  functions  {', '.join(config['functions']) or '(none)'}")
    for worker in status["workers"]:
        click.echo(
            f"  worker {worker['number']}   pid {worker['pid']}  {worker['state']}  "
            f"{worker['calls']} in flight  {Path(worker['configFile']).name}"
        )
