"""The file itself: how it is open_job, how it is known to be ours, and what its errors mean."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batch_alias.errors import LedgerError

LEDGER = "ledger.sqlite"
SCHEMA_VERSION = 1
APPLICATION_ID = 0x62614C67
"""Tells our file from any other SQLite file."""
AGAIN = "Mend that and run the same command again."


def connect(path: Path, *, mode: str) -> sqlite3.Connection:
    """Open a ledger, ``ro`` or ``rw``, after making sure that it is one and whole.

    Raises:
        LedgerError: It is missing, damaged, of another format, or not a ledger.
    """
    if not path.is_file():
        raise LedgerError(f"There is no ledger in {path.parent}.", "Give the folder of a job that has been run.")
    with translated(path):
        # Staged by one thread, sent by another, never by two at once.
        db = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            _check_identity(db, path)
        except BaseException:
            db.close()
            raise
    return db


def _check_identity(db: sqlite3.Connection, path: Path) -> None:
    def value(query: str) -> object:
        return db.execute(query).fetchone()[0]

    if value("PRAGMA application_id") != APPLICATION_ID:
        raise LedgerError(f"{path} is not a ledger of batch-alias.", "It was left as it is; use another --job.")
    version = value("PRAGMA user_version")
    if version != SCHEMA_VERSION:
        raise LedgerError(
            f"{path} has format {version}; this version of batch-alias knows format {SCHEMA_VERSION}.",
            "Finish the job with the version that began it, or use another --job.",
        )
    if (finding := value("PRAGMA quick_check(1)")) != "ok":
        raise _damaged(path, finding)


def _damaged(path: Path, finding: object) -> LedgerError:
    return LedgerError(
        f"The ledger {path} is damaged: {finding}.",
        "It was left as it is. Restore it from a copy, or begin again with another --job.",
    )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into a ``LedgerError``."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise _damaged(path, error) from error
        raise LedgerError(f"The ledger {path} cannot be used: {error}.", AGAIN) from error
    except OSError as error:
        raise LedgerError(f"The ledger {path} cannot be used: {error.strerror or error}.", AGAIN) from error
