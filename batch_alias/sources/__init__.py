"""The ways in: a file of rows, whatever it is, becomes checked rows of text.

A way in is one module with one class that satisfies ``table.Table``. What a file is, is told by its content:
extensions lie (many a ``.xls`` is text).
"""

import codecs
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from batch_alias.errors import SourceError, UsageError
from batch_alias.settings import Format, Reading
from batch_alias.sources.bytestream import ByteStream
from batch_alias.sources.columns import Columns, find_columns
from batch_alias.sources.reasons import ACCEPTABLE, WARNINGS
from batch_alias.sources.table import Chunk, Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Source", "open_source"]

ZIP, PARQUET, COMPOUND_FILE = b"PK\x03\x04", b"PAR1", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

NOT_A_TABLE = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"SQLite format 3": "an SQLite database",
    b"PK\x05\x06": "an empty zip archive",
}


class Source:
    """A source of rows, open_job; read once, from its first row to its last.

    Attributes:
        header: The source's own column names.
        columns: Which of them holds the user ids, the group ids and the aliases.
        description: What the source was found to be, for people.
        blank_rows: Rows without any content met so far; left out, but counted in the row numbers.
    """

    def __init__(self, table: Table, columns: Columns, reading: Reading) -> None:
        self._table = table
        self._reading = reading
        self.header = table.header
        self.columns = columns
        self.description = table.description
        self.blank_rows = 0

    def batches(self) -> "Iterator[pd.DataFrame]":
        """Read the rows, checked, in frames of at most 20,000.

        Yields:
            Frames with the columns

            - ``number`` (int64): the row as a spreadsheet counts it: the header is row 1, a quoted line break makes
              no new row, blank rows count;
            - ``user_id``, ``group_id``, ``remark``: text without the white space around it, ``""`` when absent;
            - ``reason``: ``""`` when the row may be sent, else the kind of problem, such as ``user-id-too-long``;
            - ``message``: the problem in one sentence, or ``""``;
            - ``warning``: what is odd about the row, comma separated, or ``""``;
            - ``cells``: the row's own cells as a JSON list of strings where they cannot be had from the columns above
              (a rejected row; every row of a source with further columns), else ``None``.

        Raises:
            SourceError: The source is damaged further down, or has no rows.
        """
        from batch_alias.sources.checks import check  # brings pandas, 0.4 s

        found = 0
        for chunk in self._chunks():
            frame, blank = check(chunk, self.header, self.columns, self._reading)
            self.blank_rows += blank
            found += len(frame)
            if len(frame):
                yield frame
        if not found:
            raise SourceError(f"The source ({self.description}) has a header but no rows.")

    def _chunks(self) -> Iterator[Chunk]:
        try:
            yield from self._table.chunks(self.columns)
        except OSError as error:
            raise SourceError(f"The source cannot be read any further: {error.strerror or error}.") from error

    def progress(self) -> tuple[int, int]:
        """How much was read of how much, in bytes of the file."""
        return self._table.progress()


@contextmanager
def open_source(path: Path, reading: Reading) -> Iterator[Source]:
    """Open a source and tell which column is which.

    Args:
        path: The file.
        reading: What a person said about it.

    Yields:
        The source, at its first row.

    Raises:
        SourceError: There is no such file, it is no table, or its columns are not clear.
        UsageError: A reason to be accepted is none, or none that can be.
    """
    for reason in sorted(reading.accept):
        if reason not in ACCEPTABLE | WARNINGS:
            known = ", ".join(sorted(ACCEPTABLE))
            raise UsageError(f"{reason!r} is not a reason that --accept can let through.", f"These are: {known}.")
    table = _open_table(path, reading)
    try:
        yield Source(table, find_columns(table.header, reading), reading)
    finally:
        table.close()


def _open_table(path: Path, reading: Reading) -> Table:
    if path.is_dir():
        raise SourceError(f"{path} is a folder.", "Name the file of rows in it.")
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        raise SourceError(f"There is no file {path}.", "Look at its name and at the folder you are in.") from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}.") from None
    for mark, what in NOT_A_TABLE.items():
        if start.startswith(mark):
            raise SourceError(f"{path.name} is {what}, whatever its name says.", "Name a file of rows: CSV or Excel.")
    match reading.format or _format(path, start):
        case Format.WORKBOOK:
            from batch_alias.sources.workbook import Workbook

            return Workbook(path, reading)
        case Format.TEXT:
            from batch_alias.sources.delimited import DelimitedText

            return DelimitedText(path, reading)
        case Format.JSON_LINES:
            from batch_alias.sources.jsonlines import JsonLines

            return JsonLines(path, reading)
        case Format.PARQUET:
            from batch_alias.sources.parquet import Parquet

            return Parquet(path, reading)
        case unknown:
            assert_never(unknown)


def _format(path: Path, start: bytes) -> Format:
    """What kind of file it is, by its first bytes; a compressed one is a text."""
    if start.startswith(COMPOUND_FILE) or (start.startswith(ZIP) and _is_workbook(path)):
        return Format.WORKBOOK
    if start.startswith(PARQUET):
        return Format.PARQUET
    text = ByteStream(path).head(64).removeprefix(codecs.BOM_UTF8).lstrip()
    return Format.JSON_LINES if text.startswith(b"{") else Format.TEXT


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return path.suffix.lower() not in {".zip", ".gz"}  # which of the two is damaged decides what to say
    return not names.isdisjoint({"[Content_Types].xml", "mimetype"})
