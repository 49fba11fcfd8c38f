"""Sending a job's rows together with other workers: what ``run``, ``retry`` and ``undo`` do with PostgreSQL."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from batch_alias.errors import LedgerError
from batch_alias.ledger.blocks import FENCED, BlockOfRun, Blocks
from batch_alias.ledger.database import Connection, Database
from batch_alias.model import EventKind, State, StateCounts
from batch_alias.sending.metrics import Progress
from batch_alias.workers.queue import queue_blocks
from batch_alias.workers.worker import Worker

POLL = 0.5
"""Least seconds between two looks at what all workers have done,"""
MOST_POLL = 5.0
"""and most: a look at many rows takes long, or the database is away."""


class SharedRun:
    """A run of a job: its rows are parted into blocks, which this process and all others that help send.

    Args:
        run: The number of the run, once it has begun.
        counts: The rows in each state when it begins.
        queue: The queue of the app.
        sends_failed: Whether failed rows are sent again as well.
        limit: Most rows that are sent.
    """

    def __init__(
        self,
        database: Database,
        worker: Worker,
        *,
        job: int,
        run: Callable[[], int],
        name: str,
        queue: str,
        counts: StateCounts,
        sends_failed: bool,
        limit: int | None,
    ) -> None:
        self._worker = worker
        self._database = database
        self._blocks = Blocks(database, job)
        self._run = run
        self._name = name
        self._queue = queue
        self._sends_failed = sends_failed
        self._limit = limit
        self._begun = self._now = counts
        self._done: deque[tuple[float, int]] = deque()  # readings of the clock, and rows done until then
        self._taken = 0.0  # seconds to count the rows
        self._was_asked = False

    @property
    def was_stopped(self) -> bool:
        """Whether it was asked to stop."""
        return self._was_asked

    def stop(self) -> None:
        """Start no new attempts, here and elsewhere; ``run`` returns when those under way here have ended."""
        self._was_asked = True
        self._worker.stop()

    def emit(self, kind: EventKind, **values: str | float) -> None:
        """Note an event of the run, if any of it is under way here."""
        for session in self._worker.sessions.values():
            session.emit(kind, **values)

    def progress(self) -> Progress:
        """Where the run stands: rows of all workers, requests and outages of this one.

        May be called from another thread.
        """
        states = {state: getattr(self._now, state) - getattr(self._begun, state) for state in State}
        sessions = [session.progress() for session in tuple(self._worker.sessions.values())]
        outages = [session.outage for session in sessions if session.outage is not None]
        seen = tuple(self._done)
        rate = (seen[-1][1] - seen[0][1]) / max(seen[-1][0] - seen[0][0], POLL) if seen else 0.0
        return Progress(
            done=_ended(self._now) - _ended(self._begun),
            states={state: max(rows, 0) for state, rows in states.items() if state is not State.PENDING},
            recent_rate=round(rate),
            in_flight=sum(session.in_flight for session in sessions),
            outage=max(outages, default=None),
            on_hold=any(session.on_hold for session in sessions),
        )

    async def run(self) -> None:
        """Send all rows, or until the run is stopped.

        Raises:
            StoppedByService: Further requests would be refused as well, or the patience is used up.
            LedgerError: The database cannot be used.
        """
        working = asyncio.create_task(self._worker.run())
        ignored: list[type[LedgerError]] = []
        try:
            await self._blocks.create(
                self._run(), self._name, self._enqueue, sends_failed=self._sends_failed, limit=self._limit
            )
            while await self._blocks.left(self._run()) and not working.done():
                await asyncio.wait([working], timeout=min(max(POLL, 20 * self._taken), MOST_POLL))
                await self._note()
        except asyncio.CancelledError:
            self._database.give_up()
            self._worker.abort()
            ignored.append(LedgerError)
            raise
        finally:
            self._worker.stop()
            await asyncio.wait([working])
            with suppress(*ignored):
                if working.cancelled() or not isinstance(working.exception(), LedgerError):
                    # There are some only where it was stopped. What others have in flight may still end.
                    if await self._blocks.withdraw(self._run()):
                        await asyncio.sleep(FENCED)
                    await self._note()
            await self._database.close()
        working.result()

    async def _enqueue(self, connection: Connection, blocks: Sequence[BlockOfRun], wait: float) -> None:
        await queue_blocks(self._worker.app, connection, self._queue, blocks, wait=wait)

    async def _note(self) -> None:
        asked = time.monotonic()
        self._now = await self._blocks.counts()
        now = time.monotonic()
        self._taken = now - asked
        self._done.append((now, _ended(self._now)))
        while now - self._done[0][0] > 2:
            self._done.popleft()


def _ended(counts: StateCounts) -> int:
    return counts.rows - counts.unfinished
