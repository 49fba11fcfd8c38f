"""The SQLite file: how it is opened and recognised, and what its errors mean."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batch_alias.errors import LedgerError

LEDGER = "ledger.sqlite"
FORMAT = 2
APPLICATION_ID = 0x62614C67
"""Tells our file from any other SQLite file."""


def connect(path: Path, *, mode: str) -> sqlite3.Connection:
    """Open a ledger, ``ro`` or ``rw``, after making sure that it is one and undamaged.

    Raises:
        LedgerError: It is missing, damaged, of another format, or not a ledger.
    """
    if not path.is_file():
        raise LedgerError(
            "There is no ledger in {folder}.", "Pass the folder of a job that has been run.", folder=path.parent
        )
    with translated(path):
        # Staged by one thread, sent by another, never by two at once.
        db = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
        )
        db.row_factory = sqlite3.Row
        try:
            _check(db, path)
        except BaseException:
            db.close()
            raise
    return db


def _check(db: sqlite3.Connection, path: Path) -> None:
    def value(pragma: str) -> object:
        return db.execute(f"PRAGMA {pragma}").fetchone()[0]

    if value("application_id") != APPLICATION_ID:
        raise LedgerError(
            "{path} is not a ledger of batch-alias.", "It was not changed; pass another --job.", path=path
        )
    version = value("user_version")
    if version != FORMAT:
        raise LedgerError(
            "{path} is a ledger of format {version}; this version of batch-alias uses format {format}.",
            "Finish the job with the version that began it, or pass another --job.",
            path=path,
            version=version,
            format=FORMAT,
        )
    if (problem := value("quick_check(1)")) != "ok":
        raise _damaged(path, problem)


def _damaged(path: Path, problem: object) -> LedgerError:
    advice = "It was not changed. Restore it from a copy, or start again with another --job."
    return LedgerError("The ledger {path} is damaged: {problem}.", advice, path=path, problem=problem)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what SQLite and the file system raise as a ``LedgerError``."""
    try:
        yield
    except sqlite3.ProgrammingError:  # a defect of batch-alias
        raise
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise _damaged(path, error) from error
        raise _unusable(path, error) from error
    except OSError as error:
        raise _unusable(path, error.strerror or error) from error


def _unusable(path: Path, problem: object) -> LedgerError:
    advice = "Correct that and run the same command again."
    return LedgerError("The ledger {path} cannot be used: {problem}.", advice, path=path, problem=problem)
