"""Log records of the user's code as LOG frames. Runs in: Python workers."""

from __future__ import annotations

import logging

from jshost.protocol import frames
from jshost.worker.channel import Channel
from jshost.worker.context import current_call_or_none

__all__ = ["FrameHandler"]


class FrameHandler(logging.Handler):
    """Sends each record to the host, with the call that it belongs to."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        call = current_call_or_none()
        try:
            entry = {
                "level": record.levelname.lower(),
                "message": self.format(record),
                "function": call.name if call else "",
                "requestId": call.request_id if call else "",
            }
            self._channel.send_json(frames.LOG, 0, entry)
        except Exception:  # noqa: BLE001  as in logging's own handlers: a log line fails no call
            self.handleError(record)
