"""A drawing as SVG text: lines, boxes, dots and words, in ink that suits light and dark pages.

A drawing brings its own background, so it is readable on a page of any colour.  Nothing is told by
colour alone: ours is filled, what stands beside it is hollow.
"""

import math
from collections.abc import Iterator
from html import escape

STYLE = """
svg { --paper: #fff; --ink: #1a1a1a; --soft: #6b6b6b; --rule: #d5d5d5; --ours: #00695c }
@media (prefers-color-scheme: dark) {
  svg { --paper: #1c1f24; --ink: #ececec; --soft: #a8a8a8; --rule: #44484f; --ours: #4db6ac }
}
text { font: 13px system-ui, sans-serif; fill: var(--ink) }
.head { font-weight: 600 }
.soft { fill: var(--soft); font-size: 12px }
.rule { stroke: var(--rule) }
.one { stroke: var(--soft); stroke-dasharray: 4 3 }
.range { stroke: var(--ink); stroke-width: 1.5; fill: none }
.ours { fill: var(--ours); stroke: var(--ink) }
.theirs { fill: var(--paper); stroke: var(--ink); stroke-width: 1.5 }
"""


class Drawing:
    """Shapes on a background of their own; `title` is what a screen reader reads."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" '
            f'height="{height}" viewBox="0 0 {width} {height}">\n'
            f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
            f'<rect width="{width}" height="{height}" rx="6" fill="var(--paper)"/>\n'
        )
        self._shapes: list[str] = []

    def __str__(self) -> str:
        return self._head + "".join(f"{shape}\n" for shape in self._shapes) + "</svg>\n"

    def text(
        self, x: float, y: float, words: str, kind: str = "ink", anchor: str = "start"
    ) -> None:
        """Write words at a baseline; `anchor` is start, middle or end."""
        self._shapes.append(
            f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f"{escape(words)}</text>"
        )

    def line(self, points: list[tuple[float, float]], kind: str = "rule") -> None:
        """Draw a line through points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._shapes.append(f'<polyline class="{kind}" fill="none" points="{path}"/>')

    def box(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """Draw a rectangle from its upper left corner."""
        self._shapes.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}"/>'
        )

    def dot(self, x: float, y: float, kind: str, *, square: bool = False) -> None:
        """Draw the mark of a measured value."""
        if square:
            self.box(x - 4, y - 4, 8, 8, kind)
        else:
            self._shapes.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>')

    def spread(self, low: float, high: float, y: float) -> None:
        """Draw a horizontal range with its two ends."""
        self.line([(low, y), (high, y)], "range")
        for x in (low, high):
            self.line([(x, y - 4), (x, y + 4)], "range")


class Log:
    """A logarithmic axis: the place of a value between two pixels."""

    def __init__(self, low: float, high: float, begin: float, end: float) -> None:
        self._low, self._decades = math.log10(low), math.log10(high / low)
        self.low, self.high, self.begin, self.end = low, high, begin, end

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        part = (math.log10(value) - self._low) / self._decades
        return self.begin + part * (self.end - self.begin)

    def ticks(self) -> Iterator[float]:
        """Yield the powers of ten on the axis."""
        for power in range(math.ceil(self._low), math.floor(self._low + self._decades) + 1):
            yield 10.0**power
