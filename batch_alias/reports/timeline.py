"""A job over time, in at most a few hundred points, however long it took.

The time is *sending time*: the runs of a job one after the other, without the hours or days between them, next to
which the runs themselves would be too short to see.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from math import ceil, floor

from batch_alias.ledger import LedgerReader, RunRecord
from batch_alias.model import Event, EventKind
from batch_alias.reports.summary import run_ends

POINTS = 600
"""Most points; a chart is hardly wider in pixels."""
WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Round numbers of seconds: widths of a point, and steps of the time axis."""


class Clock:
    """Converts times of the wall clock, in seconds since the epoch, to sending time.

    Args:
        starts: When the runs began.
        lengths: How many seconds they took.
    """

    def __init__(self, starts: Sequence[int], lengths: Sequence[int]) -> None:
        self.starts = starts
        self.lengths = lengths
        self.offsets = [0, *accumulate(lengths)][:-1]
        self.total = sum(lengths)

    def sending_time(self, at: float) -> float:
        """The sending time of a time; never outside of the run that it belongs to."""
        run = self._run(at)
        return self.offsets[run] + min(max(0.0, at - self.starts[run]), self.lengths[run])

    def end(self, at: float) -> int:
        """The end of the run that a time belongs to, as sending time."""
        run = self._run(at)
        return self.offsets[run] + self.lengths[run]

    def _run(self, at: float) -> int:
        return max(0, bisect_right(self.starts, at) - 1)


@dataclass(slots=True)
class Point:
    """What happened in a span of sending time.

    Attributes:
        seconds: Its length.
        requests: Requests sent.
        busiest: Most requests in one of its seconds.
        refused: Requests refused by the rate limit.
        latencies: Responses by latency bucket.
    """

    seconds: int
    requests: int = 0
    busiest: int = 0
    refused: int = 0
    latencies: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A job over time. All times are sending time in seconds.

    Attributes:
        clock: The runs.
        edges: Where the points begin, and where the last one ends.
        points: What happened, point by point.
        limits: The rate limit of each run: (begin, end, requests per second).
        outages: Spans in which sending was on hold.
        marks: Times of events by kind, at most one of a kind in a point.
    """

    clock: Clock
    edges: list[int]
    points: list[Point]
    limits: list[tuple[int, int, float]]
    outages: list[tuple[float, float]]
    marks: dict[EventKind, list[float]]

    @property
    def width(self) -> int:
        """Seconds in a point; the last one may be shorter."""
        return self.points[0].seconds


def build(ledger: LedgerReader) -> Timeline:
    """Add up a job that has had a run, in bounded memory."""
    runs, events = ledger.runs(), ledger.events()
    starts = [floor(run.started_at) for run in runs]
    clock = Clock(starts, [max(1, ceil(end) - start) for start, end in zip(starts, run_ends(ledger), strict=True)])
    width = next((width for width in WIDTHS if clock.total <= width * POINTS), ceil(clock.total / POINTS))
    edges = [*range(0, clock.total, width), clock.total]
    points = [Point(end - begin) for begin, end in pairwise(edges)]

    def index(at: float) -> int:
        return min(len(points) - 1, int(clock.sending_time(at)) // width)

    for second in ledger.seconds():
        point = points[index(second.at)]
        point.requests += second.requests
        point.busiest = max(point.busiest, second.requests)
        point.refused += second.refusals
        point.latencies.update(second.latencies)
    marks: dict[EventKind, dict[int, float]] = {kind: {} for kind in EventKind}
    for event in events:
        marks[event.kind][index(event.at)] = clock.sending_time(event.at)
    return Timeline(
        clock=clock,
        edges=edges,
        points=points,
        limits=_limits(runs, clock),
        outages=list(_outages(events, clock)),
        marks={kind: list(places.values()) for kind, places in marks.items()},
    )


def _limits(runs: Sequence[RunRecord], clock: Clock) -> list[tuple[int, int, float]]:
    rates = [run.settings.get("rate") for run in runs]
    spans = zip(rates, clock.offsets, clock.lengths, strict=True)
    return [(begin, begin + length, rate) for rate, begin, length in spans if isinstance(rate, int | float)]


def _outages(events: Sequence[Event], clock: Clock) -> Iterator[tuple[float, float]]:
    began: float | None = None
    for event in events:
        if event.kind not in {EventKind.OUTAGE_BEGAN, EventKind.OUTAGE_ENDED}:
            continue
        # The run may have ended before the outage did.
        if began is not None:
            yield clock.sending_time(began), min(clock.end(began), clock.sending_time(event.at))
        began = event.at if event.kind is EventKind.OUTAGE_BEGAN else None
    if began is not None:
        yield clock.sending_time(began), clock.end(began)
