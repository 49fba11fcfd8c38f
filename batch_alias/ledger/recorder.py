"""Recording what happens to the rows of a job in PostgreSQL: at once for who records it, and written in batches."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import groupby
from operator import itemgetter

from psycopg.sql import SQL

from batch_alias.errors import LedgerError
from batch_alias.ledger.database import Connection, Database
from batch_alias.ledger.writer import (
    RECORD,
    RECORD_BEFORE,
    RECORD_BUSIEST,
    RECORD_EVENT,
    RECORD_FOUND,
    RECORD_SECOND,
    RECORD_UNREADABLE,
    event_values,
    second_values,
    values_of,
)
from batch_alias.model import Event, Outcome, Second, State
from batch_alias.text import pack

BATCH = 0.05
"""Most seconds until what was recorded is written."""
MOST = 1000
"""Outcomes in a transaction."""
# The state is that of the row as it is now, also where another transaction has just changed it; the epoch need not be.
_RECORD_HELD = (
    f"{RECORD} AND state NOT IN ('accepted', 'superseded') AND EXISTS (SELECT 1 FROM blocks WHERE id = ? AND epoch = ?)"
)
# Changes nothing where the batch is written. The number of a transaction would not do: after a crash of the database it
# may be that of another one.
_NOTE = (
    "INSERT INTO recorders (id, batch) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET batch = excluded.batch"
    " WHERE recorders.batch < excluded.batch"
)


class Recorder:
    """Writes what happens to the rows of a job.

    That a row was accepted is a fact, whoever reports it. Anything else counts only from who holds the row's block.

    Args:
        database: A connection of its own, to the tables of the job.
        run: The number of the run that the metrics belong to.
    """

    def __init__(self, database: Database, *, run: int) -> None:
        self.run = run
        self._database = database
        self._id = secrets.token_hex(16)
        self._batches = 0  # of which the last one may be about to be written
        self._waiting: list[tuple[str, Sequence[object]]] = []
        self._has_some = asyncio.Event()
        self._writing = asyncio.Lock()
        self._error: LedgerError | None = None

    def record(self, outcome: Outcome, *, held: tuple[int, int] | None = None) -> None:
        """Record a row's outcome; ``held`` are the block and the epoch under which the row was given."""
        values = values_of(outcome)
        if held is None or outcome.state is State.ACCEPTED:
            self._add(RECORD, values)
        else:
            self._add(_RECORD_HELD, (*values, *held))

    def record_before(self, row: int, alias: str) -> None:
        """Record the alias that a row is about to replace; the first one that was read stays."""
        self._add(RECORD_BEFORE, (alias, row))

    def record_unreadable(self, row: int, message: str) -> None:
        """Record why the alias of a row that was not sent could not be read."""
        self._add(RECORD_UNREADABLE, (pack(message), row))

    def record_found(self, row: int, alias: str, at: float) -> None:
        """Record the alias that was read back at a time, in seconds since the epoch."""
        self._add(RECORD_FOUND, (alias, at, row))

    def record_metrics(self, seconds: Sequence[Second], events: Sequence[Event], *, busiest: int) -> None:
        """Record what happened since the last call, and the most attempts in a sliding second of the run so far."""
        for second in seconds:
            self._add(RECORD_SECOND, second_values(self.run, second))
        for event in events:
            self._add(RECORD_EVENT, event_values(self.run, event))
        self._add(RECORD_BUSIEST, (busiest, self.run, busiest))

    def _add(self, command: str, values: Sequence[object]) -> None:
        if self._error is not None:
            raise self._error
        self._waiting.append((command, values))
        self._has_some.set()

    async def flush(self) -> None:
        """Write what was recorded. Raises ``LedgerError`` if the database was away for too long."""
        async with self._writing:
            while self._waiting:
                batch = self._waiting[:MOST]
                self._batches += 1
                await self._database.transaction(partial(self._write, batch))
                del self._waiting[: len(batch)]

    async def _write(self, batch: Sequence[tuple[str, Sequence[object]]], connection: Connection) -> None:
        if not (await connection.execute(_NOTE, (self._id, self._batches))).rowcount:
            return  # the connection was lost after it was written
        cursor = connection.cursor()
        for command, entries in groupby(batch, key=itemgetter(0)):
            await cursor.executemany(SQL(command.replace("?", "%s")), [values for _, values in entries])

    async def _forget(self, connection: Connection) -> None:
        await connection.execute("DELETE FROM recorders WHERE id = %s", (self._id,))

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        """A block in which what is recorded is written soon, and at its end at once.

        If the block is cancelled and the database is away, what is not written is lost: rows that were sent are sent
        again.
        """
        writing = asyncio.create_task(self._write_often())
        ignored: list[type[LedgerError]] = []
        try:
            yield
        except asyncio.CancelledError:
            self._database.give_up()
            ignored.append(LedgerError)
            raise
        finally:
            async with self._writing:  # cancelled in a batch, it would not know whether that was written
                writing.cancel()
            await asyncio.wait([writing])
            try:
                with suppress(*ignored):
                    await self.flush()
                    await self._database.transaction(self._forget)
            finally:
                await self._database.close()

    async def _write_often(self) -> None:
        while True:
            await self._has_some.wait()
            self._has_some.clear()
            await asyncio.sleep(BATCH)
            try:
                await self.flush()
            except LedgerError as error:
                self._error = error
                return
