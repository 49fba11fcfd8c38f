"""Delimited text, CSV and its relatives.

Quotes stand around a whole field, perhaps with white space outside, and are written twice within; any other pair of
quotes is text, as in ``6" by 9"``. What else is done with a quote rejects its row, also what ``csv`` lets pass: one
without another in an unquoted field, and one after a backslash.
"""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice

from batch_alias.errors import SourceError
from batch_alias.problems import FIELDS, found
from batch_alias.settings import DELIMITERS, Reading
from batch_alias.sources.columns import Chunk, Columns
from batch_alias.sources.header import SEARCHED_ROWS, Top, best_fit, find_header, first_rows
from batch_alias.sources.textfile import NOTHING, ReadRow, TextReader
from batch_alias.text import N_, _, enumeration, quoted

LONGEST_FIELD = 128 * 1024
"""Characters of a field over several lines; ``csv`` takes as many."""
NAMES = {character: name for name, character in DELIMITERS.items()}
SEPARATOR_LINE = re.compile(r'("?)sep=([^\r\n"])\1\r?\n?', re.IGNORECASE)
"""A first line by which Excel is given the delimiter. Excel does not show it, so it does not count as a row."""
FORMULA = re.compile(r'\A\s*="([^"\r\n]*)"\s*\Z')
"""A text as a formula, by which programs keep a spreadsheet from taking the text for a number."""


