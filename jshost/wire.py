"""What encodes arguments; see `jshost.function.Function.encoder`. Runs in: callers."""

from __future__ import annotations

from jshost.protocol.values import Encoder

__all__ = ["Encoder"]
