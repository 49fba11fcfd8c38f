"""Sources: a file of rows, in one of several formats, becomes checked rows of text.

Each format has a module with one class, a ``columns.Reader``. The format is found in the content and
not in the extension: a ``.xls`` is often text.
"""

import codecs
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from batch_alias.errors import SourceError
from batch_alias.settings import Format, Reading
from batch_alias.sources.columns import Reader, find_columns, letters
from batch_alias.sources.delimited import DelimitedReader
from batch_alias.sources.excel import ZIP, ExcelReader
from batch_alias.sources.jsonlines import JsonLinesReader
from batch_alias.sources.textfile import unpacked

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Source", "open_source"]

PARQUET, XLS = b"PAR1", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

_NO_TABLE, _UNPACK, _SAVE_AS_XLSX = "Name a file of rows: CSV or Excel.", "Unpack it first.", "Save it as .xlsx."
_REFUSED = {
    b"\x89PNG": ("{file} is a PNG image.", _NO_TABLE),
    b"\xff\xd8\xff": ("{file} is a JPEG image.", _NO_TABLE),
    b"GIF8": ("{file} is a GIF image.", _NO_TABLE),
    b"%PDF": ("{file} is a PDF document.", _NO_TABLE),
    b"SQLite format 3": ("{file} is an SQLite database.", _NO_TABLE),
    b"7z\xbc\xaf\x27\x1c": ("{file} is a 7z archive.", _UNPACK),
    b"Rar!": ("{file} is a RAR archive.", _UNPACK),
    b"PK\x05\x06": ("{file} is an empty zip archive.", _NO_TABLE),
}


class Source:
    """An open source of rows, read once from its beginning. Raises ``SourceError`` if its columns are not clear."""

    def __init__(self, file: BufferedIOBase, size: int, reader: Reader, reading: Reading) -> None:
        self._file = file
        self._size = size
        self._reader = reader
        self._reading = reading
        # A column without a name can be named too.
        self.header = tuple(name or letters(index) for index, name in enumerate(reader.header))
        self.columns = find_columns(self.header, reading)
        self.description = reader.description  # of the format as it was found
        self.blank_rows = 0  # read so far; they are left out, but count in the row numbers

    def batches(self) -> "Iterator[pd.DataFrame]":
        """Read and check the rows.

        Yields:
            Frames of at most 10,000 rows with the columns

            - ``number`` (int64): the row as a spreadsheet counts it: the header is row 1, a line break within quotes
              does not begin a row, blank rows count;
            - ``user_id``, ``group_id``, ``remark``: text without the white space around it, ``""`` when absent;
            - ``reason``: the name of the problem for which the row is rejected, ``""`` when it may be sent;
            - ``message``: that problem in a sentence, or ``""``;
            - ``warning``: the names of the warnings, separated by commas, or ``""``;
            - ``cells``: the row as a JSON list of strings, where the columns above do not hold all of it: for a
              rejected row, and for every row of a source with more columns; else ``None``.

        Raises:
            SourceError: The source is damaged further down, or has no rows.
        """
        from batch_alias.sources.checks import check  # imports pandas: 0.4 s

        empty = True
        try:
            for chunk in self._reader.chunks(self.columns):
                frame, blank = check(chunk, self.header, self.columns, self._reading)
                self.blank_rows += blank
                if len(frame):
                    empty = False
                    yield frame
        except OSError as error:
            problem = "The source cannot be read any further: {error}."
            raise SourceError(problem, error=error.strerror or error) from error
        if empty:
            raise SourceError("The source ({description}) has a header but no rows.", description=self.description)

    def progress(self) -> tuple[int, int]:
        """Bytes of the file that were read, and its size."""
        read = self._size if self._file.closed else min(self._file.tell(), self._size)
        return read, self._size


@contextmanager
def open_source(path: Path, reading: Reading) -> Iterator[Source]:
    """Open a source and find its columns.

    Yields:
        The source, before its first row.

    Raises:
        SourceError: There is no such file, it cannot be read, is not a table, or its columns are not clear.
    """
    with ExitStack() as stack:
        try:
            if path.is_dir():
                raise SourceError("{file} is a folder.", "Name the file of rows in it.", file=path)
            file = stack.enter_context(path.open("rb"))
            reader = _open_reader(file, path, reading, stack)
        except FileNotFoundError:
            raise SourceError("There is no file {file}.", "Check its name and the current folder.", file=path) from None
        except OSError as error:
            raise SourceError("{file} cannot be read: {error}.", file=path, error=error.strerror or error) from error
        yield Source(file, path.stat().st_size, reader, reading)


def _open_reader(file: BufferedIOBase, path: Path, reading: Reading, stack: ExitStack) -> Reader:
    found = _find_format(file, path)
    file.seek(0)
    match found if reading.format is None else Format(reading.format):
        case Format.EXCEL:
            return ExcelReader(file, path, reading, stack)
        case Format.CSV:
            return DelimitedReader(file, path.name, reading)
        case Format.JSON_LINES:
            return JsonLinesReader(file, path.name, reading)
        case Format.PARQUET:
            from batch_alias.sources.parquet import ParquetReader  # needs pyarrow

            return ParquetReader(file, path.name)
        case unknown:
            assert_never(unknown)


def _find_format(file: BufferedIOBase, path: Path) -> Format:
    """The format of a file by its first bytes; an error if it is of a known kind that is not read."""
    start = file.read(16)
    for magic, (problem, advice) in _REFUSED.items():
        if start.startswith(magic):
            raise SourceError(problem, advice, file=path.name)
    if start.startswith(ZIP):
        _check_archive(path)
        return Format.EXCEL
    if start.startswith(XLS):
        return Format.EXCEL
    if start.startswith(PARQUET):
        return Format.PARQUET
    text = unpacked(file, path.name).read(64).removeprefix(codecs.BOM_UTF8).lstrip()
    return Format.JSON_LINES if text.startswith(b"{") else Format.CSV


def _check_archive(path: Path) -> None:
    """Refuse a zip archive unless it is an .xlsx, or so damaged that it may be one."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        parts = [] if path.suffix.lower() == ".zip" else ["[Content_Types].xml"]
    if "xl/workbook.bin" in parts:
        raise SourceError("{file} is a binary workbook (.xlsb).", _SAVE_AS_XLSX, file=path.name)
    if "mimetype" in parts:
        raise SourceError("{file} is an OpenDocument file, such as .ods.", _SAVE_AS_XLSX, file=path.name)
    if "[Content_Types].xml" not in parts:
        raise SourceError("{file} is a zip archive.", _UNPACK, file=path.name)
