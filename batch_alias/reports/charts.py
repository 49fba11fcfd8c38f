"""The charts of the page: shapes as SVG, and the texts and marks that the page places over them.

Everything is placed in per cent of a chart's width and height, and CSS stretches the shapes to the space there is: one
drawing serves light and dark, desktop and phone, and text has the same size everywhere.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import count, groupby, pairwise
from math import floor, log, log10
from typing import NamedTuple

from batch_alias.model import LATENCY_STEP, EventKind
from batch_alias.reports.summary import percentiles
from batch_alias.reports.timeline import WIDTHS, Timeline
from batch_alias.reports.wording import EVENT_LABELS, day, latency
from batch_alias.text import _, duration

_MARKS = {
    EventKind.RATE_LOWERED: ("amber", "triangle"),
    EventKind.ASKED_TO_WAIT: ("amber", "square"),
    EventKind.HOST_SWITCHED: ("violet", "diamond"),
}
"""Colour and shape of an event."""
_TICKS = 9
"""Most ticks of the time axis; a phone shows every second one."""
_DAY = 86_400

Legend = list[tuple[str, str, str]]
"""What the colours of a chart mean: (colour, shape, text)."""
Labels = list[tuple[str, float, float, str]]
"""What is placed over a chart: (the page's classes for it, from the left, from the bottom, a text if it is no mark)."""
Line = Iterable[tuple[float, float]]
"""The corners of a line, in values of the two axes."""
Ticks = Iterable[tuple[float, str]]
"""Values of an axis, and how they are written."""


class Chart(NamedTuple):
    """One chart."""

    title: str
    svg: str  # its shapes; they contain nothing from the source
    labels: Labels  # placed in per cent of the chart's width and height
    legend: Legend


class _Axis(NamedTuple):
    low: float
    high: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """The place of a value, in per cent."""
        low, high = self.low, self.high
        return round(100 * (log(value / low, high / low) if self.is_log else (value - low) / (high - low)), 2)


class _Canvas:
    """The shapes of a chart and the labels over them."""

    def __init__(self, x: _Axis, x_ticks: Ticks, y: _Axis, y_ticks: Ticks) -> None:
        self.x, self.y = x, y
        self.labels: Labels = []
        self._paths: list[str] = []
        for value, text in x_ticks:  # first, because CSS counts them
            self.label("x", value, y.low, text)
        for value, text in y_ticks:
            self.label("y", x.low, value, text)
            self.line("line", [(x.low, value), (x.high, value)])

    def label(self, classes: str, x: float, y: float, text: str = "") -> None:
        self.labels.append((classes, self.x.place(x), self.y.place(y), text))

    def line(self, color: str, *lines: Line, width: float = 1, dashes: str = "none") -> None:
        self._path(f"fill:none;stroke:var(--{color});stroke-width:{width};stroke-dasharray:{dashes}", lines)

    def area(self, color: str, line: Sequence[tuple[float, float]], *, opacity: float) -> None:
        low = self.y.low
        self._path(f"fill:var(--{color});opacity:{opacity}", [[(line[0][0], low), *line, (line[-1][0], low)]])

    def svg(self) -> str:
        paths = "".join(self._paths)
        return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" preserveAspectRatio="none">{paths}</svg>'

    def _path(self, style: str, lines: Iterable[Line]) -> None:
        corners = (" ".join(f"{self.x.place(x):g} {100 - self.y.place(y):g}" for x, y in line) for line in lines)
        self._paths.append(f'<path style="{style}" d="M{"M".join(corners)}"/>')


def draw(timeline: Timeline) -> list[Chart]:
    """Draw the charts of a job; without a response there are none of response times."""
    drawn = [(_("Requests per second"), _plot_rates(timeline), _rates_legend(timeline))]
    if any(point.latencies for point in timeline.points):
        legend: Legend = [("blue", "line", _("median (p50)")), ("violet", "line", _("p99: 99 of 100 are faster"))]
        drawn.append((_("Response time"), _plot_latencies(timeline), legend))
        legend = [("blue", "area", _("responses"))]
        drawn.append((_("Distribution of response times"), _plot_distribution(timeline), legend))
    return [Chart(title, canvas.svg(), canvas.labels, legend) for title, canvas, legend in drawn]


def _steps(edges: Iterable[float], values: Iterable[float]) -> list[tuple[float, float]]:
    """A line that is level between two edges."""
    levels = zip(pairwise(edges), values, strict=True)
    return [(edge, value) for span, value in levels for edge in span]


def _plot_rates(timeline: Timeline) -> _Canvas:
    points, edges = timeline.points, timeline.edges
    reads = [point.reads / point.seconds for point in points]
    highest = max([*(point.busiest for point in points), *reads, *(rate for _, _, rate in timeline.limits)])
    canvas = _timed(timeline, _Axis(0, highest * 1.2), _counts(highest * 1.2))
    canvas.area("blue", _steps(edges, (point.requests / point.seconds for point in points)), opacity=0.35)
    canvas.line("blue", _steps(edges, (point.busiest for point in points)))
    if any(point.refused for point in points):
        canvas.area("red", _steps(edges, (point.refused / point.seconds for point in points)), opacity=0.85)
    if any(reads):
        canvas.line("violet", _steps(edges, reads), width=1.3)
    for begin, end, rate in timeline.limits:
        canvas.line("amber", [(begin, rate), (end, rate)], width=1.4, dashes="5.6 2.8")
    for begin, point in zip(edges, points, strict=False):
        for kind, (color, shape) in _MARKS.items():
            if kind in point.events:
                canvas.label(f"{color} {shape}", begin, highest * 1.12)
    return canvas


def _rates_legend(timeline: Timeline) -> Legend:
    legend: Legend = [("amber", "dashes", _("rate limit")), ("blue", "area", _("requests per second"))]
    if timeline.width > 1:
        legend[1] = ("blue", "area", _("mean over {time}", time=duration(timeline.width)))
        legend.append(("blue", "line", _("busiest second in it")))
    if any(point.reads for point in timeline.points):
        legend.append(("violet", "line", _("aliases read per second")))
    if any(point.refused for point in timeline.points):
        legend.append(("red", "area", _("refused by the rate limit")))
    if timeline.outages:
        legend.append(("red", "pale", _("outage: sending on hold")))
    happened = {kind for point in timeline.points for kind in point.events}
    return legend + [(*mark, _(EVENT_LABELS[kind])) for kind, mark in _MARKS.items() if kind in happened]


def _plot_latencies(timeline: Timeline) -> _Canvas:
    found_in = (percentiles(point.latencies) for point in timeline.points)
    spans = [(*span, found) for span, found in zip(pairwise(timeline.edges), found_in, strict=True)]
    seen = [found for _, _, found in spans if found]
    axis = _Axis(min(found["p50"] for found in seen) / 1.3, max(found["p99"] for found in seen) * 2, is_log=True)
    canvas = _timed(timeline, axis, _latencies(axis))
    # A line has gaps where there was no response.
    parts = [list(part) for responded, part in groupby(spans, key=lambda span: bool(span[2])) if responded]
    for name, color in (("p99", "violet"), ("p50", "blue")):
        lines = [[(x, found[name]) for *span, found in part for x in span] for part in parts]
        canvas.line(color, *lines, width=1.3)
    return canvas


def _plot_distribution(timeline: Timeline) -> _Canvas:
    histogram: Counter[int] = Counter()
    for point in timeline.points:
        histogram.update(point.latencies)
    buckets = range(min(histogram), max(histogram) + 1)
    bounds = [LATENCY_STEP**bucket for bucket in range(buckets.start - 1, buckets.stop)]
    highest = max(histogram.values())
    x, top = _Axis(bounds[0] / 1.5, bounds[-1] * 1.5, is_log=True), highest * 1.28
    canvas = _Canvas(x, _latencies(x), _Axis(0, top), _counts(top))
    canvas.area("blue", _steps(bounds, (histogram[bucket] for bucket in buckets)), opacity=0.55)
    found = percentiles(histogram)
    for number, (name, color) in enumerate((("p50", "muted"), ("p90", "muted"), ("p99", "violet"))):
        canvas.line(color, [(found[name], 0), (found[name], top)], dashes="3 2")
        canvas.label("note", found[name], highest * (1.2 - 0.1 * number), name)
    return canvas


def _counts(most: float) -> Ticks:
    """Round numbers of things, at most seven."""
    step = next(digit * 10**power for power in count() for digit in (1, 2, 5) if most <= 6 * digit * 10**power)
    return [(number, f"{number:,}") for number in range(0, floor(most) + 1, step)]


def _latencies(axis: _Axis) -> Ticks:
    """Round latencies, three or more where that is possible."""
    powers = range(floor(log10(axis.low)), floor(log10(axis.high)) + 1)
    for digits in ((1,), (1, 2, 5), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)):
        values = (digit * 10.0**power for power in powers for digit in digits)
        ticks = [(value, latency(value)) for value in values if axis.low <= value <= axis.high]
        if len(ticks) >= 3:
            break
    return ticks


