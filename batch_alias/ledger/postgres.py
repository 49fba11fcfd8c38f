"""Ledgers in PostgreSQL: each job has its tables in a schema of its own, and shares the database with the others.

A job is locked by its connection: the lock is gone when that is, as when its process or its machine is.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg.rows import TupleRow
from psycopg.sql import SQL

from batch_alias.errors import ExitCode, LedgerError
from batch_alias.ledger.database import (
    PATIENCE,
    RETRY,
    SHARED,
    Database,
    schema_of,
    translated,
)
from batch_alias.ledger.reader import LedgerReader
from batch_alias.ledger.recorder import Recorder
from batch_alias.ledger.records import WorkerRecord
from batch_alias.ledger.tables import LOCK, Connection, connect, constant, find, jobs, lock
from batch_alias.ledger.writer import Ledger
from batch_alias.model import Event, Outcome, Second
from batch_alias.text import N_, listing

__all__ = ["PostgresLedger", "PostgresReader", "jobs"]

T = TypeVar("T")

FETCHED = 2000
"""Rows that are fetched at once of a long answer."""


class PostgresReader(LedgerReader):
    """The ledger of a job in a database, to read from.

    Raises:
        LedgerError: There is no such job, or see ``connect``.
    """

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self._in_transaction = False
        self._patience = PATIENCE  # seconds to wait for a database that is away
        self.database = self.url = url
        self.name = name
        self._db = connect(url)
        try:
            self.job = self._find()
            self._enter(self._db)
        except BaseException:
            self._db.close()
            raise

    def _find(self) -> int:
        job = find(self._db, self.name)
        if job is None:
            with translated():
                known = [each for (each,) in self._db.execute("SELECT name FROM jobs ORDER BY name")]
            advice = N_("Those in it are: {known}.") if known else N_("There is none in it yet.")
            raise LedgerError(
                "There is no job {name} in the database.", advice, name=self.name, known=listing(known, 10)
            )
        return job

    def _enter(self, connection: Connection) -> None:
        """Let a connection find the tables of the job."""
        with translated():
            connection.execute("SELECT set_config('search_path', %s, false)", (f"{schema_of(self.job)}, {SHARED}",))

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def damaged(self, problem: object) -> LedgerError:
        """The error for a ledger in which something is as it cannot be."""
        advice = N_("Restore the database from a copy, or start again with another --job.")
        return LedgerError(
            "The ledger of the job {name} is damaged: {problem}.", advice, name=self.name, problem=problem
        )

    def workers(self) -> list[WorkerRecord]:
        """The processes that have sent rows together."""
        query = (
            "SELECT name, started_at, seen_at, requests, accepted FROM workers WHERE job = ? ORDER BY started_at, name"
        )
        names = ("name", "started_at", "seen_at", "requests", "accepted")
        return [WorkerRecord(**dict(zip(names, found, strict=True))) for found in self._query(query, (self.job,))]

    def now(self) -> float:
        """The time by the clock of the database, in seconds since the epoch."""
        [(now,)] = self._query("SELECT extract(epoch FROM clock_timestamp())::float8")
        return float(now)

    def is_run(self) -> bool:
        """Whether a process has locked the job."""
        return any(
            self._query(
                "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
                " AND classid = hashtext(?)::bigint & 4294967295 AND objid = ?"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                (LOCK, self.job),
            )
        )

    def _query(self, query: str, values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        yield from self._execute(query, values).fetchall()

    def _stream(self, query: str, values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        def begin() -> psycopg.ServerCursor[TupleRow]:
            cursor = self._db.cursor(f"rows_{time.monotonic_ns()}", withhold=True)
            cursor.itersize = FETCHED
            try:
                return cursor.execute(_placed(query), values)
            except BaseException:
                cursor.close()
                raise

        with translated(), self._reconnecting(begin) as cursor:
            yield from cursor

    def _execute(self, query: str, values: Sequence[object] = ()) -> psycopg.Cursor[TupleRow]:
        return self._reconnecting(lambda: self._db.execute(_placed(query), values))

    def _reconnecting(self, act: Callable[[], T]) -> T:
        """Do something, again if the connection was lost since the last time, and not in a transaction."""
        since = time.monotonic()
        while True:
            try:
                with translated():
                    return act()
            except LedgerError:
                if not self._db.closed or self._in_transaction or time.monotonic() - since >= self._patience:
                    raise
            time.sleep(RETRY)
            with suppress(LedgerError):
                connection = connect(self.database)
                try:
                    self._enter(connection)
                except BaseException:
                    connection.close()
                    raise
                self._db = connection


class PostgresLedger(PostgresReader, Ledger):
    """The ledger of a job in a database, to write to.

    What happens to rows is kept by a ``Recorder`` while ``recording``. It does not note which row is about to be sent:
    the rows of a block are marked when it is claimed.

    Raises:
        LedgerError: Another process has locked it.
    """

    def __init__(self, url: str, name: str) -> None:
        super().__init__(url, name)
        self._recorder: Recorder | None = None

    def _enter(self, connection: Connection) -> None:
        """Lock the job too: a connection without the lock is not used."""
        super()._enter(connection)
        lock(connection, self.job, self.name)

    def close(self) -> None:
        """Unlock the job, and close the connection: in the database that ends a little later."""
        with suppress(psycopg.Error):
            self._db.execute("SELECT pg_advisory_unlock_all()")
        super().close()

    def end_abandoned(self, run: int) -> None:
        """Record the end of a run whose process has died, now that others have sent its rows."""
        record = self.runs()[run - 1]
        if record.ended_at is None:
            self._run = run
            is_done = self.all_done(verify=bool(record.settings.get("verify")))
            self.end_run(exit_code=ExitCode.DONE if is_done else ExitCode.NOT_ALL_ACCEPTED, host_switches=0)

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        """A block in which outcomes are recorded; at its end they are in the ledger."""
        self._recorder = Recorder(Database(self.database, schemas=f"{schema_of(self.job)},{SHARED}"), run=self._run)
        try:
            async with self._recorder.recording():
                yield
        except asyncio.CancelledError:
            self._patience = 0.0
            raise

    def record(self, outcome: Outcome) -> None:
        """Record a row's outcome. Synchronous: nothing may be awaited between a response and this."""
        self._required_recorder.record(outcome)

    def record_started(self, row: int) -> None:
        """Nothing; see the class."""

    def record_before(self, row: int, alias: str) -> None:
        """Record the alias that a row is about to replace; the first one that was read stays."""
        self._required_recorder.record_before(row, alias)

    def record_unreadable(self, row: int, message: str) -> None:
        """Record why the alias of a row that was not sent could not be read."""
        self._required_recorder.record_unreadable(row, message)

    def record_found(self, row: int, alias: str, at: float) -> None:
        """Record the alias that was read back at a time, in seconds since the epoch."""
        self._required_recorder.record_found(row, alias, at)

    async def record_metrics(self, seconds: Sequence[Second], events: Sequence[Event], *, busiest: int) -> None:
        """Record what happened since the last call, and the most attempts in a sliding second of the run so far."""
        self._required_recorder.record_metrics(seconds, events, busiest=busiest)

    @property
    def _required_recorder(self) -> Recorder:
        if self._recorder is None:
            raise RuntimeError("nothing is recorded outside of a block")
        return self._recorder

    def _write(self, query: str, values: Sequence[object] = ()) -> None:
        self._execute(query, values)

    def _write_many(self, query: str, values: Iterable[Sequence[object]]) -> None:
        with translated(), self._db.cursor() as cursor:
            cursor.executemany(_placed(query), values)

    def _script(self, script: str) -> None:
        with self._transaction():
            self._db.execute(constant(script))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        # After a connection was lost, the rest of a transaction must not be done without what was done before.
        self._in_transaction = True
        try:
            with translated(), self._db.transaction():
                yield
        finally:
            self._in_transaction = False


def _placed(query: str) -> SQL:
    return constant(query.replace("?", "%s"))