class DelimitedReader(TextReader):
    """Reads a delimited text file. If no delimiter is named, the columns help to find it.

    Raises:
        SourceError: The file is empty or not text, or its first row cannot be read.
    """

    def __init__(self, file: io.BufferedIOBase, name: str, reading: Reading) -> None:
        super().__init__(file, name, reading.encoding)
        if reading.verbatim:
            reading = replace(reading, header_row=1)
        separator_line = SEPARATOR_LINE.match(self.sample)
        delimiter = reading.delimiter_character
        if delimiter is None:
            delimiter = separator_line[2] if separator_line else _find_delimiter(self.sample, name, reading)
        self._delimiter = delimiter
        self._lines = enumerate(self.lines(), start=1)
        self._row = self._last_line = 0
        if separator_line:
            next(self._lines)
        separator = re.escape(delimiter)
        blank, end = rf"[^\S\r\n{separator}]*+", rf"({separator}|[\r\n]*\Z)"
        self._opening = re.compile(f'{blank}"')
        self._quoted = re.compile(rf'([^"]*+(?:""[^"]*+)*+)(?:"{blank}{end}|\Z)')
        self._unquoted = re.compile(rf"([^\r\n{separator}]*+){end}")
        # Nearly all lines with quotes are whole rows without anything odd; csv reads these, one by one, and faster.
        plain = rf'(?:"[^"=\\]*+(?:""[^"=\\]*+)*+"|[^"=\\\r\n{separator}]*+)'
        self._is_plain = re.compile(rf"{plain}(?:{separator}{plain})*+[\r\n]*+").fullmatch
        self._plain_lines: list[str] = []
        self._csv = csv.reader(iter(self._plain_lines.pop, None), delimiter=delimiter, strict=True)
        self._rows = self._read_verbatim() if reading.verbatim else self._read()
        first = first_rows(self._rows, lambda row: row[1], reading)
        for problem in first[0][2] if first else []:
            if problem.name == "misplaced-quote":
                sentence = N_("Row {row} of {file} cannot be read: {message}")
                advice = N_("Correct it, or delete it if it stands above the table.")
                raise SourceError(sentence, advice, row=first[0][0], file=name, message=problem.message)
        found = find_header([Top("", [(number, cells) for number, cells, _ in first])], reading, file=name)
        self.header = found.names
        self._first = [row for row in first if row[0] > found.row]
        kind = _("tab-separated text") if delimiter == "\t" else "CSV"
        named = _(NAMES[delimiter]) if delimiter in NAMES else quoted(delimiter)
        self.description = enumeration([kind, _(self.encoding), named, self.compression, found.place])

    def chunks(self, columns: Columns) -> Iterator[Chunk]:  # noqa: ARG002 - the problems of text are found by tests
        """Read the rows under the header."""
        return self.in_chunks(chain(self._first, self._rows))

    def _read_verbatim(self) -> Iterator[ReadRow]:
        lines = (line for _, line in self._lines)
        try:
            for number, cells in enumerate(csv.reader(lines, delimiter=self._delimiter, strict=True), start=1):
                yield number, cells, NOTHING
        except csv.Error as error:
            raise SourceError("{file} is not as csv writes it: {error}.", file=self.name, error=error) from None

    def _read(self) -> Iterator[ReadRow]:
        delimiter = self._delimiter
        for number, line in self._lines:
            self._row += 1
            if '"' not in line:
                yield self._row, line.rstrip("\r\n").split(delimiter), NOTHING
            elif len(line) < LONGEST_FIELD and self._is_plain(line):
                self._plain_lines.append(line)
                yield self._row, next(self._csv), NOTHING
            else:
                yield self._read_quoted(number, line)

    def _read_quoted(self, number: int, line: str) -> ReadRow:
        """Read the row with quotes that begins in a line.

        Raises:
            SourceError: A later line closes no quote, or one within a field: other rows are within the quotes.
        """
        self._last_line = number
        cells = self._fields(line)
        lines = self._last_line - number + 1
        if cells is None and lines > 1:
            problem = N_(
                "Row {row:,} (line {line:,}) of {file} opens a quote that is not closed properly; "
                "all rows down to line {last:,} would be part of it."
            )
            advice = N_("Close the quote; write a quote that belongs to a value twice.")
            raise SourceError(problem, advice, file=self.name, row=self._row, line=number, last=self._last_line)
        if cells is None:
            text = line.rstrip("\r\n")
            return self._row, [text], [found("misplaced-quote", value=quoted(text.strip()))]
        problems = []
        if field := next((cell for cell in cells if '\\"' in f'{cell}"'), None):
            problems.append(found("backslash-before-quote", value=quoted(field)))
        if lines > 1 and (field := _field_with_a_row(cells, self._delimiter)):
            problems.append(found("row-in-quotes", value=quoted(field)))
        plain = [FORMULA.sub(lambda formula: formula[1] or " ", cell) for cell in cells]  # ="" is not empty
        if plain != cells:
            problems.append(found("formula-quotes-removed"))
        return self._row, plain, problems

    def _fields(self, line: str) -> list[str] | None:
        """The fields of the row that begins in a line; ``None`` if a quote is misplaced or not closed."""
        cells: list[str] = []
        place, end = 0, self._delimiter
        while end == self._delimiter:
            opening = self._opening.match(line, place)
            field = self._quoted.match(line, opening.end()) if opening else self._unquoted.match(line, place)
            text = ""
            while field and field[2] is None:  # the quote is open at the end of the line
                text += field[1]
                if len(text) > LONGEST_FIELD:
                    problem = N_("Row {row:,} of {file} has a field of more than {most:,} characters.")
                    advice = N_("Check for a quote that is opened there and never closed.")
                    raise SourceError(problem, advice, file=self.name, row=self._row, most=LONGEST_FIELD)
                self._last_line, line = next(self._lines, (self._last_line, ""))
                field = self._quoted.match(line) if line else None
            if field is None or (not opening and field[1].count('"') % 2):
                return None
            text += field[1]
            if opening:  # white space around quotes with nothing in them is not empty either
                text = text.replace('""', '"') or line[place : field.start(2)].replace('"', "")
            cells.append(text)
            place, end = field.end(), field[2]
        return cells


def _field_with_a_row(row: list[str], delimiter: str) -> str | None:
    """A field of which a line could be a row by itself, or the first and the last line the ends of two rows."""
    most = max(len(row), len(FIELDS)) - 1
    for column, field in enumerate(row):
        first, *more = (line.count(delimiter) for line in re.split(r"\r\n?|\n", field))
        if more and (max(first, *more) >= most or (first >= most - column and more[-1] >= column)):
            return field
    return None


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
