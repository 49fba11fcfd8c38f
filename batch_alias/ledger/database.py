"""Connections to PostgreSQL: where tables are found, what errors mean, and one that is made anew when it is lost."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from batch_alias.errors import LedgerError
from batch_alias.text import N_

T = TypeVar("T")
Connection = psycopg.AsyncConnection[TupleRow]

SHARED = "batch_alias"
"""The schema of PostgreSQL with what the jobs in a database share."""
PATIENCE = 600.0
"""Seconds to wait for a database that is away."""
RETRY = 0.5
"""Seconds between two attempts to connect."""
CONNECT = 5
"""Whole seconds that one attempt may take."""
ONCE = 1.0
"""Seconds that work may take which is easily done again."""
ANSWER = 10.0
"""Seconds without an answer after which a connection is given up: the way to the database may be cut without a sign."""
CANCEL = 0.2
"""Seconds to wait until a query that is given up is cancelled."""

LOST = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    OSError,  # TimeoutError is one
)
"""Errors of a connection that is to be made anew."""
REFUSALS = (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable)
"""Errors that are not in the query: the user lacks a permission; the job was deleted, or a temporary table is gone with
the connection that had it.
"""


def schema_of(job: int) -> str:
    """The schema with the tables of a job."""
    return f"batch_alias_job_{job}"


def conninfo(url: str, schemas: str) -> str:
    """The parameters of a connection that finds tables in some schemas. Raises ``psycopg.ProgrammingError``.

    A process that stands still in a transaction, or is cut off in one, must not hold its locks for long. After 20 to 25
    seconds without a sign of the server the connection is lost.
    """
    return make_conninfo(
        url,
        connect_timeout=CONNECT,
        client_encoding="utf-8",
        options=f"-c search_path={schemas} -c idle_in_transaction_session_timeout={ANSWER:.0f}s",
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=20_000,
    )


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the database and the way to it raise as a ``LedgerError``."""
    try:
        yield
    except REFUSALS as error:
        raise unusable(error) from error
    except psycopg.ProgrammingError:  # a defect of batch-alias
        raise
    except (psycopg.Error, OSError) as error:
        raise unusable(error) from error


class Database:
    """One connection, used by one task at a time. What is done over it may be done twice, so it must bear that.

    Args:
        url: Where the database is.
        schemas: The search path.
        patience: Seconds to wait for the database when it is away; then ``LedgerError`` is raised.
    """

    def __init__(self, url: str, *, schemas: str = SHARED, patience: float = PATIENCE) -> None:
        self.url = url
        self._schemas = schemas
        self._patience = patience
        self._connection: Connection | None = None
        self._away_since: float | None = None  # until it has been used again: the patience is used up once
        self._lock = asyncio.Lock()

    def give_up(self) -> None:
        """Do not wait any more if the database is away."""
        self._patience = 0.0

    async def close(self) -> None:
        """Close the connection; it is made anew if it is needed again."""
        await self._drop()

    async def transaction(self, work: Callable[[Connection], Coroutine[None, None, T]], *, answer: float = ANSWER) -> T:
        """Do some work in a transaction, again from its beginning if the connection is lost on the way.

        Args:
            work: What is done over the connection.
            answer: Seconds that it may take.

        Raises:
            LedgerError: The database was away for too long, or refuses the work.
        """
        async with self._lock:
            while True:
                try:
                    done = await within(answer, self._in_transaction(work))
                except LOST as error:
                    await self._drop()
                    self._away_since = self._away_since or time.monotonic()
                    if time.monotonic() - self._away_since >= self._patience:
                        raise unusable(error) from error
                    await asyncio.sleep(RETRY)
                except psycopg.Error as error:
                    if isinstance(error, psycopg.ProgrammingError) and not isinstance(error, REFUSALS):
                        raise  # a defect of batch-alias
                    raise unusable(error) from error
                else:
                    self._away_since = None
                    return done

    async def once(self, work: Callable[[Connection], Coroutine[None, None, T]]) -> T:
        """Do some work, without a transaction, if the database is there. Raises what psycopg does, and ``OSError``."""
        async with self._lock:
            try:
                connection = await self._connected()
                return await within(ONCE, work(connection))
            except LOST:
                await self._drop()
                raise

    async def _in_transaction(self, work: Callable[[Connection], Coroutine[None, None, T]]) -> T:
        connection = await self._connected()
        async with connection.transaction():
            return await work(connection)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(conninfo(self.url, self._schemas), autocommit=True)
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()


async def within(seconds: float, work: Coroutine[None, None, T]) -> T:
    """Do some work, but give it up after so many seconds. Raises ``TimeoutError``.

    psycopg asks the server to cancel a query that is given up, and waits for the answer. It is not waited for long,
    since the server may have fallen silent; the connection must be closed then.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
        raise TimeoutError("it does not answer")
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL)
        if not task.cancelled():
            task.exception()  # or else asyncio complains that nobody has looked at it


def unusable(problem: Exception) -> LedgerError:
    """The error for a database that does not do what it is asked."""
    advice = N_("Check --ledger, and PGPASSWORD or ~/.pgpass; then run the same command again.")
    if isinstance(problem, psycopg.errors.InsufficientPrivilege):
        advice = N_("All use the database as one user, who may create schemas in it: GRANT CREATE ON DATABASE … TO …")
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    return LedgerError("The database cannot be used: {reason}.", advice, reason=lines[0].rstrip("."))
