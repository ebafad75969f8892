"""Numbers as people read them, and Markdown tables. Runs in: bench/run.py, bench/million.py."""

from collections.abc import Sequence

__all__ = ["NOTHING", "rounded", "table"]

NOTHING = "-"
"""What stands where nothing was to be measured."""


def rounded(number: float) -> str:
    """Three significant digits."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column is of names, and the others of numbers."""
    rule = ["---", *["---:" for _ in headings[1:]]]
    return "\n".join("| " + " | ".join(line) + " |" for line in [headings, rule, *lines])
