"""From a source to a ledger: what both a run and a check begin with."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from batch_alias.errors import LedgerError, SourceError
from batch_alias.ledger import LEDGER, TARGET, LedgerReader, Ledger, locked, stage
from batch_alias.records import JobInfo, ProblemCount
from batch_alias.settings import Reading
from batch_alias.sources import open_source
from batch_alias.sources.reasons import REJECTIONS, WARNINGS
from batch_alias.version import __version__

if TYPE_CHECKING:
    import pandas as pd

if TYPE_CHECKING:
    import pandas as pd

_MEANINGS = REJECTIONS | WARNINGS  # a rejection that was let through is a warning of its own name

OnRead = Callable[[int, int], None]


@contextmanager
def staged(
    source: Path, reading: Reading, folder: Path, on_read: OnRead = lambda _done, _total: None
) -> Iterator[Ledger]:
    """A job's ledger, locked: the one that is there, or a new one filled from the source.

    A job that has sent nothing yet is staged again when the source has changed.

    Args:
        source: The file of rows.
        reading: How to read it.
        folder: The job's folder.
        on_read: Called now and then with the bytes read and the bytes in all.

    Raises:
        SourceError: The source cannot be read.
        LedgerError: The ledger cannot be used, or belongs to another source.
    """
    fingerprint = _fingerprint(source)
    existed = folder.exists()
    with locked(folder):
        if not _belongs(folder, source, reading, fingerprint):
            try:
                _fill(source, reading, folder, fingerprint, on_read)
            except SourceError:
                if not existed:
                    shutil.rmtree(folder)
                raise
        with Ledger(folder) as ledger:
            yield ledger


def _belongs(folder: Path, source: Path, reading: Reading, fingerprint: str) -> bool:
    """Whether a folder has a ledger of this source; raise when it has one of another that may not be replaced."""
    if not (folder / LEDGER).exists():
        return False
    with LedgerReader(folder) as accounts:
        info, sent = accounts.info(), accounts.meta(TARGET) is not None
    if (info.sha256, info.reading) == (fingerprint, _plain(reading)):
        return True
    if not sent:
        return False
    if info.sha256 == fingerprint:
        problem = f"The job {folder} was begun with {source.name} read another way (columns, sheet)."
    elif info.source == source.name:
        problem = f"{source} has changed since the job {folder} was begun, and some of its rows have been sent."
    else:
        problem = f"The job {folder} belongs to another source, {info.source}."
    raise LedgerError(problem, "Give this one a folder of its own: --job DIR")


def _fill(source: Path, reading: Reading, folder: Path, fingerprint: str, on_read: OnRead) -> None:
    before = _identity(source)
    with open_source(source, reading) as table:

        def describe() -> JobInfo:
            if _identity(source) != before:
                raise SourceError(f"{source} changed while it was read.", "Run again when it is complete.")
            return JobInfo(
                source=source.name,
                sha256=fingerprint,
                description=table.description,
                header=table.header,
                columns=table.columns.indexes,
                why=tuple(column.why for column in table.columns),
                blank_rows=table.blank_rows,
                reading=_plain(reading),
                staged_at=time.time(),
                version=__version__,
            )

        def batches() -> "Iterator[pd.DataFrame]":
            for frame in table.batches():
                on_read(*table.progress())
                yield frame
            _done, total = table.progress()
            on_read(total, total)

        stage(folder, batches(), describe, strict=reading.strict)


def _fingerprint(source: Path) -> str:
    """The SHA-256 of a source's content, hexadecimal."""
    try:
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{source} cannot be read: {error.strerror or error}.", "Look at the name.") from error


def _identity(source: Path) -> tuple[int, int, int]:
    stat: os.stat_result = source.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def explained(problems: list[ProblemCount]) -> list[ProblemCount]:
    """Warnings with what they mean."""
    return [replace(problem, message=_MEANINGS.get(problem.name, problem.message)) for problem in problems]


def _plain(reading: Reading) -> dict[str, object]:
    """As the ledger gives it back: of JSON's types."""
    return {**asdict(reading), "accept": sorted(reading.accept)}
