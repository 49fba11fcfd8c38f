"""A clock that is driven instead of waited for, and a ledger and a service made up of a script."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

import pytest

from batch_alias.errors import BatchAliasError
from batch_alias.model import Failure, Outcome, Response, Row
from batch_alias.records import Event, Second
from batch_alias.rongcloud.codes import CODES, classify
from batch_alias.sending.dispatcher import Dispatcher
from batch_alias.sending.timing import Timing
from batch_alias.sending.response_handler import Limits

EPOCH = 1_800_000_000.0
"""What the wall clock says when the driven clock says 0."""


class DrivenLoop(asyncio.SelectorEventLoop):
    """An event loop that jumps to the next timer instead of waiting for it: hours pass in milliseconds.

    Attributes:
        now: Its clock; may be moved on at any time, as a machine does that was asleep.
        late: Seconds by which the next timer is late.
    """

    def __init__(self) -> None:
        super().__init__(_Jumping(self))
        self.now = 0.0
        self.late: Callable[[], float] = lambda: 0.0

    def time(self) -> float:
        return self.now


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: DrivenLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        if timeout is None:
            raise AssertionError("Everybody waits for somebody else.")
        # Work takes time: without it a timer that is due by less than the clock's resolution would be for ever.
        self._loop.now += timeout + self._loop.late() + 1e-6 if timeout > 0 else 1e-6
        return super().select(0)


@pytest.fixture(scope="session")
def driven() -> Callable:
    """Run a coroutine function, called with its loop, on a driven clock."""

    def run(main: Callable[[DrivenLoop], Coroutine]):
        with asyncio.Runner(loop_factory=DrivenLoop) as runner:
            return runner.run(main(runner.get_loop()))

    return run


def row_of(number: int) -> Row:
    return Row(number=number, user_id=f"u{number}", group_id="g", remark=f"name {number}")


def rows_of(count: int) -> list[Row]:
    return [row_of(number) for number in range(2, count + 2)]


@pytest.fixture(scope="session")
def rows() -> Callable[[int], list[Row]]:
    """So many rows, the first of them row 2."""
    return rows_of


class FakeLedger:
    """Rows in memory."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.outcomes: dict[int, Outcome] = {}
        self.seconds: list[Second] = []
        self.busiest = 0
        self.broken: Exception | None = None

    def pending(self, *, after: int, most: int) -> list[Row]:
        return [row for row in self.rows if row.number > after and row.number not in self.outcomes][:most]

    def opening_rows(self, most: int) -> list[Row]:
        first, last, middle = self.rows[0], self.rows[-1], self.rows[len(self.rows) // 2]
        return list({row.number: row for row in (first, last, middle)}.values())[:most]

    def record(self, outcome: Outcome) -> None:
        if self.broken is not None:
            raise self.broken
        assert outcome.row not in self.outcomes, "a row ends once"
        self.outcomes[outcome.row] = outcome

    def record_second(self, second: Second, *, busiest: int) -> None:
        self.seconds.append(second)
        self.busiest = busiest

    def states(self) -> dict[int, str]:
        return {number: outcome.state for number, outcome in self.outcomes.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the service does with a request: a code, a bare status, or a failure; and how long it takes."""

    code: int | None = 200
    status: int | None = None
    failure: Failure | None = None
    retry_after: float | None = None
    latency: float | None = None
    message: str = ""
    skew: float | None = None


@pytest.fixture(scope="session")
def answer() -> type[Answer]:
    return Answer


@dataclass(frozen=True, slots=True)
class Start:
    """A request as the service saw it."""

    at: float
    row: int
    host: str


class FakeCarrier:
    """A service that answers from a script.

    Args:
        loop: Whose clock it lives by.
        script: From the requests so far and the row to the answer.
        latency: Seconds an answer takes unless it says otherwise.
    """

    def __init__(self, loop: DrivenLoop, script: Callable[["FakeCarrier", Row], Answer], latency: float) -> None:
        self.loop = loop
        self._script = script
        self._latency = latency
        self.hosts = ["one", "two"]
        self.starts: list[Start] = []
        self.under_way: set[int] = set()
        self.most_under_way = 0
        self.open_job = self.closed = 0

    @property
    def sent(self) -> list[int]:
        """The rows of all requests, in their order."""
        return [start.row for start in self.starts]

    def connect(self) -> "FakeConnection":
        self.open_job += 1
        return FakeConnection(self)

    def leave(self, host: str) -> None:
        if host == self.hosts[0]:
            self.hosts.reverse()

    async def answer(self, row: Row) -> Response:
        assert row.number not in self.under_way, "never two attempts of one row at once"
        began, host = self.loop.time(), self.hosts[0]
        said = self._script(self, row)
        self.starts.append(Start(began, row.number, host))
        self.under_way.add(row.number)
        self.most_under_way = max(self.most_under_way, len(self.under_way))
        try:
            await asyncio.sleep(self._latency if said.latency is None else said.latency)
        finally:
            self.under_way.discard(row.number)
        answered = said.failure is None
        status = said.status or (CODES[said.code].http if said.code in CODES else 200)
        return Response(
            request_id=f"request-{len(self.starts)}",
            host=host,
            latency=self.loop.time() - began,
            status=status if answered else None,
            code=said.code if answered else None,
            failure=said.failure,
            message=said.message,
            retry_after=said.retry_after,
            clock_skew=said.skew,
        )


class FakeConnection:
    def __init__(self, carrier: FakeCarrier) -> None:
        self._carrier = carrier
        self._busy = False

    async def set_alias(self, row: Row):
        assert not self._busy, "one attempt at a time on a connection"
        self._busy = True
        try:
            reply = await self._carrier.answer(row)
        finally:
            self._busy = False
        return reply, classify(reply)

    async def aclose(self) -> None:
        self._carrier.closed += 1


@dataclass
class Sent:
    """A run that has ended."""

    ledger: FakeLedger
    carrier: FakeCarrier
    dispatcher: Dispatcher
    events: list[Event] = field(default_factory=list)
    running: asyncio.Task | None = None
    error: BatchAliasError | None = None
    was_cancelled: bool = False
    seconds: float = 0.0

    @property
    def news(self) -> list[str]:
        """The kinds of all events, in their order."""
        return [event.kind.value for event in self.events]


@pytest.fixture(scope="session")
def send(driven) -> Callable:
    """Send rows on a driven clock to a service that answers from a script; the run once it has ended.

    ``meanwhile`` is a coroutine function that runs beside it.
    """

    def run(
        script,
        *,
        count: int = 20,
        latency: float = 0.05,
        rate: float = 100,
        max_in_flight: int = 512,
        limit: int | None = None,
        attempts: int = 6,
        max_failed: float = 0.1,
        patience: float = 1800.0,
        timing: Timing | None = None,
        proven: bool = False,
        meanwhile=None,
    ) -> Sent:
        async def main(loop: DrivenLoop) -> Sent:
            carrier = FakeCarrier(loop, script, latency)
            ledger = FakeLedger(rows_of(count))
            events: list[Event] = []
            dispatcher = Dispatcher(
                ledger=ledger,
                carrier=carrier,
                rate=rate,
                max_in_flight=max_in_flight,
                limit=limit,
                limits=Limits(attempts=attempts, max_failed=max_failed, patience=patience),
                timing=timing or Timing(),
                notify=events.append,
                proven=proven,
                wall=lambda: EPOCH + loop.time(),
                clock=loop.time,
            )
            sent = Sent(ledger, carrier, dispatcher, events)
            sent.running = asyncio.create_task(dispatcher.run())
            beside = asyncio.create_task(meanwhile(sent, loop)) if meanwhile else None
            try:
                await sent.running
            except BatchAliasError as error:
                sent.error = error
            except asyncio.CancelledError:
                sent.was_cancelled = True
            sent.seconds = loop.time()
            if beside is not None:
                await beside
            assert not carrier.under_way
            return sent

        return driven(main)

    return run
