"""Delimited text: CSV and its relatives, by Python's ``csv``.

``csv`` is the reader that can name every ragged row; it is told to be strict, because it otherwise swallows what
follows an unclosed quote and repairs stray ones without a word.
"""

import csv
import io
import re
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from batch_alias.errors import SourceError
from batch_alias.settings import DELIMITER_NAMES, Reading
from batch_alias.sources.bytestream import ByteStream
from batch_alias.sources.columns import Columns, numbered, roles_named
from batch_alias.sources.excerpts import excerpt
from batch_alias.sources.table import CHUNK_ROWS, Chunk, RowProblem
from batch_alias.sources.textlines import TextLines

CHUNK_CHARACTERS = 4 * 1024 * 1024

NAMES = {character: name for name, character in DELIMITER_NAMES.items()}
SEPARATOR_LINE = re.compile(r'"?sep=([^\r\n"])"?\r?\n?', re.IGNORECASE)
"""Excel's own first line; Excel does not show it, so it is no row."""


class DelimitedText:
    """A delimited text file.

    Args:
        path: The file; may be compressed.
        reading: What a person said about it. The columns help to tell the delimiter.

    Raises:
        SourceError: The file is empty or not text, or its first row cannot be read.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        self._stream = ByteStream(path)
        self._lines = TextLines(self._stream, reading.encoding)
        sample = self._lines.sample
        named = SEPARATOR_LINE.match(sample)
        if named:
            sample = sample[named.end() :]
        delimiter = reading.separator or (named[1] if named else _find_delimiter(sample, path, reading))
        parts = [
            "tab-separated text" if delimiter == "\t" else "CSV",
            self._lines.encoding,
            NAMES.get(delimiter, repr(delimiter)),
            self._stream.wrapping,
        ]
        self.description = ", ".join(filter(None, parts))
        self._skipped = int(bool(named))
        make_rows = partial(csv.reader, delimiter=delimiter, strict=True)
        self._lines.rows = partial(csv.reader, delimiter=delimiter)
        lines = iter(self._lines)
        try:
            if named:
                next(lines)
            self._reader = make_rows(lines)
            self._rows: Iterator[list[str]] = self._reader
            self._row, self.header = self._read_header(path, reading)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._lines.close()

    def progress(self) -> tuple[int, int]:
        """Bytes read, and bytes in all."""
        return self._stream.progress()

    def chunks(self, columns: Columns) -> Iterator[Chunk]:  # noqa: ARG002 - text shows its flaws in any column
        """Read the rows under the header."""
        going_on = True
        while going_on:
            chunk = Chunk(first=self._row + 1, rows=[])
            self._lines.characters = 0
            going_on = self._fill(chunk)
            self._row += len(chunk.rows)
            if chunk.rows:
                yield chunk

    def _fill(self, chunk: Chunk) -> bool:
        """Read rows until the chunk is full (true) or the file is at its end (false)."""
        while True:
            start = self._reader.line_num
            try:
                for row in self._rows:
                    chunk.rows.append(row)
                    start = self._reader.line_num
                    if len(chunk.rows) >= CHUNK_ROWS or self._lines.characters >= CHUNK_CHARACTERS:
                        return True
            except csv.Error as error:
                flaw = self._flaw(error, chunk.first + len(chunk.rows), start + 1)
                chunk.flaws[len(chunk.rows)] = (flaw,)
                chunk.rows.append([self._lines.current.rstrip("\r\n")])
            else:
                return False

    def _flaw(self, error: csv.Error, number: int, line: int) -> RowProblem:
        """What is wrong with a row ``csv`` refuses: a flaw of this row, or the end when it took others with it."""
        where = f"Row {number:,} (line {line + self._skipped:,}) of {self._stream.name}"
        if "field larger than" in str(error):
            raise SourceError(
                f"{where} has a field of more than {csv.field_size_limit():,} characters.",
                "Look for a quote that is open_job there and never closed.",
            )
        if self._reader.line_num > line:
            raise SourceError(
                f"{where} opens a quote that is not closed properly; "
                f"it would swallow the rows down to line {self._reader.line_num + self._skipped:,}.",
                "Close the quote, or double it if it belongs to the value.",
            )
        return RowProblem(
            reason="misplaced-quote",
            message=f"A quote in {excerpt(self._lines.current.strip())} is not closed, or is closed in the middle of a "
            "field; write a quote that belongs to a value twice.",
        )

    def _read_header(self, path: Path, reading: Reading) -> tuple[int, tuple[str, ...]]:
        try:
            for number, row in enumerate(self._reader, start=1):
                header = tuple(name.strip() for name in row)
                if any(header) and reading.header:
                    return number, header
                if any(header):
                    self._rows = chain([row], self._reader)
                    return number - 1, numbered(len(header))
        except csv.Error as error:
            raise SourceError(f"The first row of {path.name} cannot be read: {error}.", "Look at its quotes.") from None
        raise SourceError(f"{path.name} holds nothing but white space.")


def _find_delimiter(sample: str, path: Path, reading: Reading) -> str:
    """The delimiter under which the first row names the most columns we look for, then the most columns."""
    first = "\t" if path.suffix.lower() in {".tsv", ".tab"} else ","
    order = sorted(NAMES, key=lambda delimiter: delimiter != first)
    text = sample.lstrip()

    def merit(delimiter: str) -> tuple[int, int]:
        try:
            row = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        except (csv.Error, StopIteration):
            return 0, 0
        header = tuple(name.strip() for name in row) if reading.header else numbered(len(row))
        return roles_named(header, reading), len(header)

    return max(order, key=merit)
