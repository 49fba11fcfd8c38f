"""The charts of the page, as SVG that takes its colours and its type from the page around it.

matplotlib draws with stand-in colours; they become CSS variables, so that one drawing serves by day and by night.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from math import ceil, floor
from typing import TYPE_CHECKING, Literal

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from batch_alias.records import LATENCY_STEP, EventKind
from batch_alias.reports.timeline import WIDTHS, Clock, Timeline
from batch_alias.reports.wording import latency

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

INK, GRID, BLUE, RED, AMBER, VIOLET = (f"#01010{number}" for number in range(1, 7))
_VARIABLES = {INK: "muted", GRID: "line", BLUE: "blue", RED: "red", AMBER: "amber", VIOLET: "violet"}
_STYLE: "dict[RcKeyType, object]" = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",  # matplotlib's own, to measure by; the page's takes its place
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
_DECIMALS = re.compile(r"(\.\d\d)\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The room a chart has.

    Attributes:
        name: The page's class for it.
        size: Width and height in points.
        font: Size of the type in points.
        ticks: Most marks on the time axis.
    """

    name: str
    size: tuple[int, int]
    font: float
    ticks: int


LAYOUTS = (
    Layout(name="wide", size=(720, 210), font=9, ticks=9),
    Layout(name="narrow", size=(330, 220), font=10.5, ticks=4),
)
"""A chart is drawn for a desk and for a phone: made smaller, its type could not be read."""


def draw_rates(timeline: Timeline, layout: Layout) -> str:
    """Requests per second over time, the limit, what was refused, outages and slow-downs."""
    with _chart("rates", layout) as (axes, finish):
        rates, edges = timeline.rates, timeline.edges
        axes.stairs(rates["mean"], edges, fill=True, color=BLUE, alpha=0.35, linewidth=0)
        axes.stairs(rates["busiest"], edges, color=BLUE, linewidth=1, baseline=None)
        if rates["refused"].any():
            axes.stairs(rates["refused"], edges, fill=True, color=RED, alpha=0.85, linewidth=0)
        for begin, end, rate in timeline.limits:
            axes.plot([begin, end], [rate, rate], color=AMBER, linewidth=1.4, linestyle=(0, (4, 2)))
        highest = max([float(rates["busiest"].max()), *(rate for _, _, rate in timeline.limits)])
        axes.set_ylim(0, highest * 1.2)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        _outages_and_marks(axes, timeline, highest * 1.12)
        _time_axis(axes, timeline.clock, layout)
        return finish()


def draw_latencies(timeline: Timeline, layout: Layout) -> str:
    """Latency over time: the median and the slowest hundredth."""
    with _chart("latencies", layout) as (axes, finish):
        edges = pd.Series(timeline.edges)
        middles = (edges + edges.shift(-1)).iloc[:-1] / 2
        for name, color in (("p99", VIOLET), ("p50", BLUE)):
            axes.plot(middles, timeline.latencies[name], color=color, linewidth=1.3, marker=".", markersize=2.2)
        axes.set_yscale("log")
        lowest, highest = timeline.latencies["p50"].min(), timeline.latencies["p99"].max()
        _latency_ticks(axes, "y", float(lowest) / 1.3, float(highest) * 2)
        _outages_and_marks(axes, timeline, None)
        _time_axis(axes, timeline.clock, layout)
        return finish()


def draw_distribution(histogram: "pd.Series[int]", percentiles: dict[str, float], layout: Layout) -> str:
    """How many attempts took how long."""
    with _chart("distribution", layout) as (axes, finish):
        first, last = int(histogram.index.min()), int(histogram.index.max())
        counts = histogram.reindex(range(first, last + 1), fill_value=0)
        bounds = [LATENCY_STEP**bucket for bucket in range(first - 1, last + 1)]
        axes.stairs(counts, bounds, fill=True, color=BLUE, alpha=0.55, linewidth=0)
        top = float(counts.max())
        for number, name in enumerate(("p50", "p90", "p99")):
            at = percentiles[name]
            axes.axvline(at, color=VIOLET if name == "p99" else INK, linewidth=0.9, linestyle=(0, (3, 2)))
            _label(axes, name, (at, top * (1.2 - 0.1 * number)), layout, "center")
        axes.set_ylim(0, top * 1.28)
        axes.set_xscale("log")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        _latency_ticks(axes, "x", bounds[0], bounds[-1])
        return finish()


