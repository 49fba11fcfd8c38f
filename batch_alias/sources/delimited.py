"""Delimited text: CSV and its relatives, by Python's ``csv``.

``csv`` is the reader that can name every ragged row; it is told to be strict, because it otherwise swallows what
follows an unclosed quote and repairs stray ones without a word. Lines are handed to it one at a time and none longer
than ``LONGEST_LINE``, so that a file without line ends is an error instead of memory.
"""

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources.columns import Columns, roles_named
from batch_alias.sources.excerpts import excerpt
from batch_alias.sources.table import CHUNK_ROWS, Chunk, Flaw

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LONGEST_LINE = 256 * 1024
CHUNK_CHARACTERS = 4 * 1024 * 1024
SAMPLE_BYTES = 64 * 1024

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "pipe"}


class DelimitedText:
    """A delimited text file.

    Args:
        path: The file.
        reading: The columns a person named; they help to tell the delimiter.

    Raises:
        SourceError: The file is empty or not text.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        self._path = path
        with path.open("rb") as file:
            sample = file.read(SAMPLE_BYTES)
        self._encoding, encoding_name = _find_encoding(sample, path)
        delimiter = _find_delimiter(sample.decode(self._encoding, errors="replace"), path, reading)
        kind = "tab-separated text" if delimiter == "\t" else "CSV"
        self.description = f"{kind}, {encoding_name}, {DELIMITERS[delimiter]}"
        self._file = path.open("rb")
        self._text = io.TextIOWrapper(self._file, encoding=self._encoding, newline="")
        self._characters = 0
        self._line = ""
        self._reader = csv.reader(self._lines(), delimiter=delimiter, strict=True)
        try:
            self._row, self.header = self._read_header()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._text.close()

    def chunks(self, columns: Columns) -> Iterator[Chunk]:  # noqa: ARG002 - text shows its flaws in any column
        """Read the rows under the header."""
        while True:
            chunk = Chunk(first=self._row + 1, rows=[])
            self._characters = 0
            going_on = self._fill(chunk)
            self._row += len(chunk.rows)
            if chunk.rows:
                yield chunk
            if not going_on:
                return

    def _fill(self, chunk: Chunk) -> bool:
        """Read rows until the chunk is full (true) or the file is at its end (false)."""
        while True:
            start = self._reader.line_num
            try:
                for row in self._reader:
                    chunk.rows.append(row)
                    start = self._reader.line_num
                    if len(chunk.rows) >= CHUNK_ROWS or self._characters >= CHUNK_CHARACTERS:
                        return True
            except csv.Error as error:
                flaw = self._flaw(error, chunk.first + len(chunk.rows), start + 1)
                chunk.flaws[len(chunk.rows)] = (flaw,)
                chunk.rows.append([self._line.rstrip("\r\n")])
            else:
                return False

    def _flaw(self, error: csv.Error, number: int, line: int) -> Flaw:
        """What is wrong with a row ``csv`` refuses: a flaw of this row, or the end when it took others with it."""
        where = f"Row {number:,} (line {line:,})"
        if "field larger than" in str(error):
            raise SourceError(
                f"{where} of {self._path.name} has a field of more than {csv.field_size_limit():,} characters.",
                "Look for a quote that is opened there and never closed.",
            )
        if self._reader.line_num > line:
            raise SourceError(
                f"{where} of {self._path.name} opens a quote that is not closed properly; "
                f"it would swallow the rows down to line {self._reader.line_num:,}.",
                "Close the quote, or double it if it belongs to the value.",
            )
        return Flaw(
            reason="misplaced-quote",
            message=f"A quote in {excerpt(self._line.strip())} is not closed, or is closed in the middle of a field; "
            "write a quote that belongs to a value twice.",
        )

    def _lines(self) -> Iterator[str]:
        readline = self._text.readline
        try:
            while line := readline(LONGEST_LINE):
                if len(line) == LONGEST_LINE:
                    raise SourceError(
                        f"{self._path.name} has a line of more than {LONGEST_LINE:,} characters.",
                        "It is not a table of rows, or its line ends are missing.",
                    )
                self._characters += len(line)
                self._line = line
                yield line
        except UnicodeDecodeError:
            raise _not_in_encoding(self._path, self._encoding) from None

    def _read_header(self) -> tuple[int, tuple[str, ...]]:
        try:
            for number, row in enumerate(self._reader, start=1):
                header = tuple(name.strip() for name in row)
                if any(header):
                    return number, header
        except csv.Error as error:
            raise SourceError(
                f"The header of {self._path.name} cannot be read: {error}.", "Look at its quotes."
            ) from None
        raise SourceError(f"{self._path.name} holds nothing but white space.")


def _find_encoding(sample: bytes, path: Path) -> tuple[str, str]:
    if not sample:
        raise SourceError(f"{path.name} is empty.", "Was the export finished?")
    if sample.count(0) * 10 > len(sample):  # a stray NUL is its row's problem; this many are another encoding
        raise SourceError(f"{path.name} is not UTF-8 text.", "Save it as CSV UTF-8.")
    if sample.startswith(codecs.BOM_UTF8):
        return "utf-8-sig", "UTF-8 with mark"
    return "utf-8", "UTF-8"


def _find_delimiter(sample: str, path: Path, reading: Reading) -> str:
    """The delimiter under which the first row names the most columns we look for, then the most columns."""
    first = "\t" if path.suffix.lower() in {".tsv", ".tab"} else ","
    order = sorted(DELIMITERS, key=lambda delimiter: delimiter != first)
    text = sample.lstrip()

    def merit(delimiter: str) -> tuple[int, int]:
        try:
            header = tuple(
                name.strip() for name in next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
            )
        except (csv.Error, StopIteration):
            return 0, 0
        return roles_named(header, reading), len(header)

    return max(order, key=merit)


def _not_in_encoding(path: Path, encoding: str) -> SourceError:
    """Name the first byte that is not in the encoding, and its row: a second pass, but nothing will be sent anyway."""
    with path.open("rb") as file:
        offset = _first_bad_byte(file, encoding)
        file.seek(0)
        row = _rows_begun(_FirstBytes(file, offset), encoding)
        file.seek(offset)
        byte = file.read(1)
    name = encoding.removesuffix("-sig").upper()
    return SourceError(
        f"{path.name} is not {name}: byte 0x{byte.hex()} at {offset:,}, in row {row:,}.",
        "Save it as CSV UTF-8.",
    )


def _first_bad_byte(file: io.BufferedReader, encoding: str) -> int:
    decoder = codecs.getincrementaldecoder(encoding)(errors="strict")
    while True:
        start = file.tell() - len(decoder.getstate()[0])
        block = file.read(SAMPLE_BYTES)
        try:
            decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            return start + error.start
        if not block:
            return start


def _rows_begun(file: io.RawIOBase, encoding: str) -> int:
    """In which row the bytes end."""
    text = io.TextIOWrapper(io.BufferedReader(file), encoding=encoding, errors="ignore", newline="")
    last = "\n"

    def lines() -> Iterator[str]:
        nonlocal last
        while line := text.readline(LONGEST_LINE):
            last = line
            yield line

    try:
        rows = sum(1 for _ in csv.reader(lines()))
    except csv.Error:
        return 1
    return rows + last.endswith(("\r", "\n"))


class _FirstBytes(io.RawIOBase):
    """The first bytes of a file, as a file."""

    def __init__(self, file: io.BufferedReader, count: int) -> None:
        super().__init__()
        self._source = file
        self._left = count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        with memoryview(buffer) as view:
            block = self._source.read(min(len(view), self._left))
            view[: len(block)] = block
        self._left -= len(block)
        return len(block)
