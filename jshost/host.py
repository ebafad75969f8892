"""A host as its callers see it. Runs in: callers.

`host` is the one that the settings name; it is found at the first call, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jshost.client.activity import report
from jshost.client.host import DeadlinePassed
from jshost.client.http.host_hold import HostHold
from jshost.client.http.http_request import HttpRequest
from jshost.client.http.locator import Locator
from jshost.client.http.requester import Requester
from jshost.client.http.served import (
    STREAMED_ANSWERS,
    read_answer,
    read_batch_answer,
    write_batch,
    write_call,
)
from jshost.client.http.transport import aread_whole, read_whole
from jshost.client.response import Response
from jshost.client.settings import settings
from jshost.client.verbosity import CONNECT, PROCESS_START, PROCESS_STOP
from jshost.exceptions import ConnectionError, UnexpectedResponse

if TYPE_CHECKING:
    from pathlib import Path

    from jshost.client.host import (
        Answer,
        AnswerStream,
        AsyncAnswerStream,
        BatchAnswer,
        BatchRequest,
        CallRequest,
    )
    from jshost.manager import JSHostManager

__all__ = ["JSHost", "host", "manager"]  # noqa: F822  manager: see __getattr__

STATUS_TIMEOUT_S = 5.0


class JSHost:
    """A host: the one at `root_url`, or the running one that serves `config_file`.

    Args:
        config_file: a config file's path; None: the settings' CONFIG_FILE.
        root_url: where the host, or a proxy in front of it, listens; None: the settings' ROOT_URL
            where no config file is given, else whatever the host registered.
        token: the host's token; None: the settings' TOKEN, or, for a running host of this user,
            whatever that registered.

    Raises:
        ConfigError: `root_url` is no URL of a host.

    Example:
        >>> other = JSHost(root_url="http://127.0.0.1:9010")
        >>> Function("render", host=other).call(component="App")
    """

    def __init__(
        self,
        config_file: str | Path | None = None,
        *,
        root_url: str | None = None,
        token: str | None = None,
    ) -> None:
        path = _absolute(config_file) if config_file is not None else None
        self._managed = HostHold()
        self._locator = Locator(path, root_url, token, self._managed)
        self._requester = Requester(self._locator, self._managed)

    def __repr__(self) -> str:
        return f"<JSHost {self._locator}>"

    # Where it is

    @property
    def config_file(self) -> Path:
        """The absolute path of the config file. Raises: ConfigError: there is none."""
        return self._locator.config_file

    def get_url(self) -> str:
        """The root URL that calls go to.

        Raises:
            ConnectionError: no URL is set, and no running host serves the config file.
        """
        return self._locator.locate().url

    def fastest_url(self) -> str:
        """As `get_url`, by which this machine's processes get there fastest: a unix socket's."""
        return self._locator.locate().fastest_url

    def connect(self) -> None:
        """Find the host and check that it is one.

        Raises:
            ConnectionError: no host answers.
            UnexpectedResponse: what answers is no jshost host.
        """
        status = self.request_status()
        report(CONNECT, "connected to the host at %s (pid %s)", self.get_url(), status.get("pid"))

    def disconnect(self) -> None:
        """Close the idle connections, and no longer hold a managed host; a call connects again."""
        self._requester.forget()
        self._managed.release()

    def forget(self) -> None:
        """Look for the host again at the next call: the settings, or the host, have changed."""
        self._requester.forget()

    # Calls: `jshost.client.host.Host`

    def call(self, request: CallRequest) -> Answer:
        response = self._requester.send(write_call(request))
        return read_answer(request.name, response, self._managed.held)

    async def acall(self, request: CallRequest) -> Answer:
        response = await self._requester.asend(write_call(request))
        return read_answer(request.name, response, self._managed.held)

    def batch(self, request: BatchRequest) -> BatchAnswer:
        response = self._requester.send(write_batch(request))
        return read_batch_answer(response, self._managed.held)

    async def abatch(self, request: BatchRequest) -> BatchAnswer:
        response = await self._requester.asend(write_batch(request))
        return read_batch_answer(response, self._managed.held)

    def stream(self, request: CallRequest) -> AnswerStream | Answer:
        from jshost.client.http.event_streams import EventStream, is_event_stream

        answer = self._requester.send(write_call(request, STREAMED_ANSWERS), is_open=True)
        if not isinstance(answer, Response):
            if is_event_stream(answer):
                return EventStream(request.name, answer, self._managed.held)
            answer = read_whole(answer)
        return read_answer(request.name, answer, self._managed.held)

    async def astream(self, request: CallRequest) -> AsyncAnswerStream | Answer:
        from jshost.client.http.event_streams import AsyncEventStream, is_event_stream

        answer = await self._requester.asend(write_call(request, STREAMED_ANSWERS), is_open=True)
        if not isinstance(answer, Response):
            if is_event_stream(answer):
                return AsyncEventStream(request.name, answer, self._managed.held)
            answer = await aread_whole(answer)
        return read_answer(request.name, answer, self._managed.held)

    # Other requests

    def request(self, request: HttpRequest) -> Response:
        """One HTTP request to the host; see `Requester.send`."""
        return self._requester.send(request)

    async def arequest(self, request: HttpRequest) -> Response:
        """As `request`, from any asyncio loop."""
        return await self._requester.asend(request)

    def is_running(self) -> bool:
        """Whether a host answers."""
        try:
            self.request_status()
        except (ConnectionError, UnexpectedResponse):
            return False
        return True

    def request_status(self) -> dict[str, Any]:
        """What the host says of itself now: ``{type: "Host", version, config, pid, ...}``.

        Raises:
            ConnectionError, UnexpectedResponse: as `connect`.
        """
        try:
            response = self.request(HttpRequest("GET", "/status", timeout_s=STATUS_TIMEOUT_S))
        except DeadlinePassed:
            raise ConnectionError(
                f"{self.get_url()}/status does not answer within {STATUS_TIMEOUT_S:g} s."
            ) from None
        try:
            status = response.json()
            is_host = status["type"] == "Host"
        except (ValueError, TypeError, KeyError):
            is_host = False
        if not is_host:
            raise UnexpectedResponse(
                f"{self.get_url()}/status answers with {response.status_code}, not as a jshost "
                f"host does: {response.text[:200]!r}"
            )
        assert isinstance(status, dict)
        return status

    get_status = request_status

    def get_config(self) -> dict[str, Any]:
        """The effective configuration of the running host: ``{address, port, functions, ...}``."""
        config = self.request_status()["config"]
        assert isinstance(config, dict)
        return config

    # Managed hosts

    @property
    def manager(self) -> JSHostManager:
        """The user's manager, which starts hosts where USE_MANAGER is set."""
        return self._managed.manager

    @property
    def logfile(self) -> Path:
        """The absolute path of the file that the managed host of this config file logs to."""
        from jshost.discovery.log_files import logfile_of

        return logfile_of(self.config_file)

    @property
    def managed_logfile(self) -> str | None:
        """The log of the managed host that this process holds, as the manager named it."""
        held = self._managed.held
        return held["logfile"] if held is not None else None

    def restart(self) -> None:
        """Have the manager replace the host's process, on the same port.

        Raises:
            ConfigError, ProcessError: as a start.
        """
        self._managed.restart(self.config_file)
        self._requester.forget()
        report(PROCESS_START, "restarted the host of %s", self.config_file)

    def stop(self) -> None:
        """Have the manager stop the host, also where other programs use it.

        Raises:
            ConnectionError: no manager runs.
        """
        self._managed.stop(self.config_file)
        self._requester.forget()
        report(PROCESS_STOP, "stopped the host of %s", self.config_file)


def __getattr__(name: str) -> Any:
    """`manager`, which needs more imports than callers without one should pay for."""
    if name == "manager":
        return host.manager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _absolute(config_file: str | Path) -> Path:
    from pathlib import Path

    return Path(config_file).resolve()


host = JSHost()
"""The host of the settings, connected at the first call."""

settings.on_change(host.forget)
