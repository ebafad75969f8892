"""Draw a run's results as SVG, for the README. Runs in: bench/run.py.

Horizontal bars with their numbers beside them, on a ground of their own that follows the reader's
light or dark mode; all of it is in the title and the description, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from results import Results
from rows import Row
from tables import rounded

__all__ = ["draw"]

WIDTH = 800
MARGIN = 20
CHARACTER = 7.7
"""The mean width of a character of the labels, in pixels, with something to spare."""
VALUE_WIDTH = 110
BAR, GAP = 20, 9
TOP, BOTTOM = 76, 40
STYLE = """\
  .ground { fill: #ffffff; stroke: #d1d9e0; }
  .ink { fill: #1f2328; }
  .faint { fill: #59636e; }
  .ours { fill: #0969da; }
  .peer { fill: #8c959f; }
  .floor { fill: #c4cbd3; }
  text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
  .heading { font-size: 16px; font-weight: 600; }
  .strong { font-weight: 600; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #3d444d; }
    .ink { fill: #f0f6fc; }
    .faint { fill: #9198a1; }
    .ours { fill: #4493f8; }
    .peer { fill: #7d8590; }
    .floor { fill: #4a525c; }
  }"""


@dataclass(frozen=True)
class Bar:
    """One bar: its label, its number, and whose it is: "ours", "peer" or "floor"."""

    label: str
    number: float
    kind: str


@dataclass(frozen=True)
class Picture:
    """What is drawn, bars in order."""

    name: str
    heading: str
    subheading: str
    unit: str
    bars: Sequence[Bar]
    footer: str


def draw(rows: Sequence[Row], results: Results, date: str) -> dict[str, str]:
    """Return the pictures by name; rows without a number have no bar."""
    footer = f"make bench, {date}: all side by side on one machine, medians over rounds."
    pictures = [_latency(rows, results, footer), _throughput(rows, results, footer)]
    return {picture.name: _svg(picture) for picture in pictures if picture.bars}


def _latency(rows: Sequence[Row], results: Results, footer: str) -> Picture:
    bars = []
    for row in rows:
        number = results.median(row.key, "tiny.p50_us")
        if number is not None:
            bars.append(Bar(_plain(row.name), number, _kind(row)))
    bars.sort(key=lambda bar: bar.number)
    return Picture(
        "latency",
        "One tiny call from Python, one after another",
        "Microseconds, median; shorter is better.",
        "µs",
        bars,
        footer,
    )


def _throughput(rows: Sequence[Row], results: Results, footer: str) -> Picture:
    loads = (
        ("threads_32.calls_per_s", "32 threads"),
        ("tasks_32_uvloop.calls_per_s", "32 tasks"),
    )
    bars = []
    for row in rows:
        for metric, how in loads:
            number = results.median(row.key, metric)
            if number is not None:
                bars.append(Bar(f"{_plain(row.name)}, {how}", number, _kind(row)))
    bars.sort(key=lambda bar: bar.number, reverse=True)
    return Picture(
        "throughput",
        "Tiny calls per second, 32 at once",
        "From threads, or from tasks of one asyncio program (uvloop); longer is better.",
        "/s",
        bars,
        footer,
    )


def _plain(name: str) -> str:
    return name.replace("*", "")


def _kind(row: Row) -> str:
    if row.caller.startswith("jshost"):
        return "ours"
    return "floor" if row.caller in ("raw", "pair") else "peer"


def _svg(picture: Picture) -> str:
    height = TOP + len(picture.bars) * (BAR + GAP) - GAP + BOTTOM
    title, description = f"{picture.name}-title", f"{picture.name}-description"
    said = "; ".join(f"{bar.label}: {_said(bar, picture)}" for bar in picture.bars)
    text = f"{picture.heading}. {picture.subheading} {said}. {picture.footer}"
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" \
viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{title} {description}">
<title id="{title}">{escape(picture.heading)}</title>
<desc id="{description}">{escape(text)}</desc>
<style>
{STYLE}
</style>
<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>
<text class="ink heading" x="{MARGIN}" y="32">{escape(picture.heading)}</text>
<text class="faint" x="{MARGIN}" y="54">{escape(picture.subheading)}</text>
{_bars(picture)}
<text class="faint" x="{MARGIN}" y="{height - 15}">{escape(picture.footer)}</text>
</svg>
"""


def _bars(picture: Picture) -> str:
    left = MARGIN + max(len(bar.label) for bar in picture.bars) * CHARACTER + 10
    most = max(bar.number for bar in picture.bars)
    scale = (WIDTH - MARGIN - VALUE_WIDTH - left) / most
    lines = []
    for index, bar in enumerate(picture.bars):
        y = TOP + index * (BAR + GAP)
        length = max(1.0, bar.number * scale)
        weight = " strong" if bar.kind == "ours" else ""
        lines += [
            f'<text class="ink{weight}" x="{left - 10:.0f}" y="{y + 15}" text-anchor="end">'
            f"{escape(bar.label)}</text>",
            f'<rect class="{bar.kind}" x="{left:.0f}" y="{y}" width="{length:.1f}" '
            f'height="{BAR}" rx="3"/>',
            f'<text class="ink{weight}" x="{left + length + 8:.0f}" y="{y + 15}">'
            f"{_said(bar, picture)}</text>",
        ]
    return "\n".join(lines)


def _said(bar: Bar, picture: Picture) -> str:
    space = "" if picture.unit.startswith("/") else " "
    return f"{rounded(bar.number)}{space}{picture.unit}"
