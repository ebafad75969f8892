"""`BaseController`: objects whose methods Node programs call. Runs in: Python workers.

A Node program's ``new Bindings(properties, {controller: './controller.py'})`` has a worker of its
own, in which it makes one object of the file's class ``Controller``.
"""

from __future__ import annotations

from typing import Any

from jshost.worker.context import current_call

__all__ = ["BaseController"]


class BaseController:
    """The base class of a file's ``Controller``.

    The properties that the Node program gave are attributes before ``__init__`` runs; it gets no
    arguments. Every method whose name does not begin with an underscore can be called: plain,
    ``async def``, or a generator. Its parameters are the call's arguments; a method that has only
    one parameter, called ``params``, gets them all as a dict. The Node program may write a name as
    JavaScript does: ``getTokenizer`` for ``get_tokenizer``.

    Example:
        >>> class Controller(BaseController):
        ...     model = "small"
        ...
        ...     def increment(self, by=1):
        ...         self.count = getattr(self, "count", 0) + by
        ...         return self.count
        ...
        ...     async def tokens(self, params):
        ...         async for token in generate(self.model, params["prompt"]):
        ...             self.send(token)
    """

    def send(self, data: Any) -> None:
        """Send a value to the Node program before the call is over; see `context.CallContext.send`.

        Raises:
            RuntimeError: no call runs here.
        """
        current_call().send(data)

    def setProperty(self, name: str, value: Any = None) -> None:
        """Set an attribute.

        Raises:
            AttributeError: the name begins with an underscore, or is a method's.
        """
        self._check(name)
        setattr(self, name, value)

    def getProperty(self, name: str) -> Any:
        """An attribute's value; None where there is none.

        Raises:
            AttributeError: the name begins with an underscore, or is a method's.
        """
        self._check(name)
        return getattr(self, name, None)

    def _check(self, name: str) -> None:
        kind = type(self).__name__
        if not isinstance(name, str) or name.startswith("_"):
            raise AttributeError(f"{kind}: {name!r} is no property: names begin with a letter.")
        if callable(getattr(type(self), name, None)):
            raise AttributeError(f"{kind}: {name!r} is a method, not a property.")
