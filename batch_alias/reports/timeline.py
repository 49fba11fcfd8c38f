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

from batch_alias.ledger import LedgerReader
from batch_alias.model import Event, EventKind, RequestKind
from batch_alias.reports.wording import command_name

POINTS = 600
"""Most points; a chart is hardly wider in pixels."""
WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Round numbers of seconds: widths of a point, and steps of the time axis."""


@dataclass(slots=True)
class Point:
    """What happened in a span of sending time of so many seconds; apart from ``reads`` it is about sending rows."""

    seconds: int
    requests: int = 0
    busiest: int = 0  # most requests in one of its seconds
    refused: int = 0  # by the rate limit
    reads: int = 0  # requests that read an alias
    latencies: Counter[int] = field(default_factory=Counter)  # responses by latency bucket
    events: set[EventKind] = field(default_factory=set)


class Timeline:
    """A job that has had a run over time, added up in bounded memory. Times are sending time in seconds."""

    def __init__(self, ledger: LedgerReader) -> None:
        runs, events = ledger.runs(), ledger.events()
        self.starts = [floor(run.started_at) for run in runs]  # in seconds since the epoch
        self.names = [f"{command_name(run)} {number}" for number, run in enumerate(runs, 1)]
        self.lengths = [max(1, ceil(run.end) - floor(run.started_at)) for run in runs]
        self.offsets = [0, *accumulate(self.lengths)][:-1]  # where the runs begin in sending time
        self.total = sum(self.lengths)
        # Seconds in a point; the last one may be shorter. Edges are where points begin, and where the last one ends.
        self.width = next((width for width in WIDTHS if self.total <= width * POINTS), ceil(self.total / POINTS))
        self.edges = [*range(0, self.total, self.width), self.total]
        self.points = [Point(end - begin) for begin, end in pairwise(self.edges)]
        for second in ledger.seconds():
            point = self._point(second.at)
            if second.kind is RequestKind.READ:
                point.reads += second.requests
            elif second.kind is RequestKind.WRITE:
                point.requests += second.requests
                point.busiest = max(point.busiest, second.requests)
                point.refused += second.refusals
                point.latencies.update(second.latencies)
        for event in events:
            self._point(event.at).events.add(event.kind)
        rates = [run.settings.get("rate") for run in runs]
        spans = zip(self.offsets, self.lengths, rates, strict=True)
        # The rates of the runs as (begin, end, requests per second), and the spans in which sending was on hold.
        self.limits = [(begin, begin + length, rate) for begin, length, rate in spans if isinstance(rate, int | float)]
        self.outages = list(self._outages(events))

    def sending_time(self, at: float) -> float:
        """The sending time of a time since the epoch; never outside of the run that it belongs to."""
        run = self._run(at)
        return self.offsets[run] + min(max(0.0, at - self.starts[run]), self.lengths[run])

    def time(self, sending_time: float) -> float:
        """The time since the epoch of a sending time."""
        run = bisect_right(self.offsets, sending_time) - 1
        return self.starts[run] + sending_time - self.offsets[run]

    def _run(self, at: float) -> int:
        return max(0, bisect_right(self.starts, at) - 1)

    def _point(self, at: float) -> Point:
        return self.points[min(len(self.points) - 1, int(self.sending_time(at)) // self.width)]

    def _outages(self, events: Sequence[Event]) -> Iterator[tuple[float, float]]:
        changes = [event for event in events if event.kind in {EventKind.OUTAGE_BEGAN, EventKind.OUTAGE_ENDED}]
        times = [*(self.sending_time(event.at) for event in changes), self.total]
        for event, (begin, end) in zip(changes, pairwise(times), strict=True):
            if event.kind is EventKind.OUTAGE_BEGAN:
                run = self._run(event.at)  # it may have ended before the outage did
                yield begin, min(end, self.offsets[run] + self.lengths[run])
