"""The charts of the page, as SVG in the colours and the font of the page around them.

matplotlib draws in placeholder colours, which are replaced by CSS variables: one drawing serves light and dark.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from itertools import pairwise
from math import ceil, floor, nan
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from batch_alias.model import LATENCY_STEP, EventKind
from batch_alias.reports.summary import Summary, percentiles
from batch_alias.reports.timeline import WIDTHS, Clock, Timeline
from batch_alias.reports.wording import latency
from batch_alias.text import duration

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

INK, GRID, BLUE, RED, AMBER, VIOLET = (f"#01010{number}" for number in range(1, 7))
_VARIABLES = {INK: "muted", GRID: "line", BLUE: "blue", RED: "red", AMBER: "amber", VIOLET: "violet"}
_MARKS: Mapping[EventKind, tuple[str, str, str]] = MappingProxyType(
    {
        EventKind.RATE_LOWERED: ("v", AMBER, "triangle"),
        EventKind.ASKED_TO_WAIT: ("s", AMBER, "square"),
        EventKind.HOST_SWITCHED: ("D", VIOLET, "diamond"),
    }
)
"""matplotlib's marker, colour and shape in the legend of an event."""
_STYLE: "dict[RcKeyType, object]" = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",  # matplotlib's own, to measure text with; the page replaces it by its own font
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "ytick.major.size": 0,
}
_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The space for a chart.

    Attributes:
        name: The page's class for it.
        size: Width and height in points.
        font: Font size in points.
        ticks: Most ticks of the time axis.
    """

    name: str
    size: tuple[int, int]
    font: float
    ticks: int


LAYOUTS = (
    Layout(name="wide", size=(720, 210), font=9, ticks=9),
    Layout(name="narrow", size=(330, 220), font=10.5, ticks=4),
)
"""A chart is drawn for a desktop and for a phone: scaled down, its text would be too small to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart.

    Attributes:
        title: What it shows.
        description: The same for those who cannot see it.
        drawings: An SVG for each layout, by the layout's name; it contains nothing from the source.
        legend: What the colours mean: (colour, shape, text).
    """

    title: str
    description: str
    drawings: Mapping[str, str]
    legend: list[tuple[str, str, str]]


def draw(timeline: Timeline, summary: Summary) -> list[Chart]:
    """Draw the charts of a job; without a response there are none of response times."""
    span = f"over {duration(timeline.clock.total)} of sending"
    rates = Chart(
        title="Requests per second",
        description=f"Requests per second {span}: {summary.mean_rate:g} on average.",
        drawings=_drawings(_plot_rates, timeline),
        legend=_rates_legend(timeline),
    )
    if not summary.latency_ms:
        return [rates]
    values = ", ".join(f"{name} {latency(summary.latency_ms[name])}" for name in ("p50", "p90", "p99"))
    latencies = Chart(
        title="Response time",
        description=f"Response time {span}: {values}.",
        drawings=_drawings(_plot_latencies, timeline),
        legend=[("blue", "line", "median (p50)"), ("violet", "line", "p99")],
    )
    distribution = Chart(
        title="Distribution of response times",
        description=f"Responses by response time: {values}.",
        drawings=_drawings(_plot_distribution, timeline),
        legend=[("blue", "area", "responses")],
    )
    return [rates, latencies, distribution]


def _drawings(plot: Callable[[Axes, Layout, Timeline], None], timeline: Timeline) -> Mapping[str, str]:
    return {layout.name: _drawing(plot, layout, timeline) for layout in LAYOUTS}


def _drawing(plot: Callable[[Axes, Layout, Timeline], None], layout: Layout, timeline: Timeline) -> str:
    style: dict[RcKeyType, object] = {"font.size": layout.font, "svg.hashsalt": f"{plot.__name__}-{layout.name}"}
    with mpl.rc_context(_STYLE | style):
        width, height = layout.size
        figure = Figure(figsize=(width / 72, height / 72))
        # Room for the labels; the last one of the time axis extends to the right of it by half its width.
        left, right, bottom, top = 4.4 * layout.font, 2.6 * layout.font, 2.2 * layout.font, 6
        size = width - left - right, height - bottom - top
        axes = figure.add_axes((left / width, bottom / height, size[0] / width, size[1] / height))
        axes.grid(axis="y")
        plot(axes, layout, timeline)
        file = StringIO()
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=no_metadata)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # an id may occur once in a page, and every drawing has these
    svg = re.sub(r"(\.\d\d)\d+", r"\1", svg)  # hundredths of a point are enough
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var(--{variable})")
    return svg


def _plot_rates(axes: Axes, layout: Layout, timeline: Timeline) -> None:
    points, edges = timeline.points, timeline.edges
    axes.stairs([point.requests / point.seconds for point in points], edges, fill=True, color=BLUE, alpha=0.35)
    axes.stairs([point.busiest for point in points], edges, color=BLUE, linewidth=1, baseline=None)
    refused = [point.refused / point.seconds for point in points]
    if any(refused):
        axes.stairs(refused, edges, fill=True, color=RED, alpha=0.85)
    for begin, end, rate in timeline.limits:
        axes.plot([begin, end], [rate, rate], color=AMBER, linewidth=1.4, linestyle=(0, (4, 2)))
    highest = max([*(point.busiest for point in points), *(rate for _, _, rate in timeline.limits)])
    axes.set_ylim(0, highest * 1.2)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    for kind, (marker, color, _) in _MARKS.items():
        times = timeline.marks[kind]
        heights = [highest * 1.12] * len(times)
        axes.plot(times, heights, linestyle="none", marker=marker, markersize=4.5, color=color)
    _outages(axes, timeline)
    _time_axis(axes, timeline.clock, layout)


def _rates_legend(timeline: Timeline) -> list[tuple[str, str, str]]:
    legend = [("amber", "dashes", "rate limit"), ("blue", "area", "requests per second")]
    if timeline.width > 1:
        legend[1] = ("blue", "area", f"mean over {duration(timeline.width)}")
        legend.append(("blue", "line", "busiest second in it"))
    if any(point.refused for point in timeline.points):
        legend.append(("red", "area", "refused by the rate limit"))
    if timeline.outages:
        legend.append(("red", "pale", "outage: sending on hold"))
    for kind, (_, color, shape) in _MARKS.items():
        if timeline.marks[kind]:
            legend.append((_VARIABLES[color], shape, kind.replace("-", " ")))
    return legend


def _plot_latencies(axes: Axes, layout: Layout, timeline: Timeline) -> None:
    middles = [(begin + end) / 2 for begin, end in pairwise(timeline.edges)]
    found = [percentiles(point.latencies) for point in timeline.points]
    for name, color in (("p99", VIOLET), ("p50", BLUE)):
        values = [each.get(name, nan) for each in found]
        axes.plot(middles, values, color=color, linewidth=1.3, marker=".", markersize=2.2)
    axes.set_yscale("log")
    lowest, highest = (pick(each[name] for each in found if each) for pick, name in ((min, "p50"), (max, "p99")))
    _latency_axis(axes, "y", lowest / 1.3, highest * 2)
    _outages(axes, timeline)
    _time_axis(axes, timeline.clock, layout)


def _plot_distribution(axes: Axes, layout: Layout, timeline: Timeline) -> None:
    histogram: Counter[int] = Counter()
    for point in timeline.points:
        histogram.update(point.latencies)
    first, last = min(histogram), max(histogram)
    counts = [histogram[bucket] for bucket in range(first, last + 1)]
    bounds = [LATENCY_STEP**bucket for bucket in range(first - 1, last + 1)]
    axes.stairs(counts, bounds, fill=True, color=BLUE, alpha=0.55)
    found = percentiles(histogram)
    for number, name in enumerate(("p50", "p90", "p99")):
        at = found[name]
        axes.axvline(at, color=VIOLET if name == "p99" else INK, linewidth=0.9, linestyle=(0, (3, 2)))
        _label(axes, name, (at, max(counts) * (1.2 - 0.1 * number)), layout, "center")
    axes.set_ylim(0, max(counts) * 1.28)
    axes.set_xscale("log")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    _latency_axis(axes, "x", bounds[0], bounds[-1])


def _outages(axes: Axes, timeline: Timeline) -> None:
    for begin, end in timeline.outages:
        axes.axvspan(begin, max(end, begin + timeline.width / 2), color=RED, alpha=0.16, linewidth=0)


def _time_axis(axes: Axes, clock: Clock, layout: Layout) -> None:
    """Label sending time with the time of day, and separate the runs."""
    axes.set_xlim(0, clock.total)
    step = next((step for step in WIDTHS if clock.total <= step * layout.ticks), clock.total / layout.ticks)
    runs = list(zip(clock.starts, clock.offsets, clock.lengths, strict=True))
    ticks = [
        (offset + at - start, _time_of_day(at, step))
        for start, offset, length in runs
        for at in (number * step for number in range(ceil(start / step), floor((start + length) / step) + 1))
    ]
    if len(ticks) < 2:  # many short runs without a round time in them
        ticks = [(offset, f"run {number}") for number, offset in enumerate(clock.offsets, 1)]
    shown: list[tuple[float, str]] = []
    for place, label in ticks:
        if not shown or place - shown[-1][0] >= 0.7 * step:
            shown.append((place, label))
    axes.set_xticks([place for place, _ in shown], [label for _, label in shown])
    if len(runs) == 1:
        return
    for number, (start, offset, length) in enumerate(runs, 1):
        if offset:
            axes.axvline(offset, color=INK, linewidth=0.8 if len(runs) < 10 else 0.4)
        label = f"run {number}, {datetime.fromtimestamp(start, UTC):%d %b %H:%M}"
        if length / clock.total * layout.size[0] > 0.62 * layout.font * len(label):
            _label(axes, label, (offset, axes.get_ylim()[1]), layout, "top")


def _time_of_day(at: float, step: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    if step >= _DAY / 4 and at % _DAY == 0:
        return f"{moment:%d %b}"
    return f"{moment:%H:%M:%S}" if step < 60 else f"{moment:%H:%M}"


def _label(axes: Axes, text: str, at: tuple[float, float], layout: Layout, align: Literal["top", "center"]) -> None:
    axes.annotate(text, at, (4, 0), textcoords="offset points", va=align, fontsize=layout.font * 0.9)


def _latency_axis(axes: Axes, which: Literal["x", "y"], low: float, high: float) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: latency(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
