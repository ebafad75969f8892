"""The command ``jshost init``, which writes a first config file. Runs in: command line."""

from __future__ import annotations

import json
from pathlib import Path

import click

from jshost.exceptions import ConfigError

__all__ = ["init"]

FIRST_PYTHON = '''\
"""The functions of this project. Serve them with: jshost serve host.config.py"""


def hello_world(name="World"):
    return f"Hello, {name}!"


functions = {
    "hello_world": hello_world,
}
'''

FIRST_JAVASCRIPT = """\
// The functions of this project. Serve them with: jshost serve host.config.js
module.exports = {
  functions: {
    hello_world: ({name = 'World'}) => `Hello, ${name}!`,
  },
};
"""


@click.command()
@click.option("--js", "language", flag_value="js", help="Write a host.config.js.")
@click.option("--python", "language", flag_value="py", help="Write a host.config.py (the default).")
def init(language: str | None) -> None:
    """Write a first config file into this folder; never overwrites one."""
    suffix = language or "py"
    if suffix == "js" and _is_module_package():
        suffix = "cjs"
    path = Path(f"host.config.{suffix}")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(FIRST_PYTHON if suffix == "py" else FIRST_JAVASCRIPT)
    except FileExistsError:
        raise ConfigError(f"{path} exists already; it was left as it is.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    click.echo(f"Wrote {path}. Next:\n  jshost serve {path}\n  jshost call hello_world name=Foo")


def _is_module_package() -> bool:
    try:
        package = json.loads(Path("package.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(package, dict) and package.get("type") == "module"
