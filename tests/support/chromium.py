"""A headless Chromium, driven over a pipe by the DevTools protocol; no package is needed for it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

__all__ = ["Browser", "Page"]

ANSWER_TIMEOUT_S = 30.0


class Browser:
    """A browser process with a profile of its own, in `folder`.

    Its flag ``--remote-debugging-pipe`` makes it read messages from descriptor 3 and write to 4,
    each a JSON text that ends in a NUL.
    """

    def __init__(self, program: str, folder: Path) -> None:
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        flags = [
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
            *("--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}"),
        ]
        with (folder / "chromium.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", f'exec "$@" 3<&{commands} 4>&{answers}', "bash", program, *flags],
                pass_fds=(commands, answers),
                env={**os.environ, "HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        os.close(commands)
        os.close(answers)
        self._rest = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result; events that come before it are kept."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + ANSWER_TIMEOUT_S
        while True:
            answer = self._next(end)
            if answer.get("id") == self._last:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0, end - time.monotonic()))
            data = os.read(self._read, 1 << 16) if ready else b""
            assert data, "Chromium does not answer" if not ready else "Chromium has ended"
            self._rest += data
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return message

    @contextlib.contextmanager
    def page(self) -> Iterator[Page]:
        """An empty page, whose console is listened to."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable", session)
        yield Page(self, session)
        self.ask("Target.closeTarget", targetId=target)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        os.close(self._read)
        os.close(self._write)


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def open(self, url: str) -> None:
        """Go to an address, and wait for the page's load event."""
        failed = self._browser.ask("Page.navigate", self._session, url=url).get("errorText")
        assert not failed, f"{url}: {failed}"
        self.wait_for(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self._browser.ask(
            "Runtime.evaluate",
            self._session,
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in answer, f"{expression}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until the expression is true."""
        end = time.monotonic() + ANSWER_TIMEOUT_S
        while not self.run(expression):
            if time.monotonic() > end:
                shown = self.run("document.documentElement.outerHTML")
                raise AssertionError(f"never true: {expression}; the page:\n{shown}")
            time.sleep(0.02)

    def type(self, selector: str, text: str) -> None:
        """Type into a field, as a user does."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self._browser.ask("Input.insertText", self._session, text=text)

    def complaints(self) -> list[str]:
        """What the page has written to its console as an error or a warning, so far."""
        found = []
        for event in self._browser.events:
            method, parameters = event["method"], event["params"]
            if event.get("sessionId") != self._session:
                continue
            if method == "Runtime.exceptionThrown":
                found.append(str(parameters["exceptionDetails"]))
            elif method == "Log.entryAdded" and parameters["entry"]["level"] in LOUD:
                found.append(str(parameters["entry"]))
            elif method == "Runtime.consoleAPICalled" and parameters["type"] in LOUD:
                found.append(str(parameters["args"]))
        return found


LOUD = ("error", "warning", "assert")
