"""A job over time: its seconds become at most a few hundred points, whatever its length.

The time is *sending time*: the runs of a job stand end to end, without the hours or days between them, which would
press the runs themselves into lines.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from math import ceil, floor

import pandas as pd

from batch_alias.records import LATENCY_STEP, Event, EventKind, RunRecord, Second

POINTS = 600
"""Most points in time; a chart has not many more dots from left to right."""
WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Widths of a point in seconds, and steps between two marks of a time axis."""
_CHUNK = 10_000


class Clock:
    """Wall-clock time to sending time, and the runs on it.

    Args:
        starts: When the runs began, seconds since the epoch.
        lengths: How long they took, in seconds.
    """

    def __init__(self, starts: Sequence[int], lengths: Sequence[int]) -> None:
        self.starts = starts
        self.lengths = lengths
        self.offsets = [0, *accumulate(lengths)][:-1]
        self.total = sum(lengths)

    def run(self, at: float) -> int:
        """The run that a time belongs to, counted from 0."""
        return max(0, bisect_right(self.starts, at) - 1)

    def place(self, at: float) -> float:
        """Sending time in seconds; never outside of the run that it belongs to."""
        run = self.run(at)
        return self.offsets[run] + min(max(0.0, at - self.starts[run]), self.lengths[run])

    def end(self, at: float) -> int:
        """Where the run of a time ends, as sending time."""
        run = self.run(at)
        return self.offsets[run] + self.lengths[run]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A job over time. All times are sending time in seconds.

    Attributes:
        clock: The runs.
        edges: Where the points begin, and where the last one ends.
        rates: By point, per second: ``mean`` and ``busiest`` requests, and ``refused`` ones.
        limits: The rate of each run: (begin, end, requests per second).
        latencies: By point, in milliseconds: ``p50`` and ``p99``; NaN where nothing was answered.
        histogram: Attempts by latency bucket.
        outages: Spans in which sending was on hold.
        marks: Times of the other events, one of a kind a point.
    """

    clock: Clock
    edges: list[int]
    rates: pd.DataFrame
    limits: list[tuple[int, int, float]]
    latencies: pd.DataFrame
    histogram: "pd.Series[int]"
    outages: list[tuple[float, float]]
    marks: dict[EventKind, list[float]]

    @property
    def width(self) -> int:
        """Seconds in a point."""
        return self.edges[1] - self.edges[0]


def build(
    runs: Sequence[RunRecord], seconds: Callable[[], Iterable[Second]], events: Sequence[Event]
) -> Timeline | None:
    """Add up a job over time, in bounded memory.

    Args:
        runs: What is noted of each run.
        seconds: What happened in each second; called twice.
        events: What was worth knowing.

    Returns:
        ``None`` when nothing was sent.
    """
    found = [(second.at, second.requests, second.refusals) for second in seconds()]
    if not runs or not found:
        return None
    frame = pd.DataFrame(found, columns=["at", "requests", "refused"])
    clock = _clock(runs, frame["at"])
    width = next((width for width in WIDTHS if clock.total <= width * POINTS), ceil(clock.total / POINTS))
    edges = [*range(0, clock.total, width), clock.total]
    points = len(edges) - 1

    def point(at: float) -> int:
        return min(points - 1, int(clock.place(at)) // width)

    latencies = _latencies(seconds(), point)
    return Timeline(
        clock=clock,
        edges=edges,
        rates=_rates(frame.assign(point=[point(at) for at in frame["at"]]), edges),
        limits=list(_limits(runs, clock)),
        latencies=_percentiles(latencies).reindex(range(points)),
        histogram=latencies.groupby("bucket")["count"].sum(),
        outages=list(_outages(events, clock)),
        marks=_marks(events, clock, point),
    )


def _clock(runs: Sequence[RunRecord], at: "pd.Series[int]") -> Clock:
    starts = [floor(run.started_at) for run in runs]
    last = at.groupby(at.map(lambda second: bisect_right(starts, second) - 1)).max()
    lengths = []
    for number, run in enumerate(runs):
        # A run that was killed has no end; what it did last is close to it.
        end = ceil(run.ended_at) if run.ended_at else int(last.get(number, starts[number])) + 1
        lengths.append(max(1, end - starts[number]))
    return Clock(starts, lengths)


def _rates(frame: pd.DataFrame, edges: Sequence[int]) -> pd.DataFrame:
    by_point = frame.groupby("point").agg(
        requests=("requests", "sum"), busiest=("requests", "max"), refused=("refused", "sum")
    )
    by_point = by_point.reindex(range(len(edges) - 1), fill_value=0)
    covered = pd.Series(edges).diff().iloc[1:].to_numpy()
    return pd.DataFrame(
        {
            "mean": by_point["requests"] / covered,
            "busiest": by_point["busiest"],
            "refused": by_point["refused"] / covered,
        }
    )


def _latencies(seconds: Iterable[Second], point: Callable[[float], int]) -> pd.DataFrame:
    """Attempts by point and latency bucket."""
    keys = ["point", "bucket"]
    total = pd.DataFrame({name: pd.Series(dtype="int64") for name in (*keys, "count")})
    rest = iter(seconds)
    while chunk := list(islice(rest, _CHUNK)):
        counts = [(point(s.at), bucket, number) for s in chunk for bucket, number in s.latencies.items()]
        both = pd.concat([total, pd.DataFrame(counts, columns=[*keys, "count"])])
        total = both.groupby(keys)["count"].sum().reset_index()
    return total


def _percentiles(latencies: pd.DataFrame) -> pd.DataFrame:
    by_point = latencies.groupby("point")["count"]
    seen, whole = by_point.cumsum(), by_point.transform("sum")
    found = {
        name: LATENCY_STEP ** latencies[seen >= share * whole].groupby("point")["bucket"].first().astype(float)
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }
    return pd.DataFrame(found)


def _limits(runs: Sequence[RunRecord], clock: Clock) -> Iterator[tuple[int, int, float]]:
    for run, offset, length in zip(runs, clock.offsets, clock.lengths, strict=True):
        rate = run.settings.get("rate")
        if isinstance(rate, int | float):
            yield offset, offset + length, float(rate)


def _outages(events: Sequence[Event], clock: Clock) -> Iterator[tuple[float, float]]:
    began: float | None = None
    for event in events:
        if event.kind not in {EventKind.OUTAGE_BEGAN, EventKind.OUTAGE_ENDED}:
            continue
        # The run may have ended before the outage did.
        if began is not None:
            yield clock.place(began), min(clock.end(began), clock.place(event.at))
        began = event.at if event.kind is EventKind.OUTAGE_BEGAN else None
    if began is not None:
        yield clock.place(began), clock.end(began)


def _marks(events: Sequence[Event], clock: Clock, point: Callable[[float], int]) -> dict[EventKind, list[float]]:
    kinds = (EventKind.PACE_LOWERED, EventKind.HOST_SWITCHED)
    return {
        kind: list({point(event.at): clock.place(event.at) for event in events if event.kind is kind}.values())
        for kind in kinds
    }
