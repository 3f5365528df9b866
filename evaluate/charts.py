"""The report's pictures: inline SVG that keeps its type size at any width.

Horizontal positions are percentages and vertical ones pixels, so a chart is as
legible on a phone as on a desk and in print. Colours are classes: the page's
style sheet gives them for light, dark and paper. Nothing here needs a network,
a script or a font.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

FIELD_HEIGHT = 290
LABEL_GAP = 16


def element(tag: str, content: Markup | str = "", **attributes: str | float | None) -> Markup:
    """An SVG or HTML element; text and attributes are escaped. ``class_`` stands for class."""
    parts = Markup("")
    for name, value in attributes.items():
        if value is None:
            continue
        text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
        parts += Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), text)
    return Markup("<{}{}>{}</{}>").format(Markup(tag), parts, content, Markup(tag))


def join(pieces: Sequence[Markup]) -> Markup:
    return Markup("").join(pieces)


@dataclass(frozen=True, slots=True)
class Scale:
    """Values onto 0 to 100 percent of a chart's width.

    Attributes:
        log: Logarithmic; then ``low`` is above 0.
    """

    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, self.low))
        if high == low:
            return 50.0
        return 100 * min(1.0, max(0.0, (value - low) / (high - low)))

    def x(self, value: float) -> str:
        """The position as an SVG coordinate, kept off the edges so that marks are whole."""
        return f"{2 + 0.96 * self.at(value):.2f}%"


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values from at most ``low`` to at least ``high``, about ``count`` of them."""
    if high <= low:
        high = low + 1.0
    raw = (high - low) / max(1, count - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten that hold the values."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**i for i in range(first, max(last, first + 1) + 1)]


@dataclass(frozen=True, slots=True)
class Mark:
    """A value with its interval; ``shape`` is dot, ring or bar (a bar spans low to high)."""

    value: float | None
    low: float | None = None
    high: float | None = None
    shape: str = "dot"
    colour: str = "c-plain"


@dataclass(frozen=True, slots=True)
class ChartRow:
    """One line of a row chart: its label, its marks, and the figures written at its right."""

    label: str
    marks: tuple[Mark, ...]
    figures: tuple[str, ...]
    note: str = ""
    strong: bool = False


def rows(
    chart_rows: Sequence[ChartRow],
    scale: Scale,
    ticks: Sequence[float],
    tick_text: Callable[[float], str],
    *,
    reference: tuple[float, str] | None = None,
    heads: Sequence[str] = (),
) -> Markup:
    """A chart of one row per thing: label, marks on a common scale, figures.

    Args:
        heads: What the figures are, one word or two each.
        reference: A value to draw a line at through all rows, and its name.
    """
    grid = [element("line", x1=scale.x(t), x2=scale.x(t), y1=0, y2="100%", class_="grid") for t in ticks]
    if reference is not None:
        x = scale.x(reference[0])
        grid.append(element("line", x1=x, x2=x, y1=0, y2="100%", class_="reference"))
    body = [_row(row, scale, join(grid)) for row in chart_rows]
    if heads:
        blank = element("div", class_="r-label") + element("div", class_="track")
        body.insert(0, element("div", blank + _figures(heads), class_="r-row r-head"))
    axis = join([_tick_label(scale, t, tick_text(t), 12) for t in ticks])
    height = 18
    if reference is not None:
        height = 32
        axis += element(
            "text",
            reference[1],
            x=scale.x(reference[0]),
            y=28,
            class_="axis reference-name",
            text_anchor=_anchor(scale.at(reference[0])),
        )
    foot = element("div", element("svg", axis, height=height, aria_hidden="true"), class_="track")
    empty = element("div", class_="r-label")
    body.append(element("div", empty + foot + element("div", class_="r-figures"), class_="r-row r-axis"))
    return element("div", join(body), class_="rows")


def _figures(texts: Sequence[str]) -> Markup:
    return element("div", join([element("span", text) for text in texts]), class_="r-figures")


def _row(row: ChartRow, scale: Scale, grid: Markup) -> Markup:
    drawn = []
    for i, mark in enumerate(row.marks):
        shift = (i - (len(row.marks) - 1) / 2) * 10
        drawn.append(element("g", _mark(mark, scale), transform=f"translate(0 {shift:g})" if shift else None))
    told = f"{row.label}: {', '.join(row.figures)}"
    svg = element("div", element("svg", grid + join(drawn), role="img", aria_label=told), class_="track")
    label: Markup = element("span", row.label)
    if row.note:
        label += element("small", row.note)
    cells = element("div", label, class_="r-label") + svg + _figures(row.figures)
    return element("div", cells, class_="r-row strong" if row.strong else "r-row")


def _mark(mark: Mark, scale: Scale) -> Markup:
    drawn = Markup("")
    if mark.shape == "bar" and mark.low is not None and mark.high is not None:
        low, high = sorted((scale.at(mark.low), scale.at(mark.high)))
        bar = element(
            "rect",
            x=f"{2 + 0.96 * low:.2f}%",
            width=f"{max(0.3, 0.96 * (high - low)):.2f}%",
            y="50%",
            height=14,
            rx=2,
            class_=f"bar {mark.colour}",
        )
        return element("g", bar, transform="translate(0 -7)")
    if mark.low is not None and mark.high is not None:
        x1, x2 = scale.x(mark.low), scale.x(mark.high)
        drawn += element("line", x1=x1, x2=x2, y1="50%", y2="50%", class_=f"interval {mark.colour}")
    if mark.value is not None:
        style = f"{mark.shape} {mark.colour}"
        drawn += element("circle", cx=scale.x(mark.value), cy="50%", r=5, class_=style)
    return drawn


def _anchor(percent: float) -> str:
    return "start" if percent < 8 else "end" if percent > 92 else "middle"


def _tick_label(scale: Scale, value: float, text: str, y: float) -> Markup:
    return element("text", text, x=scale.x(value), y=y, class_="axis", text_anchor=_anchor(scale.at(value)))


@dataclass(frozen=True, slots=True)
class Point:
    """A named point of a field chart."""

    x: float
    y: float
    label: str
    colour: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A named line of a field chart; points in order of x."""

    points: tuple[tuple[float, float], ...]
    label: str
    colour: str
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a field chart: its name, its scale, its ticks and how they are written."""

    name: str
    scale: Scale
    ticks: tuple[float, ...]
    text: Callable[[float], str]


TOP, BOTTOM = 36, 40


def _y(axis: Axis, value: float) -> float:
    return TOP + (FIELD_HEIGHT - TOP - BOTTOM) * (1 - axis.scale.at(value) / 100)


def field(x: Axis, y: Axis, points: Sequence[Point], lines: Sequence[Line], description: str) -> Markup:
    """A chart with two axes. Names stand beside their points and at the ends of their lines."""
    drawn = []
    for tick in y.ticks:
        height = _y(y, tick)
        drawn.append(element("line", x1="0", x2="100%", y1=height, y2=height, class_="grid"))
        drawn.append(element("text", y.text(tick), x=0, y=height - 4, class_="axis"))
    drawn.extend(_tick_label(x.scale, tick, x.text(tick), FIELD_HEIGHT - 22) for tick in x.ticks)
    drawn.append(element("text", y.name, x=0, y=10, class_="axis name"))
    drawn.append(element("text", x.name, x="100%", y=FIELD_HEIGHT - 5, class_="axis name", text_anchor="end"))
    for line in lines:
        style = f"line {line.colour}{' dashed' if line.dashed else ''}"
        for (x1, y1), (x2, y2) in zip(line.points, line.points[1:], strict=False):
            drawn.append(
                element("line", x1=x.scale.x(x1), x2=x.scale.x(x2), y1=_y(y, y1), y2=_y(y, y2), class_=style)
            )
    for point in points:
        height = _y(y, point.y)
        if point.low is not None and point.high is not None:
            drawn.append(
                element(
                    "line",
                    x1=x.scale.x(point.x),
                    x2=x.scale.x(point.x),
                    y1=_y(y, point.low),
                    y2=_y(y, point.high),
                    class_=f"interval {point.colour}",
                )
            )
        drawn.append(element("circle", cx=x.scale.x(point.x), cy=height, r=5, class_=f"dot {point.colour}"))
    names = [(x.scale.at(p.x), _y(y, p.y) + 4, p.label, p.colour) for p in points]
    for line in lines:
        (_, first), (x2, last) = line.points[0], line.points[-1]
        # Above the end of a line that rises, below one that falls: there it covers no line.
        shift = -9 if last >= first else 18
        names.append((x.scale.at(x2), _y(y, last) + shift, line.label, line.colour))
    drawn.extend(_names(names))
    return element(
        "svg", join(drawn), class_="field", height=FIELD_HEIGHT, role="img", aria_label=description
    )


def _names(names: Sequence[tuple[float, float, str, str]]) -> list[Markup]:
    """Names beside their places (percent, pixels), moved apart where they would cover each other."""
    drawn: list[Markup] = []
    for (percent, _, label, colour), height in zip(names, _apart([n[1] for n in names]), strict=True):
        left = percent > 55
        drawn.append(
            element(
                "text",
                label,
                x=f"{2 + 0.96 * percent:.2f}%",
                dx=-10 if left else 10,
                y=height,
                text_anchor="end" if left else "start",
                class_=f"name {colour}",
            )
        )
    return drawn


def _apart(wanted: Sequence[float]) -> list[float]:
    """Heights near the wanted ones with at least :data:`LABEL_GAP` between any two."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    heights = [0.0] * len(wanted)
    floor = -math.inf
    for i in order:
        heights[i] = floor = max(wanted[i], floor + LABEL_GAP)
    ceiling = float(FIELD_HEIGHT - BOTTOM)
    for i in reversed(order):
        heights[i] = min(heights[i], ceiling)
        ceiling = heights[i] - LABEL_GAP
    return heights
