"""The charts of the page: shapes as SVG, and the texts and marks that the page places over them.

matplotlib draws the shapes in placeholder colours, which are replaced by CSS variables, and CSS stretches them to the
space there is: one drawing serves light and dark, desktop and phone, and text has the same size everywhere.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from io import StringIO
from itertools import pairwise
from math import nan
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from batch_alias.model import LATENCY_STEP, EventKind
from batch_alias.reports.summary import percentiles
from batch_alias.reports.timeline import WIDTHS, Timeline
from batch_alias.reports.wording import latency
from batch_alias.text import duration

INK, GRID, BLUE, RED, AMBER, VIOLET = (f"#01010{number}" for number in range(1, 7))
_VARIABLES = {INK: "muted", GRID: "line", BLUE: "blue", RED: "red", AMBER: "amber", VIOLET: "violet"}
_MARKS: Mapping[EventKind, tuple[str, str]] = {
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


class Chart(NamedTuple):
    """One chart."""

    title: str
    svg: str  # its shapes; they contain nothing from the source
    labels: Labels  # placed in per cent of the chart's width and height
    legend: Legend


def draw(timeline: Timeline) -> list[Chart]:
    """Draw the charts of a job; without a response there are none of response times."""
    charts = [_chart("Requests per second", _plot_rates, timeline, _rates_legend(timeline))]
    if any(point.latencies for point in timeline.points):
        legend = [("blue", "line", "median (p50)"), ("violet", "line", "p99")]
        charts.append(_chart("Response time", _plot_latencies, timeline, legend))
        legend = [("blue", "area", "responses")]
        charts.append(_chart("Distribution of response times", _plot_distribution, timeline, legend))
    return charts


def _chart(title: str, plot: Callable[[Axes, Timeline], Labels], timeline: Timeline, legend: Legend) -> Chart:
    figure = Figure(figsize=(10, 2.4))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_frame_on(False)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=GRID, linewidth=1)
    notes = plot(axes, timeline)
    left, bottom = axes.get_xlim()[0], axes.get_ylim()[0]
    # The x axis comes first, because CSS counts its ticks.
    labels = [("x", place, bottom, text) for place, text in _ticks(axes.xaxis)]
    labels += [("y", left, place, text) for place, text in _ticks(axes.yaxis)]
    labels += notes
    axes.tick_params(which="both", length=0, labelleft=False, labelbottom=False)
    to_share = axes.transData - axes.transAxes
    places = (100 * to_share.transform([(x, y) for _, x, y, _ in labels])).round(2).tolist()
    placed = [(classes, x, y, text) for (classes, _, _, text), (x, y) in zip(labels, places, strict=True)]
    return Chart(title, _svg(figure, title), placed, legend)


def _svg(figure: Figure, title: str) -> str:
    file = StringIO()
    no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": title}):  # ids are made from it, and one may occur only once in a page
        figure.savefig(file, format="svg", transparent=True, metadata=no_metadata)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace("<svg", '<svg preserveAspectRatio="none"', 1)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # every drawing has these
    svg = re.sub(r"(\.\d\d)\d+", r"\1", svg)  # hundredths of a point are enough
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var(--{variable})")
    return svg


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    low, high = axis.get_view_interval()
    places = axis.get_majorticklocs().tolist()
    texts = axis.get_major_formatter().format_ticks(places)
    return [(place, text) for place, text in zip(places, texts, strict=True) if low <= place <= high]


def _plot_rates(axes: Axes, timeline: Timeline) -> Labels:
    points, edges = timeline.points, timeline.edges
    axes.stairs([point.requests / point.seconds for point in points], edges, fill=True, color=BLUE, alpha=0.35)
    axes.stairs([point.busiest for point in points], edges, color=BLUE, linewidth=1, baseline=None)
    axes.stairs([point.refused / point.seconds for point in points], edges, fill=True, color=RED, alpha=0.85)
    for begin, end, rate in timeline.limits:
        axes.plot([begin, end], [rate, rate], color=AMBER, linewidth=1.4, linestyle=(0, (4, 2)))
    highest = max([*(point.busiest for point in points), *(rate for _, _, rate in timeline.limits)])
    axes.set_ylim(0, highest * 1.2)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    marks: Labels = [
        (f"{color} {shape}", begin, highest * 1.12, "")
        for begin, point in zip(edges, points, strict=False)
        for kind, (color, shape) in _MARKS.items()
        if kind in point.events
    ]
    return marks + _time_axis(axes, timeline)


def _rates_legend(timeline: Timeline) -> Legend:
    legend = [("amber", "dashes", "rate limit"), ("blue", "area", "requests per second")]
    if timeline.width > 1:
        legend[1] = ("blue", "area", f"mean over {duration(timeline.width)}")
        legend.append(("blue", "line", "busiest second in it"))
    if any(point.refused for point in timeline.points):
        legend.append(("red", "area", "refused by the rate limit"))
    if timeline.outages:
        legend.append(("red", "pale", "outage: sending on hold"))
    happened = {kind for point in timeline.points for kind in point.events}
    return legend + [(*mark, kind.replace("-", " ")) for kind, mark in _MARKS.items() if kind in happened]


def _plot_latencies(axes: Axes, timeline: Timeline) -> Labels:
    middles = [(begin + end) / 2 for begin, end in pairwise(timeline.edges)]
    found = [percentiles(point.latencies) for point in timeline.points]
    for name, color in (("p99", VIOLET), ("p50", BLUE)):
        values = [each.get(name, nan) for each in found]
        axes.plot(middles, values, color=color, linewidth=1.3, marker=".", markersize=2)
    axes.set_yscale("log")
    lowest, highest = (pick(each[name] for each in found if each) for pick, name in ((min, "p50"), (max, "p99")))
    axes.set_ylim(lowest / 1.3, highest * 2)
    _latency_axis(axes.yaxis)
    return _time_axis(axes, timeline)


def _plot_distribution(axes: Axes, timeline: Timeline) -> Labels:
    histogram: Counter[int] = Counter()
    for point in timeline.points:
        histogram.update(point.latencies)
    first, last = min(histogram), max(histogram)
    counts = [histogram[bucket] for bucket in range(first, last + 1)]
    bounds = [LATENCY_STEP**bucket for bucket in range(first - 1, last + 1)]
    axes.stairs(counts, bounds, fill=True, color=BLUE, alpha=0.55)
    axes.set_ylim(0, max(counts) * 1.28)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xscale("log")
    axes.set_xlim(bounds[0] / 1.2, bounds[-1] * 1.2)
    _latency_axis(axes.xaxis)
    found = percentiles(histogram)
    names = ("p50", "p90", "p99")
    for name in names:
        axes.axvline(found[name], color=VIOLET if name == "p99" else INK, linewidth=1, linestyle=(0, (3, 2)))
    return [("note", found[name], max(counts) * (1.2 - 0.1 * number), name) for number, name in enumerate(names)]


def _latency_axis(axis: Axis) -> None:
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 1000 else (1,), numticks=8))
    axis.set_major_formatter(lambda value, _: latency(value))


def _time_axis(axes: Axes, timeline: Timeline) -> Labels:
    """Label sending time with the time of day, shade the outages, and separate the runs."""
    total = timeline.total
    axes.set_xlim(0, total)
    step = next((width for width in WIDTHS if total <= width * _TICKS), total // _TICKS)
    places = range(-timeline.starts[0] % step, total + 1, step)
    axes.set_xticks(places, [_time_of_day(timeline.time(place), step) for place in places])
    for begin, end in timeline.outages:
        axes.axvspan(begin, max(end, begin + timeline.width / 2), color=RED, alpha=0.16, linewidth=0)
    labels: Labels = []
    for number, (offset, length) in enumerate(zip(timeline.offsets, timeline.lengths, strict=True), 1):
        if offset:
            axes.axvline(offset, color=INK, linewidth=0.7)
        if total / 9 < length < total:  # there is room, and more than one run
            labels.append(("note", offset, axes.get_ylim()[1], f"run {number}"))
    return labels


def _time_of_day(at: float, step: int) -> str:
    if at % _DAY == 0 or step >= _DAY:
        return f"{datetime.fromtimestamp(at, UTC):%d %b}"
    return f"{datetime.fromtimestamp(at, UTC):{'%H:%M:%S' if step < 60 else '%H:%M'}}"
