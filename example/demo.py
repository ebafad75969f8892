"""Starts a host, calls its functions of both languages, and stops it: `make demo`.

Runs in: a caller. Each call is printed with its result and its time in milliseconds, made twice:
the first call of a function may load a package, the second finds it in memory.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from jshost.conf import settings
from jshost.exceptions import FunctionError, JSHostError
from jshost.function import Function

ROOT = Path(__file__).resolve().parent.parent
CONFIG_FILE = ROOT / "host.config.py"
JSHOST = Path(sysconfig.get_path("scripts")) / "jshost"

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
CALL_TIMEOUT_S = 30.0

CALL_WIDTH = 45
RESULT_WIDTH = 32
LINE_WIDTH = 100
STACK_LINES = 6


class DemoError(Exception):
    """Something did not go as the demo promises."""


@contextmanager
def running_host() -> Iterator[dict[str, Any]]:
    """A host on a free port, as the object that its GET /status gives.

    The host's log is kept out of the way and printed when something fails.

    Raises:
        DemoError: the host did not start, or did not stop by itself.
    """
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [JSHOST, "serve", CONFIG_FILE, "-p", "0", "--json"],
            cwd=ROOT,
            env={"NODE_ENV": "production", **os.environ},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield _read_status(process)
            _stop(process)
        except Exception:
            log.seek(0)
            sys.stderr.write(log.read())
            raise
        finally:
            if process.poll() is None:
                process.terminate()
                _wait_or_kill(process)
            if process.stdout is not None:
                process.stdout.close()


def _read_status(process: subprocess.Popen[str]) -> dict[str, Any]:
    too_late = threading.Timer(START_TIMEOUT_S, process.kill)
    too_late.start()
    try:
        line = process.stdout.readline() if process.stdout is not None else ""
    finally:
        too_late.cancel()
    if not line:
        raise DemoError(f"The host did not start within {START_TIMEOUT_S:g} s; its log is above.")
    status: dict[str, Any] = json.loads(line)
    return status


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    code = _wait_or_kill(process)
    if code != 0:
        raise DemoError(f"The host was asked to stop and exited with code {code}, not 0.")


def _wait_or_kill(process: subprocess.Popen[str]) -> int:
    try:
        return process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait(STOP_TIMEOUT_S)


class Demo:
    """Calls functions, prints what came of it, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def call(self, name: str, /, *, expect: str, **arguments: Any) -> Any:
        """Calls twice and prints one line.

        Args:
            name: the function's.
            expect: what its result's repr contains.
            arguments: what the function gets.

        Returns:
            The result, decoded.

        Raises:
            DemoError: the result is not what the function should have given.
        """
        result, first_ms = self._timed(name, arguments)
        again, second_ms = self._timed(name, arguments)
        _print_row(_written(name, arguments), repr(result), first_ms, second_ms)
        if expect not in repr(result) or again != result:
            raise DemoError(f"{name}: expected {expect!r}, twice; got {result!r} and {again!r}.")
        return result

    def failing_call(self, name: str, /, *, expect: str, **arguments: Any) -> None:
        """Prints the error that a call raises here, with the stack from over there.

        Raises:
            DemoError: the call succeeded, or its error does not contain `expect`.
        """
        try:
            result, _ = self._timed(name, arguments)
        except FunctionError as error:
            print(f"{_written(name, arguments)}  raises {type(error).__name__}:")
            for line in str(error).strip().splitlines()[:STACK_LINES]:
                print(f"    {line.replace(f'{ROOT}/', '')[:LINE_WIDTH]}")
            if expect not in str(error):
                raise DemoError(f"{name}: its error does not tell of {expect!r}.") from error
        else:
            raise DemoError(f"{name}: an error was expected; got {result!r}.")

    def _timed(self, name: str, arguments: dict[str, Any]) -> tuple[Any, float]:
        self.calls += 1
        started_s = time.perf_counter()
        result = Function(name, timeout=CALL_TIMEOUT_S).call(**arguments)
        return result, _ms_since(started_s)


def run(demo: Demo) -> None:
    """Every function of the example, JavaScript's first."""
    basket = [{"name": "tea", "price": 2.5, "count": 2}, {"name": "cup", "price": 8, "count": 1}]

    _print_heading("JavaScript: markdown-it, React and KaTeX")
    demo.call("markdown", text="# Hi *there*", expect="<h1>Hi <em>there</em></h1>")
    demo.call("render", component="Greeting", props={"name": "Ada"}, expect="<b>Ada</b>")
    demo.call("render", component="Basket", props={"items": basket}, expect="Total: 13.00")
    demo.call("math", tex="e^{i\\pi} + 1 = 0", expect='class="katex"')

    _print_heading("Python: difflib, statistics and SymPy")
    demo.call("closest", word="aple", words=["ape", "apple", "peach"], expect="['apple', 'ape']")
    demo.call("summary", values=[1, 2, 3, 4.5], expect="'mean': 2.625")
    derivative = demo.call("differentiate", expression="sin(x) * x**2", expect="cos(x)")

    _print_heading("One after the other: the TeX that Python wrote, typeset by JavaScript")
    demo.call("math", tex=derivative["tex"], displayMode=True, expect="katex-display")

    print("\nErrors carry the stack of the other language:")
    demo.failing_call("render", component="Basket", expect="components.js")
    demo.failing_call("differentiate", expression="x ^ 2", expect="host.config.py")


def main() -> None:
    """Exits with a message and a code other than 0 when anything fails."""
    signal.signal(signal.SIGTERM, _terminated)
    demo = Demo()
    demo_started_s = time.perf_counter()
    with running_host() as status:
        config = status["config"]
        print(
            f"jshost {status['version']} serves {len(config['functions'])} functions at "
            f"port {config['port']}, {_ms_since(demo_started_s):.0f} ms after its start."
        )
        settings.configure(ROOT_URL=f"http://{config['address']}:{config['port']}")
        run(demo)
        stopping_s = time.perf_counter()
    print(
        f"\n{demo.calls} calls; the host stopped in {_ms_since(stopping_s):.0f} ms; "
        f"{_ms_since(demo_started_s) / 1000:.1f} s in all."
    )


def _terminated(signum: int, frame: object) -> NoReturn:
    # As an exception, so that the host is stopped on the way out.
    sys.exit(128 + signum)


def _print_heading(text: str) -> None:
    width = CALL_WIDTH + 4 + RESULT_WIDTH
    print(f"\n{text:<{width}}{'first':>9}{'again':>12}")


def _print_row(call: str, result: str, first_ms: float, second_ms: float) -> None:
    call = _shortened(call, CALL_WIDTH)
    result = _shortened(result, RESULT_WIDTH)
    print(
        f"{call:<{CALL_WIDTH}} -> {result:<{RESULT_WIDTH}}{first_ms:9.1f} ms{second_ms:9.1f} ms",
        flush=True,
    )


def _written(name: str, arguments: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


def _shortened(text: str, width: int) -> str:
    """`text` in at most `width` characters, its last one kept: a quote or a bracket closes."""
    return text if len(text) <= width else f"{text[: width - 2]}…{text[-1]}"


def _ms_since(started_s: float) -> float:
    return (time.perf_counter() - started_s) * 1000


if __name__ == "__main__":
    try:
        main()
    except (DemoError, JSHostError) as error:
        sys.exit(f"The demo failed: {error}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
