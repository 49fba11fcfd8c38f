"""The file of a ledger: its name and lock, how it is recognised and opened, and what its errors mean."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from batch_alias.errors import LedgerError
from batch_alias.text import N_

LEDGER = "ledger.sqlite"
NEW_LEDGER = "ledger.new"
"""One that is being filled."""
LOCK = "ledger.lock"
FORMAT = 4
APPLICATION_ID = 0x62614C67
"""Distinguishes a ledger from any other SQLite file."""
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a job's folder against every other run, and make it if it does not exist.

    Raises:
        LedgerError: Another run has locked it, or it cannot be made.
    """
    with translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, thread_local=False)
    with translated(folder):
        try:
            lock.acquire(timeout=0)
        except Timeout:  # an OSError as well
            advice = N_("Wait until it has ended; two runs of one job would send rows twice.")
            raise LedgerError("The job {folder} is locked by another run.", advice, folder=folder) from None
    try:
        yield
    finally:
        lock.release()


def connect(path: Path, *, writable: bool) -> sqlite3.Connection:
    """Open a ledger after making sure that it is one; it needs to be ``writable`` only to be written to.

    Raises:
        LedgerError: It is missing, damaged, of another format, or not a ledger.
    """
    with translated(path):
        exists = path.is_file()
    if not exists:
        raise LedgerError(
            "There is no ledger in {folder}.", "Pass the folder of a job that has been run.", folder=path.parent
        )
    with translated(path):
        try:
            # For reading too: in mode "ro" the log and its index would be made and not be removed again.
            return _open(path, "mode=rw")
        except sqlite3.OperationalError as error:
            log = path.with_name(f"{path.name}-wal")
            no_folder = error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
            if writable or not no_folder or (log.exists() and log.stat().st_size):
                raise
            # In a folder that cannot be written no log can be made; none is needed to read a ledger that is at rest.
            return _open(path, "mode=ro&immutable=1")


def _open(path: Path, options: str) -> sqlite3.Connection:
    # Staged by one thread, sent by another, never by two at once.
    db = sqlite3.connect(
        f"{path.resolve().as_uri()}?{options}", uri=True, isolation_level=None, check_same_thread=False
    )
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


def damaged(path: Path, problem: object) -> LedgerError:
    """The error for a ledger that SQLite finds malformed."""
    advice = N_("It was not changed. Restore it from a copy, or start again with another --job.")
    return LedgerError("The ledger {path} is damaged: {problem}.", advice, path=path, problem=problem)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what SQLite and the file system raise as a ``LedgerError``."""
    try:
        yield
    except sqlite3.ProgrammingError:  # a defect of batch-alias
        raise
    except sqlite3.DatabaseError as error:
        # Without a code: a text that is not UTF-8.
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _DAMAGED:
            raise damaged(path, error) from error
        raise _unusable(path, error) from error
    except OSError as error:
        raise _unusable(path, error.strerror or error) from error


def _unusable(path: Path, problem: object) -> LedgerError:
    advice = N_("Correct that and run the same command again.")
    return LedgerError("The ledger {path} cannot be used: {problem}.", advice, path=path, problem=problem)
