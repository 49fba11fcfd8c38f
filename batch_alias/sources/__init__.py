"""Sources: a file of rows, in one of several formats, becomes checked rows of text.

Each format has a module with one class, a ``columns.Reader``. The format is found in the content and
not in the extension: a ``.xls`` is often text.
"""

import codecs
import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from batch_alias.errors import SourceError, reason
from batch_alias.settings import Format, Reading
from batch_alias.sources.columns import Reader, find_columns, letters
from batch_alias.sources.delimited import DelimitedReader
from batch_alias.sources.excel import NO_TABLE, ZIP, ExcelReader
from batch_alias.sources.jsonlines import JsonLinesReader
from batch_alias.sources.textfile import GZIP, unpacked
from batch_alias.text import N_

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Source", "open_source", "readable"]

PARQUET, XLS = b"PAR1", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

_UNPACK, _SAVE_AS_XLSX = N_("Unpack it first."), N_("Open it in Excel or LibreOffice and save it as .xlsx.")
# Files that are not read, by how they begin, after a byte order mark and white space. Excel opens what web sites export
# as "an .xls", whatever it is.
_REFUSED = (
    (rb"\x89PNG", N_("{file} is a PNG image."), NO_TABLE),
    (rb"\xff\xd8\xff", N_("{file} is a JPEG image."), NO_TABLE),
    (rb"GIF8", N_("{file} is a GIF image."), NO_TABLE),
    (rb"%PDF", N_("{file} is a PDF document."), NO_TABLE),
    (rb"\{\\rtf", N_("{file} is an RTF document."), NO_TABLE),
    (rb"SQLite format 3", N_("{file} is an SQLite database."), NO_TABLE),
    (rb"7z\xbc\xaf\x27\x1c", N_("{file} is a 7z archive."), _UNPACK),
    (rb"Rar!", N_("{file} is a RAR archive."), _UNPACK),
    (rb".{257}ustar", N_("{file} is a tar archive."), _UNPACK),
    (rb"PK\x05\x06", N_("{file} is an empty zip archive."), NO_TABLE),
    (rb"BZh[1-9]1AY&SY", N_("{file} is compressed by bzip2."), _UNPACK),
    (rb"\xfd7zXZ\0", N_("{file} is compressed by xz."), _UNPACK),
    (rb"\x28\xb5\x2f\xfd", N_("{file} is compressed by Zstandard."), _UNPACK),
    (rb"\x09[\x00\x02\x04][\x04\x06]\x00", N_("{file} is a workbook of Excel 4 or older."), _SAVE_AS_XLSX),
    (rb"MIME-Version:", N_("{file} is a web page in one file (MHTML), not a workbook."), _SAVE_AS_XLSX),
    (rb"(?i)(<[?!][^>]*>\s*)*<(html|head|meta|body|table|style|div)\b", N_("{file} is an HTML page."), _SAVE_AS_XLSX),
    (rb"<.*urn:schemas-microsoft-com:office:spreadsheet", N_("{file} is an XML spreadsheet of 2003."), _SAVE_AS_XLSX),
    (rb"<\?xml", N_("{file} is an XML document."), NO_TABLE),
    (rb"\[\s*\{", N_("{file} is a JSON array."), N_("Write one object on each line: jq -c '.[]' {file} > rows.jsonl")),
)
# By a part of the zip archive.
_REFUSED_ARCHIVES = {
    "xl/workbook.bin": (N_("{file} is a binary workbook (.xlsb)."), _SAVE_AS_XLSX),
    "word/document.xml": (N_("{file} is a Word document."), NO_TABLE),
    "ppt/presentation.xml": (N_("{file} is a PowerPoint presentation."), NO_TABLE),
    "mimetype": (N_("{file} is an OpenDocument file, such as .ods."), _SAVE_AS_XLSX),
}
_SEARCHED = 4096


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
        self.blank_rows = 0  # above the last row read so far; they are left out, but count in the row numbers

    def batches(self) -> "Iterator[pd.DataFrame]":
        """Read and check the rows.

        Yields:
            Frames of at most 10,000 rows with the columns

            - ``number`` (int64): the row as a spreadsheet counts it: the header is row 1, a line break within quotes
              does not begin a row, blank rows count;
            - ``user_id``, ``group_id``, ``remark``: text without the white space around it, ``""`` when absent; a row
              to send has the remark ``""`` only if its cell is truly empty, as ``settings.Empty`` has it;
            - ``reason``: the name of the problem for which the row is rejected, ``""`` when it may be sent;
            - ``message``: that problem in a sentence, or ``""``;
            - ``warning``: the names of the warnings, separated by commas, or ``""``;
            - ``cells``: the row as a JSON list of strings, where the columns above do not hold all of it: for a
              rejected row, and for every row of a source with more columns; else ``None``;
            - ``expected``: the alias that must be set now, ``""`` for none; ``None`` where no column of it is named.

        Raises:
            SourceError: The source is damaged further down, or has no rows.
        """
        from batch_alias.sources.checks import check  # imports pandas: 0.4 s

        rows = blank_rows = 0
        try:
            for chunk in self._reader.chunks(self.columns):
                frame, blank = check(chunk, self.header, self.columns, self._reading)
                blank_rows += blank
                if len(frame):
                    rows += len(frame)
                    # Those after the last row with content are not rows of the table.
                    self.blank_rows = blank_rows - (chunk.first + len(chunk.rows) - 1 - int(frame["number"].iloc[-1]))
                    yield frame
        except OSError as error:
            raise SourceError("The source cannot be read any further: {error}.", error=reason(error)) from error
        if not rows:
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
        with readable(path):
            if path.is_dir():
                raise SourceError("{file} is a folder.", "Name the file of rows in it.", file=path)
            file = stack.enter_context(path.open("rb"))
            reader = _open_reader(file, path, reading, stack)
        yield Source(file, path.stat().st_size, reader, reading)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Make a ``SourceError`` of what keeps a file from being read."""
    try:
        yield
    except FileNotFoundError:
        raise SourceError("There is no file {file}.", "Check its name and the current folder.", file=path) from None
    except OSError as error:
        raise SourceError("{file} cannot be read: {error}.", file=path, error=reason(error)) from error


def _open_reader(file: BufferedIOBase, path: Path, reading: Reading, stack: ExitStack) -> Reader:
    found = _find_format(file, path)
    file.seek(0)
    chosen = found if reading.format is None else Format(reading.format)
    if reading.sheet is not None and chosen is not Format.EXCEL:
        raise SourceError("{file} is not a workbook and has no sheets.", "Leave out --sheet.", file=path.name)
    match chosen:
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
    if start.startswith((ZIP, XLS, PARQUET)):
        if start.startswith(ZIP):
            _check_archive(path)
        return Format.PARQUET if start.startswith(PARQUET) else Format.EXCEL
    text = unpacked(file, path.name)
    content = text.read(_SEARCHED)
    if text is not file and content.startswith((GZIP, ZIP, XLS, PARQUET)):
        problem = N_("{file} is a gzip of a workbook, or of another compressed file.")
        raise SourceError(problem, _UNPACK, file=path.name)
    # Only the ASCII characters of UTF-16 are looked for.
    plain = content.removeprefix(codecs.BOM_UTF8).lstrip(b"\xff\xfe").replace(b"\0", b"").lstrip()
    for pattern, problem, advice in _REFUSED:
        if any(re.match(pattern, start, re.DOTALL) for start in (content, plain)):
            raise SourceError(problem, advice, file=path.name)
    return Format.JSON_LINES if plain.startswith(b"{") else Format.CSV


def _check_archive(path: Path) -> None:
    """Refuse a zip archive unless it is an .xlsx, or so damaged that it may be one."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        parts = [] if path.suffix.lower() == ".zip" else ["[Content_Types].xml"]
    for part, (problem, advice) in _REFUSED_ARCHIVES.items():
        if part in parts:
            raise SourceError(problem, advice, file=path.name)
    if "[Content_Types].xml" not in parts:
        raise SourceError("{file} is a zip archive.", _UNPACK, file=path.name)
