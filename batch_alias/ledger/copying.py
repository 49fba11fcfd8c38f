"""Making a job in PostgreSQL from a ledger that was staged in SQLite."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

from psycopg.sql import SQL, Identifier

from batch_alias.errors import LedgerError
from batch_alias.ledger.create import KEEP_READ, KEPT_FACTS
from batch_alias.ledger.database import schema_of, translated
from batch_alias.ledger.file import LEDGER
from batch_alias.ledger.file import connect as connect_file
from batch_alias.ledger.records import STAYS_ON
from batch_alias.ledger.tables import Connection, connect, constant, find, lock
from batch_alias.text import N_

_COLUMNS = "number, user_id, group_id, remark, state, reason, message, warning, superseded_by, cells, expected"
_WAS_SENT = """
SELECT EXISTS (SELECT 1 FROM {old}.rows WHERE state IN ('accepted', 'failed', 'unknown'))
    OR EXISTS (SELECT 1 FROM {old}.runs WHERE command = 'run' AND ended_at IS NULL)
"""
_NUL, _SHOWN = "\0", "\N{SYMBOL FOR NULL}"


def copy_job(folder: Path, url: str, name: str, app_key: str) -> None:
    """Make a job of what was staged in a folder.

    A job of that name, of which no row was sent, is replaced; what was read for it is kept as by ``create``.

    Raises:
        LedgerError: The database cannot be used, or another process has locked the job that is to be replaced, or has
            sent rows of it.
    """
    with closing(connect_file(folder / LEDGER, writable=False)) as staged, translated(), connect(url) as connection:
        with connection.transaction():
            connection.execute("LOCK TABLE jobs IN SHARE ROW EXCLUSIVE MODE")
            old = find(connection, name)
            if old is not None:
                _lock_unsent(connection, old, name)
            job = _create(connection, name, app_key)
            _copy(connection, staged, "meta", "key, value")
            _copy(connection, staged, "rows", _COLUMNS)
            if old is not None:
                _keep_read(connection, Identifier(schema_of(old)))
                connection.execute(SQL("DROP SCHEMA {} CASCADE").format(Identifier(schema_of(old))))
        connection.execute(SQL("ANALYZE {}").format(Identifier(schema_of(job), "rows")))


def _lock_unsent(connection: Connection, job: int, name: str) -> None:
    """Lock a job until it is replaced. Raises ``LedgerError`` if rows of it were sent, or may have been."""
    lock(connection, job, name)
    found = connection.execute(SQL(_WAS_SENT).format(old=Identifier(schema_of(job)))).fetchone()
    if found is None or found[0]:
        problem = N_("Rows of the job {name} were sent by another process since its ledger was read.")
        raise LedgerError(problem, "Run the same command again.", name=name)


def _create(connection: Connection, name: str, app_key: str) -> int:
    connection.execute("DELETE FROM jobs WHERE name = %s", (name,))
    made = connection.execute("INSERT INTO jobs (name, app_key) VALUES (%s, %s) RETURNING id", (name, app_key))
    (job,) = made.fetchone() or (0,)
    connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(schema_of(job))))
    connection.execute(SQL("SET LOCAL search_path = {}").format(Identifier(schema_of(job))))
    connection.execute(constant(files("batch_alias.ledger").joinpath("schema.sql").read_text(encoding="utf-8")))
    return int(job)


def _keep_read(connection: Connection, old: Identifier) -> None:
    facts = SQL("SELECT key, value FROM {}.meta WHERE key = ANY(%s)").format(old)
    if connection.execute(facts, (list(STAYS_ON),)).fetchone():
        connection.execute(SQL("INSERT INTO meta {}").format(facts), (KEPT_FACTS,))
        connection.execute(SQL(KEEP_READ).format(old=old))


def _copy(connection: Connection, staged: sqlite3.Connection, table: str, columns: str) -> None:
    with connection.cursor().copy(constant(f"COPY {table} ({columns}) FROM STDIN")) as copy:
        for row in _storable(staged.execute(f"SELECT {columns} FROM {table}")):
            copy.write_row(row)


def _storable(rows: sqlite3.Cursor) -> Iterator[Sequence[Any]]:
    # PostgreSQL's text cannot hold a NUL. Only rejected rows have one.
    for row in rows:
        if any(isinstance(value, str) and _NUL in value for value in row):
            yield [value.replace(_NUL, _SHOWN) if isinstance(value, str) else value for value in row]
        else:
            yield row
