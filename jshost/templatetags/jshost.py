"""``{% load jshost %}``: functions called from Django's templates. Runs in: callers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.safestring import mark_safe

from jshost.client.call import NOT_GIVEN
from jshost.function import Function

__all__ = ["js_call", "register"]

register = template.Library()

NOBODY_ANSWERED = object()


@register.simple_tag  # type: ignore[untyped-decorator]  # Django has no types
def js_call(
    name: str,
    arguments: Mapping[str, Any] | None = None,
    /,
    *,
    safe: bool = False,
    fallback: Any = NOT_GIVEN,
    timeout: float | None = NOT_GIVEN,
    **more: Any,
) -> Any:
    """Call a function, and write its result; ``as`` keeps the result in a variable.

    Args:
        name: the function's name.
        arguments: a mapping with its arguments, for names that are not Python identifiers or are
            the tag's own; those given by name are added to it.
        safe: whether a result that is text is HTML, and is to be written as it is. Else it is
            escaped, as any variable is.
        fallback: what to write when no host answers, or not in time; escaped unless it is safe by
            itself, as a string that stands in the template is.
        timeout: seconds that it may take.

    Example:
        {% js_call "render" component="App" props=props safe=True fallback="<p>Loading…</p>" %}
        {% js_call "slug" text=title as slug %}
    """
    if arguments is not None and not isinstance(arguments, Mapping):
        raise template.TemplateSyntaxError(
            f'js_call "{name}": the second argument must be a dict of arguments, not '
            f"{arguments!r}; give others by name: component={arguments!r}"
        )
    stand_in = NOT_GIVEN if fallback is NOT_GIVEN else NOBODY_ANSWERED
    function = Function(name, timeout=timeout, fallback=stand_in)
    result = function.call(**{**(arguments or {}), **more})
    if result is NOBODY_ANSWERED:
        return fallback
    return mark_safe(result) if safe and isinstance(result, str) else result
