"""``manage.py jshost``: the command ``jshost`` with the project's settings. Runs in: command line.

It only hands on: arguments, output and exit codes are the ones of `jshost.cli.main`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

__all__ = ["Command"]

OWN_FLAGS = ("--no-color", "--force-color", "--traceback", "--skip-checks")
OWN_OPTIONS = ("--settings", "--pythonpath", "--verbosity")


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    help = "Serve, check and call functions, with this project's settings (JS_HOST)."
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """As the command line gives them: Django's own parser would not know the options."""
        raise SystemExit(_run(f"{Path(argv[0]).name} {argv[1]}", without_djangos(argv[2:])))

    def print_help(self, prog_name: str, subcommand: str) -> None:
        _run(f"{Path(prog_name).name} {subcommand}", ["--help"])

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def handle(self, *, arguments: list[str], **_: Any) -> None:
        """For ``call_command("jshost", "call", "render")``."""
        code = _run("manage.py jshost", list(arguments))
        if code:
            raise CommandError(f"jshost {' '.join(arguments)} failed", returncode=code)


def _run(program: str, arguments: list[str]) -> int:
    from jshost.cli.main import main

    try:
        main.main(args=_for_the_project(arguments), prog_name=program)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _for_the_project(arguments: list[str]) -> list[str]:
    """The project's host, where it is elsewhere: `jshost status` looks on this machine only."""
    from jshost.conf import settings
    from jshost.exceptions import ConfigError

    if arguments[:1] != ["status"] or any(each.startswith("--url") for each in arguments):
        return arguments
    try:
        url = settings.ROOT_URL
    except ConfigError:  # the command will say so
        return arguments
    return [*arguments, "--url", url] if url else arguments


def without_djangos(arguments: list[str]) -> list[str]:
    """The arguments without what every management command takes, and Django has seen to.

    Example:
        >>> without_djangos(["--settings", "site.settings", "call", "render"])
        ['call', 'render']
    """
    left: list[str] = []
    given = iter(arguments)
    for argument in given:
        if argument in OWN_OPTIONS:
            next(given, None)
        elif argument not in OWN_FLAGS and not argument.startswith(
            tuple(f"{option}=" for option in OWN_OPTIONS)
        ):
            left.append(argument)
    return left
