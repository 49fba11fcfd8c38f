"""A ledger in memory and a service that responds from a script, on a driven clock."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import pytest

from batch_alias.errors import BatchAliasError
from batch_alias.model import Call, Event, Failure, Operation, Outcome, Response, Row, Second
from batch_alias.rongcloud.codes import CODES, FAILURES, classify
from batch_alias.sending import HARMLESS, Timing
from batch_alias.sending.comparison import Steps
from batch_alias.sending.limiter import RateLimiter
from batch_alias.sending.pipeline import Pipeline
from batch_alias.settings import Sending

EPOCH = 1_800_000_000.0
"""What the wall clock says when the driven clock says 0."""


PLAIN = Steps()
CHECK = 0
"""Stands for a row in the call that changes nothing."""


def rows_of(count: int) -> list[Row]:
    return [
        Row(number=number, user_id=f"u{number}", group_id="g", remark=f"name {number}")
        for number in range(2, count + 2)
    ]


@pytest.fixture(scope="session")
def rows() -> Callable[[int], list[Row]]:
    """So many rows, the first of them row 2."""
    return rows_of


class FakeLedger:
    """Rows in memory."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.outcomes: dict[int, Outcome] = {}
        self.started: set[int] = set()
        self.before = {row.number: row.before for row in rows if row.before is not None}
        self.unreadable: dict[int, str] = {}
        self.found: dict[int, str] = {}
        self.seconds: list[Second] = []
        self.events: list[Event] = []
        self.busiest = 0
        self.broken: Exception | None = None
        self.more_to_come = False
        self.withdrawn: set[int] = set()

    def is_withdrawn(self, row: Row) -> bool:
        return row in self.withdrawn

    async def pending(self, *, after: int, most: int) -> list[Row]:
        return [row for row in self.rows if row.number > after and row.number not in self.outcomes][:most]

    async def opening_rows(self, most: int) -> list[Row]:
        first, last, middle = self.rows[0], self.rows[-1], self.rows[len(self.rows) // 2]
        return list({row.number: row for row in (first, last, middle)}.values())[:most]

    def record(self, outcome: Outcome) -> None:
        if self.broken is not None:
            raise self.broken
        assert outcome.row not in self.outcomes, "a row ends once"
        self.outcomes[outcome.row] = outcome

    def record_before(self, row: int, alias: str) -> None:
        self.before.setdefault(row, alias)

    def record_started(self, row: int) -> None:
        self.started.add(row)

    def record_unreadable(self, row: int, message: str) -> None:
        self.unreadable[row] = message

    def record_found(self, row: int, alias: str, at: float) -> None:
        self.found[row] = alias

    async def record_metrics(self, seconds: list[Second], events: list[Event], *, busiest: int) -> None:
        self.seconds += seconds
        self.events += events
        self.busiest = max(self.busiest, busiest)

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
    carried_out: bool | None = None  # although it was not confirmed


@pytest.fixture(scope="session")
def answer() -> type[Answer]:
    return Answer


@pytest.fixture(scope="session")
def always() -> "Callable[..., Script]":
    """The script that answers every request alike."""
    return lambda **what: lambda _service, _row: Answer(**what)


@dataclass(frozen=True, slots=True)
class Start:
    """A request as the service saw it."""

    at: float
    row: int
    host: str


class FakeService:
    """A service that responds from a script.

    Args:
        loop: The clock.
        script: From the requests so far and the row's number to the answer.
        reading: The same for reads, the call that changes nothing among them; without it they read what is set, and
            the script answers that call.
        latency: Seconds an answer takes unless it says otherwise.
    """

    def __init__(self, loop, script: "Script", reading: "Script | None", latency: float) -> None:
        self.loop = loop
        self._script = script
        self._reading = reading
        self._latency = latency
        self.aliases: dict[int, str] = {}
        self.ledger: FakeLedger | None = None
        self.reads: list[Start] = []
        self.hosts = ["one", "two"]
        self.starts: list[Start] = []
        self.sent: list[int] = []  # the rows of all requests, in their order
        self.attempts: Counter[int] = Counter()  # requests by row
        self.under_way: Counter[int] = Counter()  # requests by row
        self.most_under_way = 0
        self.opened = self.closed = 0
        self.extended = 0.0

    def connect(self) -> "FakeConnection":
        self.opened += 1
        return FakeConnection(self)

    def leave(self, host: str) -> None:
        if host == self.hosts[0]:
            self.hosts.reverse()

    def extend(self, seconds: float) -> None:
        self.extended += seconds

    async def execute(self, operation: Operation, *, first: bool) -> Response:
        row = CHECK if operation == HARMLESS else int(operation.user_id.removeprefix("u"))
        assert row == CHECK or not self.under_way[row], "never two attempts of one row at once"
        began, host = self.loop.time(), self.hosts[0]
        is_read = operation.call is Call.READ and (row != CHECK or self._reading is not None)
        if is_read:
            said = Answer() if self._reading is None else self._reading(self, row)
            self.reads.append(Start(began, row, host))
        else:
            assert row == CHECK or first == (row not in self.attempts)
            said = self._script(self, row)
            self.starts.append(Start(began, row, host))
            self.sent.append(row)
            self.attempts[row] += 1
            if (said.code == 200 and said.failure is None) if said.carried_out is None else said.carried_out:
                self.aliases[row] = operation.remark or ""
        alias = self.aliases.get(row, "")
        self.under_way[row] += 1
        self.most_under_way = max(self.most_under_way, self.under_way.total())
        try:
            await asyncio.sleep(self._latency if said.latency is None else said.latency)
        finally:
            self.under_way[row] -= 1
        status = said.status or (CODES[said.code].status if said.code in CODES else 200)
        failed = said.failure is not None
        return Response(
            request_id=f"request-{len(self.starts)}",
            host=host,
            latency=self.loop.time() - began,
            classification=FAILURES[said.failure] if failed else classify(status=status, code=said.code),
            status=None if failed else status,
            code=None if failed else said.code,
            failure=said.failure,
            message=said.message,
            retry_after=said.retry_after,
            clock_skew=said.skew,
            remark=alias if is_read and said.code == 200 and not failed else None,
        )


class FakeConnection:
    def __init__(self, service: FakeService) -> None:
        self._service = service
        self._busy = False

    async def execute(self, operation: Operation, *, first: bool = False, permission=None) -> Response:
        assert not self._busy, "one attempt at a time on a connection"
        self._busy = True
        try:
            return await self._service.execute(operation, first=first)
        finally:
            self._busy = False

    async def aclose(self) -> None:
        self._service.closed += 1


Script = Callable[[FakeService, int], Answer]
"""From the service and a row's number to the answer."""


@dataclass
class Run:
    """A run that has ended."""

    ledger: FakeLedger
    service: FakeService
    pipeline: Pipeline
    events: list[Event] = field(default_factory=list)
    running: asyncio.Task | None = None
    error: BatchAliasError | None = None
    was_cancelled: bool = False
    seconds: float = 0.0

    @property
    def event_kinds(self) -> list[str]:
        return [event.kind.value for event in self.events]


def states(sent: Run) -> Counter:
    """How many rows of a run are in each state."""
    return Counter(sent.ledger.states().values())


@pytest.fixture(scope="session")
def send(driven) -> Callable[..., Run]:
    """Send rows on a driven clock to a service that responds from a script; the run once it has ended.

    ``meanwhile`` is a coroutine function that runs beside it.
    """

    def run(
        script,
        *,
        count: int = 20,
        latency: float = 0.05,
        timing: Timing | None = None,
        proven: bool = False,
        doubted: Collection[int] = (),
        steps: Steps = PLAIN,
        reading: "Script | None" = None,
        aliases: Mapping[int, str] = MappingProxyType({}),
        rows: list[Row] | None = None,
        meanwhile=None,
        **sending,
    ) -> Run:
        async def main(loop) -> Run:
            service = FakeService(loop, script, reading, latency)
            service.aliases.update(aliases)
            ledger = FakeLedger(
                [replace(row, in_doubt=True) if row.number in doubted else row for row in rows or rows_of(count)]
            )
            service.ledger = ledger
            settings = Sending(**sending)
            events: list[Event] = []
            pipeline = Pipeline(
                steps,
                ledger=ledger,
                service=service,
                limiter=lambda _kind: RateLimiter(settings.rate),
                sending=settings,
                timing=timing or Timing(),
                observer=events.append,
                proven=proven,
                wall=lambda: EPOCH + loop.time(),
                clock=loop.time,
            )
            run = Run(ledger, service, pipeline, events)
            run.running = asyncio.create_task(pipeline.run())
            beside = asyncio.create_task(meanwhile(run, loop)) if meanwhile else None
            try:
                await run.running
            except BatchAliasError as error:
                run.error = error
            except asyncio.CancelledError:
                run.was_cancelled = True
            run.seconds = loop.time()
            if beside is not None:
                await beside
            assert not service.under_way.total()
            return run

        return driven(main)

    return run
