"""Where the ledger of a job is: in its folder, or in a PostgreSQL database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batch_alias.errors import UsageError
from batch_alias.ledger.file import LEDGER, locked
from batch_alias.ledger.reader import LedgerReader
from batch_alias.ledger.sqlite import SqliteLedger, SqliteReader
from batch_alias.ledger.writer import Ledger
from batch_alias.text import N_

if TYPE_CHECKING:
    from types import ModuleType


@dataclass(frozen=True, slots=True)
class Place:
    """A job and where its ledger is.

    Args:
        folder: The folder of its reports, and of its ledger if that is no database.
        url: The database, where the job has the name of the folder without ``.aliases``; ``None`` for a SQLite file.
    """

    folder: Path
    url: str | None = None

    @property
    def name(self) -> str:
        """The job as a person names it: its name in the database, or its folder."""
        return str(self.folder) if self.url is None else self.folder.name.removesuffix(".aliases")

    @property
    def exists(self) -> bool:
        """Whether there is a ledger. Raises ``LedgerError`` if the database cannot be used."""
        if self.url is None:
            return (self.folder / LEDGER).exists()
        self._refuse_other_ledger()
        return self.name in postgres().jobs(self.url)

    def read(self) -> LedgerReader:
        """The ledger, to read from. Raises ``LedgerError`` if there is none, or it cannot be used."""
        if self.url is None:
            return SqliteReader(self.folder)
        self._refuse_other_ledger()
        reader: LedgerReader = postgres().PostgresReader(self.url, self.name)
        return reader

    def _refuse_other_ledger(self) -> None:
        """Raise ``UsageError`` if the folder is that of another job, whose reports would be replaced."""
        if (self.folder / LEDGER).exists():
            problem = N_("The folder {folder} has a ledger of its own, which is not the one in the database.")
            advice = N_("Leave out --ledger and BATCH_ALIAS_LEDGER for that job, or pass another --job.")
            raise UsageError(problem, advice, folder=self.folder)

    def fill(self, folder: Path, app_key: str) -> None:
        """Make the job in the database of what was staged in a folder; see ``copy_job``."""
        postgres()
        from batch_alias.ledger.copying import copy_job

        copy_job(folder, self.url or "", self.name, app_key)

    @contextmanager
    def opened(self) -> Iterator[Ledger]:
        """The ledger, to write to, locked. Raises ``LedgerError`` if there is none, or it cannot be used."""
        if self.url is not None:
            self._refuse_other_ledger()
            with postgres().PostgresLedger(self.url, self.name) as ledger:
                yield ledger
            return
        self.read().close()  # before the lock makes a folder
        with locked(self.folder), SqliteLedger(self.folder) as ledger:
            yield ledger


def postgres() -> "ModuleType":
    """The module for ledgers in PostgreSQL. Raises ``UsageError`` if what it needs is not installed."""
    try:
        from batch_alias.ledger import postgres as module
    except ImportError as error:
        advice = N_("Install it with: pip install 'batch-alias[postgres]'")
        raise UsageError("A ledger in PostgreSQL needs {name}.", advice, name=error.name or "psycopg") from None
    return module