def _timed(timeline: Timeline, y: _Axis, y_ticks: Ticks) -> _Canvas:
    """A canvas over sending time, labelled with the time of day, with the outages shaded and the runs separated."""
    total = timeline.total
    step = next((width for width in WIDTHS if total <= width * _TICKS), total // _TICKS)
    places = range(-timeline.starts[0] % step, total + 1, step)
    ticks = [(place, _time_of_day(timeline.time(place), step)) for place in places]
    canvas = _Canvas(_Axis(0, total), ticks, y, y_ticks)
    for begin, end in timeline.outages:
        span = (begin, max(end, begin + timeline.width / 2))
        canvas.area("red", [(edge, y.high) for edge in span], opacity=0.16)
    for name, offset, length in zip(timeline.names, timeline.offsets, timeline.lengths, strict=True):
        if offset:
            canvas.line("muted", [(offset, y.low), (offset, y.high)], width=0.7)
        if total / 9 < length < total:  # there is room, and more than one run
            canvas.label("note", offset, y.high, name)
    return canvas


def _time_of_day(at: float, step: int) -> str:
    if at % _DAY == 0 or step >= _DAY:
        return day(at)
    return f"{datetime.fromtimestamp(at, UTC):{'%H:%M:%S' if step < 60 else '%H:%M'}}"
