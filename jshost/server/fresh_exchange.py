"""With --reload: a call that waits for workers with the edited code. Runs in: host."""

from __future__ import annotations

import asyncio
import logging

from jshost.exceptions import RemoteError
from jshost.server.dispatcher import Dispatcher
from jshost.server.http.handler import Exchange, Responder
from jshost.server.http.request import IncomingRequest

__all__ = ["FreshExchange"]

logger = logging.getLogger("jshost.host")


class FreshExchange:
    """A call, or a batch of calls (`name` None), that begins once the code is up to date."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        request: IncomingRequest,
        name: str | None,
        connection: Responder,
    ) -> None:
        self._dispatcher = dispatcher
        self._request = request
        self._name = name
        self._connection = connection
        self._exchange: Exchange | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    def abandon(self) -> None:
        self._task.cancel()
        if self._exchange is not None:
            self._exchange.abandon()

    def resume(self) -> None:
        if self._exchange is not None:
            self._exchange.resume()

    async def _run(self) -> None:
        request, name, connection = self._request, self._name, self._connection
        try:
            await self._dispatcher.refresh(request, name)
            self._exchange = self._dispatcher.begin(request, name, connection)
        except RemoteError as error:
            connection.send_error(error)
        except Exception as error:
            logger.exception("answering a request failed")
            connection.send_error(RemoteError(f"a bug in the host: {error}"))