@contextmanager
def _chart(name: str, layout: Layout) -> Iterator[tuple[Axes, Callable[[], str]]]:
    """Axes to draw on, and what makes an SVG of them."""
    style: dict[RcKeyType, object] = {"font.size": layout.font, "svg.hashsalt": f"{name}-{layout.name}"}
    with mpl.rc_context(_STYLE | style):
        width, height = layout.size
        figure = Figure(figsize=(width / 72, height / 72))
        # Room for the marks, of which the last on the time axis stands half to the right of it.
        left, right, bottom, top = 4.4 * layout.font, 2.6 * layout.font, 2.2 * layout.font, 6
        size = width - left - right, height - bottom - top
        axes = figure.add_axes((left / width, bottom / height, size[0] / width, size[1] / height))
        axes.grid(axis="y")
        yield axes, lambda: _as_svg(figure)


def _as_svg(figure: Figure) -> str:
    file = StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    # Names of groups would be there once a chart; a page may have them once.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = _DECIMALS.sub(r"\1", svg)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var(--{variable})")
    return svg


def _outages_and_marks(axes: Axes, timeline: Timeline, height: float | None) -> None:
    for begin, end in timeline.outages:
        axes.axvspan(begin, max(end, begin + timeline.width / 2), color=RED, alpha=0.16, linewidth=0)
    if height is None:
        return
    for kind, marker, color in ((EventKind.PACE_LOWERED, "v", AMBER), (EventKind.HOST_SWITCHED, "D", VIOLET)):
        times = timeline.marks[kind]
        axes.plot(times, [height] * len(times), linestyle="none", marker=marker, markersize=4.5, color=color)


def _time_axis(axes: Axes, clock: Clock, layout: Layout) -> None:
    """Sending time, marked by the time of day at which it was."""
    axes.set_xlim(0, clock.total)
    step = next((step for step in WIDTHS if clock.total <= step * layout.ticks), clock.total / layout.ticks)
    runs = list(zip(clock.starts, clock.offsets, clock.lengths, strict=True))
    marks = [(offset + at - start, at) for start, offset, length in runs for at in _multiples(step, start, length)]
    if len(marks) > 1:
        labelled = [(place, _time_of_day(at, step)) for place, at in marks]
    else:  # of many short runs, none may see the clock strike
        labelled = [(offset, f"run {number}") for number, offset in enumerate(clock.offsets, 1)]
    places: list[float] = []
    labels: list[str] = []
    for place, label in labelled:
        if not places or place - places[-1] >= 0.7 * step:
            places.append(place)
            labels.append(label)
    axes.set_xticks(places, labels)
    if len(runs) > 1:
        _separate_runs(axes, clock, layout)


def _multiples(step: float, start: int, length: int) -> list[float]:
    """The multiples of a step within a run."""
    first = ceil(start / step)
    return [number * step for number in range(first, floor((start + length) / step) + 1)]


def _separate_runs(axes: Axes, clock: Clock, layout: Layout) -> None:
    for number, (start, offset, length) in enumerate(zip(clock.starts, clock.offsets, clock.lengths, strict=True), 1):
        if offset:
            axes.axvline(offset, color=INK, linewidth=0.8 if len(clock.starts) < 10 else 0.4)
        label = f"run {number}, {datetime.fromtimestamp(start, UTC):%d %b %H:%M}"
        if length / clock.total * layout.size[0] > 0.62 * layout.font * len(label):
            _label(axes, label, (offset, axes.get_ylim()[1]), layout, "top")


def _label(axes: Axes, text: str, at: tuple[float, float], layout: Layout, align: Literal["top", "center"]) -> None:
    axes.annotate(text, at, (4, 0), textcoords="offset points", va=align, fontsize=layout.font * 0.9)


def _time_of_day(at: float, step: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    if step >= _DAY / 4 and at % _DAY == 0:
        return f"{moment:%d %b}"
    return f"{moment:%H:%M:%S}" if step < 60 else f"{moment:%H:%M}"


def _latency_ticks(axes: Axes, which: str, low: float, high: float) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: latency(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
