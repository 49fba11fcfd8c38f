"""What a worker needs to send blocks of one run of a job: its settings, connections, pipeline and records."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields

from batch_alias.errors import LedgerError
from batch_alias.ledger import ADDRESS, STAYS_ON
from batch_alias.ledger.blocks import FENCED, Blocks, Claim
from batch_alias.ledger.database import SHARED, Database, schema_of
from batch_alias.ledger.postgres import PostgresReader
from batch_alias.ledger.recorder import Recorder
from batch_alias.model import EventKind, Second, State
from batch_alias.sending import Observer, Service, Timing
from batch_alias.sending.comparison import Steps
from batch_alias.sending.metrics import Progress
from batch_alias.sending.pipeline import Pipeline
from batch_alias.settings import Sending
from batch_alias.text import from_json
from batch_alias.workers.held import HeldRows
from batch_alias.workers.shared_quota import SharedQuota

READ_BACK = 0.2
"""Seconds between two looks whether rows have been read back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a worker must know of a run of a job to send rows of it."""

    job: int
    run: int
    name: str
    app_key: str  # the hash of the App Key, whose quota is shared
    sending: Sending
    steps: Steps
    proven: bool  # whether the job has had a row accepted
    address: Mapping[str, object]  # how its target is reached: Target.address
    offset: float  # seconds by which the database's clock is ahead of this machine's, which may be wrong


def assignment(url: str, name: str, *, run: int, app_key: str) -> Assignment:
    """Read from its ledger what a worker must know of a run. Raises ``LedgerError`` if it cannot be read."""
    with PostgresReader(url, name) as ledger:
        noted = ledger.runs()[run - 1].settings
        known = {field.name for field in fields(Sending)} - {"limit"}
        compare, only_absent = (ledger.meta(fact) is not None for fact in STAYS_ON)
        return Assignment(
            job=ledger.job,
            run=run,
            name=name,
            app_key=app_key,
            sending=Sending(**{name: noted[name] for name in known}),  # type: ignore[arg-type] # as it was noted
            steps=Steps(compare=compare, only_absent=only_absent, verify=bool(noted.get("verify"))),
            proven=ledger.counts().accepted > 0,
            address=from_json(ledger.meta(ADDRESS) or "{}"),
            offset=ledger.now() - time.time(),
        )


class Session:
    """Sends the blocks of one run of a job that this worker holds.

    Args:
        url: The database.
        assigned: The run.
        service: Executes operations on its target.
        observer: Called with each event.
    """

    def __init__(self, url: str, assigned: Assignment, *, service: Service, timing: Timing, observer: Observer) -> None:
        self._schemas = f"{schema_of(assigned.job)},{SHARED}"
        self._url = url
        self._assigned = assigned
        self._databases: list[Database] = []
        self.blocks = Blocks(self._database(), assigned.job)
        self._recorder = Recorder(self._database(), run=assigned.run)
        self._rows = HeldRows(self._recorder, self._count)
        self._quota = SharedQuota(
            url,
            assigned.app_key,
            assigned.sending.rate,
            fence=lambda: (assigned.job, self._rows.epochs),
            lost=self._rows.lose,
            emit=self.emit,
        )
        self._pipeline = Pipeline(
            assigned.steps,
            ledger=self._rows,
            service=service,
            limiter=self._quota.limiter,
            sending=assigned.sending,
            timing=timing,
            observer=observer,
            proven=assigned.proven,
            wall=lambda: time.time() + assigned.offset,
        )
        self._sending: asyncio.Task[None] | None = None
        self._users = 0
        self._idle_since = time.monotonic()
        self._requests = self._accepted = 0  # that the ledger has not been told of

    def _database(self) -> Database:
        self._databases.append(Database(self._url, schemas=self._schemas))
        return self._databases[-1]

    @property
    def in_use(self) -> bool:
        """Whether a block of it is being sent."""
        return self._users > 0

    @property
    def idle_for(self) -> float:
        """Seconds since it was in use."""
        return 0.0 if self.in_use else time.monotonic() - self._idle_since

    @property
    def has_ended(self) -> bool:
        """Whether it sends no more blocks."""
        return self._sending is not None and self._sending.done()

    def acquire(self) -> None:
        """Note that a block of it is being sent."""
        self._users += 1

    def release(self) -> None:
        """Note that one is not any more."""
        self._users -= 1
        self._idle_since = time.monotonic()

    def start(self, failed: Callable[[BaseException], None]) -> None:
        """Begin to send what is claimed; ``failed`` is called with the error that ends that, if one does."""

        def ended(task: asyncio.Task[None]) -> None:
            self._rows.lose_all()
            if not task.cancelled() and (error := task.exception()) is not None:
                failed(error)

        self._sending = asyncio.create_task(self._run())
        self._sending.add_done_callback(ended)

    async def _run(self) -> None:
        async with self._quota, self._recorder.recording():
            await self._pipeline.run()

    async def send(self, block: int, *, task: int, attempt: int, worker: str) -> bool:
        """Send a block for an attempt of a task; return whether that task is done with it."""
        compares = self._assigned.steps.compare
        claim = await self.blocks.claim(block, task=task, attempt=attempt, worker=worker, mark=compares)
        if claim is None:
            return True
        if claim.unseen is not None:
            # Requests that the worker before has begun end within the timeout.
            await self._wait(max(FENCED, self._assigned.sending.timeout + FENCED - claim.unseen))
        complete = not self.has_ended and await self._hold(claim)
        if complete:
            numbers = {row.number for row in claim.rows}
            while not self.has_ended and not self._pipeline.reading.isdisjoint(numbers):  # rows are read back
                await self._wait(READ_BACK)
            await self._pipeline.store_metrics()  # who began the run may write the reports now
            await self._recorder.flush()
            await self.blocks.close(block, claim.epoch)
            return True
        if self.has_ended:
            # Sending that was cancelled or failed may have left rows that were sent without an outcome.
            is_clean = self._sending is not None and not self._sending.cancelled() and not self._sending.exception()
            unsent = [row.number for row in claim.rows if is_clean and not row.in_doubt]
            await self.blocks.give_back(block, claim.epoch, unsent=unsent)
        return not await self.blocks.is_to_be_taken_again(block, task=task, attempt=attempt)

    async def _wait(self, seconds: float) -> None:
        """Wait, or until it ends."""
        if self._sending is not None:
            await asyncio.wait([self._sending], timeout=seconds)

    def _hold(self, claim: Claim) -> asyncio.Future[bool]:
        done = self._rows.add(claim)
        self._pipeline.wake()
        return done

    def stop(self) -> None:
        """Start no new attempts; those under way may end."""
        self._pipeline.stop()

    async def close(self, worker: str) -> None:
        """Wait until what was begun has ended, and note what the worker has done."""
        self._pipeline.stop()  # it has no rows any more; in an outage it would wait for some to try
        if self._sending is not None:
            await asyncio.wait([self._sending])
        with suppress(LedgerError):
            await self.give_sign_of_life(worker)
        for database in self._databases:
            await database.close()

    def abort(self) -> None:
        """Cancel the attempts under way, and do not wait for a database that is away."""
        self._pipeline.stop()
        for database in self._databases:
            database.give_up()
        if self._sending is not None:
            self._sending.cancel()

    async def give_sign_of_life(self, worker: str) -> None:
        """Note that the worker works on the job, and what it has done for it since the last call."""
        requests, accepted, self._requests, self._accepted = self._requests, self._accepted, 0, 0
        await self.blocks.seen(worker, requests=requests, accepted=accepted)

    @property
    def outage(self) -> float:
        """Seconds since the service failed for this process, 0 while it works."""
        return self.progress().outage or 0.0

    def progress(self) -> Progress:
        """Where it stands. May be called from another thread."""
        return self._pipeline.progress()

    def emit(self, kind: EventKind, **values: str | float) -> None:
        """Note an event of the run."""
        self._pipeline.emit(kind, **values)

    def _count(self, seconds: Sequence[Second]) -> None:
        self._requests += sum(second.requests for second in seconds)
        self._accepted += sum(second.settled[State.ACCEPTED] for second in seconds)
