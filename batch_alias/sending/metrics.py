"""What a run has done so far: totals, each second, latencies, and the events."""

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from batch_alias.model import LATENCY_STEP, Action, Event, EventKind, Outcome, RequestKind, Response, Second, State

RECENT_ROWS = 1000
"""Settled rows over which failures are counted."""
HORIZON = 15.0
"""Most seconds of progress from which the time left is estimated."""
FIRST_ESTIMATE = 5.0
"""Least seconds of progress before it is estimated."""


def latency_bucket(seconds: float) -> int:
    """The histogram bucket of a latency."""
    return max(0, math.ceil(math.log(max(seconds * 1000, 1e-9), LATENCY_STEP)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run under way stands."""

    done: int  # rows that have ended in it; where nothing is sent, those that were read
    states: Mapping[State, int]  # rows that have ended in it, by state
    recent_rate: int  # attempts to send started in the last second; where nothing is sent, to read
    in_flight: int
    outage: float | None  # seconds since it began; None while the service works
    on_hold: bool = False  # nothing is sent, and that says nothing about the pace: an outage, or the server asks for it
    recent_reads: int = 0  # attempts to read started in the last second, beside those to send


class Estimate:
    """How long the rest takes, at the pace of the last seconds in which rows could be sent.

    All times are monotonic readings in seconds.
    """

    def __init__(self, *, now: float) -> None:
        self._read_at = now
        self._seconds = 0.0  # since the first row, without those on hold
        self._seen: deque[tuple[float, int]] = deque([(0.0, 0)])

    def seconds_left(self, progress: Progress, total: int, *, now: float) -> float | None:
        """Seconds until so many rows are done; ``None`` if that cannot be said."""
        done = progress.done
        self._seconds += 0.0 if progress.on_hold else now - self._read_at
        self._read_at = now
        if done < self._seen[-1][1]:  # something else has begun
            self._seen.clear()
            self._seconds = 0.0
        self._seen.append((self._seconds, done))
        while self._seconds - self._seen[0][0] > HORIZON:
            self._seen.popleft()
        since, before = self._seen[0]
        if progress.on_hold or self._seconds < FIRST_ESTIMATE or done <= before or done >= total:
            return None
        return (total - done) * (self._seconds - since) / (done - before)


class Metrics:
    """Counts, and keeps the finished seconds and the events until they are taken to be stored.

    ``kind`` says what the requests are for; ``wall`` is the wall clock, seconds since the epoch; ``observer`` is called
    with each event.
    """

    def __init__(self, kind: RequestKind, *, wall: Callable[[], float], observer: Callable[[Event], None]) -> None:
        self._kind = kind
        self._wall = wall
        self._observer = observer
        self._second: Second | None = None
        self._starts: deque[float] = deque()
        self._recent: deque[bool] = deque(maxlen=RECENT_ROWS)
        self._seconds: list[Second] = []
        self._events: list[Event] = []
        self.calls = 0  # that have an outcome
        self.settled: Counter[State] = Counter()

    def started(self, *, retry: bool = False, check: bool = False, now: float) -> None:
        """Count an attempt that starts at a monotonic reading: for a row, the first or not, or a call about no row."""
        second = self._current()
        second.requests += 1
        second.retries += retry
        second.checks += check
        starts = self._starts
        starts.append(now)
        while starts[0] <= now - 1:
            starts.popleft()

    def responded(self, response: Response) -> None:
        """Count a response."""
        second = self._current()
        second.codes[response.label] += 1
        second.latencies[latency_bucket(response.latency)] += 1
        second.refusals += response.classification.action is Action.SLOW_DOWN

    def ended(self, outcome: Outcome) -> None:
        """Count a call that has an outcome."""
        self.calls += 1
        self._recent.append(outcome.state is not State.ACCEPTED)

    def settle(self, state: State) -> None:
        """Count a row that has ended."""
        self._current().settled[state] += 1
        self.settled[state] += 1

    @property
    def recent_failures(self) -> int:
        """How many of the last ``RECENT_ROWS`` calls were not accepted."""
        return sum(self._recent)

    def emit(self, kind: EventKind, **values: str | float) -> None:
        """Note an event and pass it to the observer."""
        event = Event(at=self._wall(), kind=kind, values=values)
        self._events.append(event)
        self._observer(event)

    def recent_rate(self, *, now: float) -> int:
        """Attempts started in the last second. May be called from another thread."""
        return sum(1 for start in tuple(self._starts) if start > now - 1)

    def take(self, *, all_of_it: bool = False) -> tuple[list[Second], list[Event]]:
        """The finished seconds and the events since the last call; at the end the second under way as well."""
        if all_of_it or (self._second is not None and self._second.at != int(self._wall())):
            self._finish()
        taken = self._seconds, self._events
        self._seconds, self._events = [], []
        return taken

    def _current(self) -> Second:
        at = int(self._wall())
        if self._second is None or self._second.at != at:
            self._finish()
            self._second = Second(at=at, kind=self._kind)
        return self._second

    def _finish(self) -> None:
        if self._second is not None:
            self._seconds.append(self._second)
        self._second = None
