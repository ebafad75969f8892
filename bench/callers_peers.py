"""The peers' callers: what others have, used as their own pages say. Runs in: a row's driver.

Each imports its package when it is made: where that is not installed, its row fails and says so.
"""

import http.client
import json
import threading
from pathlib import Path
from typing import Any

from callers_raw import ADDRESS, TIMEOUT_S

__all__ = [
    "BridgeCaller",
    "HttpClientCaller",
    "JsHostCaller",
    "MiniRacerCaller",
    "PythonMonkeyCaller",
]


class HttpClientCaller:
    """The standard library's client, one kept-alive connection per thread."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._local = threading.local()

    def call(self, function: str, /, **data: object) -> object:
        """Make one request and read its response whole."""
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(ADDRESS, self._port, timeout=TIMEOUT_S)
            self._local.connection = connection
        connection.request(
            "POST",
            f"/function/{function}",
            json.dumps(data).encode(),
            {"Content-Type": "application/json"},
        )
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise ConnectionError(f"the bare server answered {response.status}: {body[:60]!r}")
        return json.loads(body)


class BridgeCaller:
    """JSPyBridge, with a reference kept to each function. It starts a Node of its own."""

    def __init__(self, functions_file: str) -> None:
        # An absolute path that does not exist would make JSPyBridge run npm install.
        if not Path(functions_file).is_file():
            raise FileNotFoundError("the file of JavaScript functions is missing")
        from javascript import require

        self._module: Any = require(functions_file)
        self._functions: dict[str, Any] = {}

    def call(self, function: str, /, **data: object) -> object:
        """Call the kept reference with one plain object."""
        called = self._functions.get(function)
        if called is None:
            called = self._functions[function] = getattr(self._module, function)
        return called(data)


class JsHostCaller:
    """python-js-host's Function, one kept per name. The port comes from BENCH_PORT."""

    def __init__(self, source_root: str, config_file: str) -> None:
        from js_host.conf import settings

        settings.configure(SOURCE_ROOT=source_root, CONFIG_FILE=config_file, VERBOSITY=0)
        from js_host.function import Function

        self._make: Any = Function
        self._functions: dict[str, Any] = {}

    def call(self, function: str, /, **data: object) -> object:
        """Call the kept Function; the result is text."""
        called = self._functions.get(function)
        if called is None:
            called = self._functions[function] = self._make(function)
        return called.call(**data)


class PythonMonkeyCaller:
    """PythonMonkey: SpiderMonkey in this process, for the thread that imported it alone."""

    def __init__(self, functions_file: str) -> None:
        import pythonmonkey

        self._module: Any = pythonmonkey.require(functions_file)
        self._functions: dict[str, Any] = {}

    def call(self, function: str, /, **data: object) -> object:
        """Call the kept reference; every number comes back as a float."""
        called = self._functions.get(function)
        if called is None:
            called = self._functions[function] = self._module[function]
        result = called(data)
        return int(result) if isinstance(result, float) and result.is_integer() else result


class MiniRacerCaller:
    """mini-racer: V8 in this process, without Node's modules; calls are expressions."""

    def __init__(self, functions_file: str) -> None:
        from py_mini_racer import JSPromise, MiniRacer

        self._promise: Any = JSPromise
        self._context = MiniRacer()
        text = Path(functions_file).read_text()
        self._context.eval(f"var module = {{}}; {text}; Object.assign(globalThis, module.exports);")

    def call(self, function: str, /, **data: object) -> object:
        """Evaluate a call; a promise is waited for."""
        result = self._context.eval(f"{function}({json.dumps(data)})")
        return result.get(timeout=TIMEOUT_S) if isinstance(result, self._promise) else result
