"""Ledgers in PostgreSQL: each job has its tables in a schema of its own, and shares the database with the others.

A job is locked by its connection: the lock is gone when that is, as when its process or its machine is.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, suppress
from importlib.resources import files
from typing import Any, cast

import psycopg
from psycopg.rows import TupleRow
from psycopg.sql import SQL

from batch_alias.errors import ExitCode, LedgerError
from batch_alias.ledger.database import (
    CONNECT,
    PATIENCE,
    RETRY,
    SHARED,
    Database,
    options,
    schema_of,
    translated,
    unusable,
)
from batch_alias.ledger.file import FORMAT
from batch_alias.ledger.reader import LedgerReader
from batch_alias.ledger.recorder import Recorder
from batch_alias.ledger.records import WorkerRecord
from batch_alias.ledger.writer import Ledger
from batch_alias.model import Event, Outcome, Second
from batch_alias.text import N_, listing

LOCK = "batch-alias"
FETCHED = 2000
"""Rows that are fetched at once of a long answer."""
Connection = psycopg.Connection[TupleRow]


def connect(url: str, *, schemas: str = SHARED) -> Connection:
    """Connect to a database with the tables of batch-alias.

    Raises:
        LedgerError: It cannot be reached, has no such tables, or those of another version.
    """
    try:
        with translated():
            connection = psycopg.connect(url, autocommit=True, connect_timeout=CONNECT, options=options(schemas))
    except psycopg.ProgrammingError as error:  # it cannot be parsed
        raise unusable(error) from error
    try:
        _check_format(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_format(connection: Connection) -> None:
    found = None
    with translated(), suppress(psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        found = connection.execute(f"SELECT version FROM {SHARED}.format").fetchone()
    if found is None:
        advice = N_("Make them with: batch-alias ledger init --ledger URL")
        raise LedgerError("The database has no tables of batch-alias.", advice)
    if found[0] != FORMAT:
        problem = N_("The tables in the database are of format {version}; this version of batch-alias uses {format}.")
        advice = N_("Finish its jobs with the version that made them, and use another database.")
        raise LedgerError(problem, advice, version=found[0], format=FORMAT)


def initialize(url: str, more: str) -> bool:
    """Make the tables that jobs share, and those of a script; return whether they were missing.

    Raises:
        LedgerError: The database cannot be used, or has tables of another version.
    """
    with (
        translated(),
        psycopg.connect(url, connect_timeout=CONNECT) as connection,
    ):
        found = connection.execute("SELECT to_regclass(%s)", (f"{SHARED}.format",)).fetchone()
        if found is not None and found[0] is not None:
            _check_format(connection)
            return False
        script = files("batch_alias.ledger").joinpath("postgres.sql").read_text(encoding="utf-8")
        connection.execute(constant(script + more))
        connection.execute("INSERT INTO format VALUES (%s)", (FORMAT,))
    return True


def jobs(url: str) -> list[str]:
    """The names of the jobs in a database, in the order in which they were staged."""
    with translated(), connect(url) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM jobs ORDER BY id")]


def find(connection: Connection, name: str) -> int | None:
    """The number of the job with a name; ``None`` if there is none."""
    with translated():
        found = connection.execute("SELECT id FROM jobs WHERE name = %s", (name,)).fetchone()
    return None if found is None else int(found[0])


class PostgresReader(LedgerReader):
    """The ledger of a job in a database, to read from.

    Raises:
        LedgerError: There is no such job, or see ``connect``.
    """

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self.database = self.url = url
        self.name = name
        self._db = connect(url)
        try:
            self.job = self._find()
            self._enter_schema()
        except BaseException:
            self._db.close()
            raise

    def _find(self) -> int:
        job = find(self._db, self.name)
        if job is None:
            known = [each for (each,) in self._db.execute("SELECT name FROM jobs ORDER BY name")]
            advice = N_("Those in it are: {known}.") if known else N_("There is none in it yet.")
            raise LedgerError(
                "There is no job {name} in the database.", advice, name=self.name, known=listing(known, 10)
            )
        return job

    def _enter_schema(self) -> None:
        self._db.execute("SELECT set_config('search_path', %s, false)", (f"{schema_of(self.job)}, {SHARED}",))

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
        with translated(), self._db.cursor(f"rows_{time.monotonic_ns()}", withhold=True) as cursor:
            cursor.itersize = FETCHED
            cursor.execute(_placed(query), values)
            yield from cursor

    def _execute(self, query: str, values: Sequence[object] = ()) -> psycopg.Cursor[TupleRow]:
        """Carry out a command, again if the connection was lost since the last one."""
        since = time.monotonic()
        while True:
            try:
                with translated():
                    return self._db.execute(_placed(query), values)
            except LedgerError:
                if not self._db.closed or time.monotonic() - since > PATIENCE:
                    raise
            time.sleep(RETRY)
            with suppress(LedgerError):
                self._db = connect(self.database)
                self._enter_schema()


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

    def _enter_schema(self) -> None:
        super()._enter_schema()
        lock(self._db, self.job, self.name)

    def end_abandoned(self, run: int) -> None:
        """Record the end of a run whose process has died, now that others have sent its rows."""
        record = self.runs()[run - 1]
        if record.ended_at is None:
            self._run = run
            is_done = self.all_done(verify=bool(record.settings.get("verify")))
            self.end_run(exit_code=ExitCode.DONE if is_done else ExitCode.NOT_ALL_ACCEPTED, host_switches=0)

    def recording(self) -> AbstractAsyncContextManager[object]:
        """A block in which outcomes are recorded; at its end they are in the ledger."""
        self._recorder = Recorder(Database(self.database, schemas=f"{schema_of(self.job)},{SHARED}"), run=self._run)
        return self._recorder.recording()

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
        with translated(), self._db.transaction():
            self._db.execute(constant(script))

    def _transaction(self) -> AbstractContextManager[object]:
        return self._translated_transaction()

    @contextmanager
    def _translated_transaction(self) -> Iterator[None]:
        with translated(), self._db.transaction():
            yield


def lock(connection: Connection, job: int, name: str) -> None:
    """Lock a job for as long as a connection lasts. Raises ``LedgerError`` if another process has locked it."""
    with translated():
        found = connection.execute("SELECT pg_try_advisory_lock(hashtext(%s), %s)", (LOCK, job)).fetchone()
    if found is None or not found[0]:
        advice = N_("Wait until it has ended; to help with it, use: batch-alias work")
        raise LedgerError("The job {name} is locked by another run.", advice, name=name)


def _placed(query: str) -> SQL:
    return constant(query.replace("?", "%s"))


def constant(query: str) -> SQL:
    """SQL of this package, in which no value is ever a part."""
    return SQL(cast("Any", query))
