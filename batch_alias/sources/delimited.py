"""Delimited text, CSV and its relatives, read by Python's ``csv``.

``csv`` keeps the fields of a row of the wrong length. It is used with ``strict``, without which it repairs misplaced
quotes and drops an unclosed one silently.
"""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice

from batch_alias.errors import SourceError
from batch_alias.problems import RowProblem, found
from batch_alias.settings import DELIMITERS, Reading
from batch_alias.sources.columns import Chunk, Columns
from batch_alias.sources.header import SEARCHED_ROWS, Top, best_fit, find_header, first_rows
from batch_alias.sources.textfile import ReadRow, TextReader
from batch_alias.text import quoted

NAMES = {character: name for name, character in DELIMITERS.items()}
SEPARATOR_LINE = re.compile(r'("?)sep=([^\r\n"])\1\r?\n?', re.IGNORECASE)
"""A first line by which Excel is given the delimiter. Excel does not show it, so it does not count as a row."""


class DelimitedReader(TextReader):
    """Reads a delimited text file. If no delimiter is named, the columns help to find it.

    Raises:
        SourceError: The file is empty or not text, or its first row cannot be read.
    """

    def __init__(self, file: io.BufferedIOBase, name: str, reading: Reading) -> None:
        super().__init__(file, name, reading.encoding)
        separator_line = SEPARATOR_LINE.match(self.sample)
        delimiter = reading.delimiter_character
        if delimiter is None:
            delimiter = separator_line[2] if separator_line else _find_delimiter(self.sample, name, reading)
        self._csv = csv.reader(self.lines(), delimiter=delimiter, strict=True)
        if separator_line:
            next(self._csv)
        self._rows = self._read()
        first = first_rows(self._rows, lambda row: row.cells, reading)
        if first and first[0].problems:
            problem = "Row {row} of {file} cannot be read: {message}"
            advice = "Correct it, or delete it if it stands above the table."
            raise SourceError(problem, advice, row=first[0].number, file=name, message=first[0].problems[0].message)
        found = find_header([Top("", [(row.number, row.cells) for row in first])], reading, file=name)
        self.header = found.names
        self._first = [row for row in first if row.number > found.row]
        kind = "tab-separated text" if delimiter == "\t" else "CSV"
        parts = (kind, self.encoding, NAMES.get(delimiter, repr(delimiter)), self.compression, found.place)
        self.description = ", ".join(filter(None, parts))

    def chunks(self, columns: Columns) -> Iterator[Chunk]:  # noqa: ARG002 - the problems of text are found by tests
        """Read the rows under the header."""
        return self.in_chunks(chain(self._first, self._rows))

    def _read(self) -> Iterator[ReadRow]:
        while True:
            line = self._csv.line_num + 1
            try:
                for cells in self._csv:
                    self.row += 1
                    yield ReadRow(self.row, cells)
                    line = self._csv.line_num + 1
            except csv.Error as error:
                self.row += 1
                yield ReadRow(self.row, [self.line.rstrip("\r\n")], [self._problem(error, line)])
            else:
                return

    def _problem(self, error: csv.Error, line: int) -> RowProblem:
        """The problem of a row that ``csv`` refuses and that begins in a line.

        Raises:
            SourceError: The row reaches beyond its line: other rows are within its quotes.
        """
        place = {"file": self.name, "row": self.row, "line": line}
        if "field larger than" in str(error):
            problem = "Row {row:,} (line {line:,}) of {file} has a field of more than {most:,} characters."
            advice = "Check for a quote that is opened there and never closed."
            raise SourceError(problem, advice, most=csv.field_size_limit(), **place)
        if self._csv.line_num > line:
            problem = (
                "Row {row:,} (line {line:,}) of {file} opens a quote that is not closed properly; "
                "all rows down to line {last:,} would be part of it."
            )
            advice = "Close the quote; write a quote that belongs to a value twice."
            raise SourceError(problem, advice, last=self._csv.line_num, **place)
        return found("misplaced-quote", value=quoted(self.line.strip()))


def _find_delimiter(sample: str, name: str, reading: Reading) -> str:
    """The delimiter with which one of the first rows has the most of the columns we read, then the most columns."""
    first = "\t" if name.lower().endswith((".tsv", ".tab")) else ","
    text = sample.lstrip()

    def fit(delimiter: str) -> tuple[int, int]:
        rows: list[list[str]] = []
        with suppress(csv.Error):
            rows.extend(islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), SEARCHED_ROWS))
        return best_fit(rows, reading)

    return max(sorted(NAMES, key=lambda delimiter: delimiter != first), key=fit)
