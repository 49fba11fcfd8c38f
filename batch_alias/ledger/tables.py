"""The tables of batch-alias in a database: made, recognised, and one job of theirs found and locked."""

import time
from contextlib import suppress
from importlib.resources import files
from typing import Any, cast

import psycopg
from psycopg.rows import TupleRow
from psycopg.sql import SQL

from batch_alias.errors import LedgerError
from batch_alias.ledger.database import SHARED, conninfo, translated, unusable
from batch_alias.ledger.file import FORMAT
from batch_alias.text import N_

LOCK = "batch-alias"
Connection = psycopg.Connection[TupleRow]


def connect(url: str, *, schemas: str = SHARED) -> Connection:
    """Connect to a database with the tables of batch-alias.

    Raises:
        LedgerError: It cannot be reached, has no such tables, or those of another version.
    """
    connection = _connect(url, schemas)
    try:
        _check_format(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(url: str, schemas: str) -> Connection:
    try:
        with translated():
            return psycopg.connect(conninfo(url, schemas), autocommit=True)
    except psycopg.ProgrammingError as error:  # it cannot be parsed
        raise unusable(error) from error


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
    with translated(), _connect(url, SHARED) as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (LOCK,))  # another process may do so too
        found = connection.execute("SELECT to_regclass(%s)", (f"{SHARED}.format",)).fetchone()
        if found is not None and found[0] is not None:
            _check_format(connection)
            return False
        _check_encoding(connection)
        script = files("batch_alias.ledger").joinpath("postgres.sql").read_text(encoding="utf-8")
        try:
            connection.execute(constant(script + more))
        except psycopg.errors.DuplicateSchema as error:  # somebody else's
            problem = N_("The database has a schema {schema} already, without the tables of batch-alias.")
            raise LedgerError(problem, "Drop that schema, or use another database.", schema=SHARED) from error
        connection.execute("INSERT INTO format VALUES (%s)", (FORMAT,))
    return True


def _check_encoding(connection: Connection) -> None:
    (encoding,) = connection.execute("SHOW server_encoding").fetchone() or ("",)
    if encoding != "UTF8":
        problem = N_("The database stores text as {encoding}, which does not have every character.")
        advice = N_("Make one with: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0")
        raise LedgerError(problem, advice, encoding=encoding)


def jobs(url: str) -> list[str]:
    """The names of the jobs in a database, in the order in which they were staged."""
    with translated(), connect(url) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM jobs ORDER BY id")]


def find(connection: Connection, name: str) -> int | None:
    """The number of the job with a name; ``None`` if there is none."""
    with translated():
        found = connection.execute("SELECT id FROM jobs WHERE name = %s", (name,)).fetchone()
    return None if found is None else int(found[0])


def lock(connection: Connection, job: int, name: str) -> None:
    """Lock a job for as long as a connection lasts. Raises ``LedgerError`` if another process has locked it."""
    for attempt in range(5):
        if attempt:
            time.sleep(0.2)  # a process that died just now is gone from the database in a moment
        with translated():
            found = connection.execute("SELECT pg_try_advisory_lock(hashtext(%s), %s)", (LOCK, job)).fetchone()
        if found is not None and found[0]:
            return
    advice = N_("Wait until it has ended; to help with it, use: batch-alias work")
    raise LedgerError("The job {name} is locked by another run.", advice, name=name)


def constant(query: str) -> SQL:
    """SQL of this package, in which no value is ever a part."""
    return SQL(cast("Any", query))
