"""Excel workbooks, .xlsx and .xls: ``workbook_worker`` reads the rows; ``xlsx`` adds what calamine leaves out."""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from io import BufferedIOBase
from itertools import chain, islice, zip_longest
from pathlib import Path

from batch_alias.errors import SourceError
from batch_alias.problems import RowProblem, found
from batch_alias.settings import Reading
from batch_alias.sources import workbook_worker
from batch_alias.sources.cells import (
    UNKNOWN,
    Cell,
    DateOrTime,
    Flaw,
    Format,
    Formatted,
    parse_format,
    read_cell,
    text_of,
)
from batch_alias.sources.columns import CHUNK_ROWS, Chunk, Columns
from batch_alias.sources.header import Header, Top, find_header, first_rows
from batch_alias.sources.xlsx import Package, Scan, not_a_workbook
from batch_alias.text import N_, _, enumeration, listing, quoted

ZIP = b"PK\x03\x04"
NO_TABLE = N_("Name a file of rows: CSV or Excel.")

# What a compound file without a workbook is, by one of its streams.
_OTHERS = {
    "EncryptedPackage": (N_("{file} is protected by a password."), N_("Save it without one.")),
    "WordDocument": (N_("{file} is a Word document."), NO_TABLE),
    "PowerPoint Document": (N_("{file} is a PowerPoint presentation."), NO_TABLE),
}


class ExcelReader:
    """Reads one sheet of a workbook: the one that is named, else the visible one that has the columns.

    The process that reads it is ended with the stack.

    Raises:
        SourceError: It is not a workbook, is damaged or encrypted, has no such sheet, or several could be meant.
    """

    def __init__(self, file: BufferedIOBase, path: Path, reading: Reading, stack: ExitStack) -> None:
        self._path = path
        self._reading = reading
        self._package = Package(path) if file.read(len(ZIP)) == ZIP else None
        header, self._sheet = self._find_header(stack)
        file.seek(0, os.SEEK_END)  # for the progress: a workbook is read completely when it is opened
        sheet = _("sheet {sheet}", sheet=quoted(header.sheet))
        self.description = enumeration([_("workbook"), sheet, header.place])
        self.header = header.names

    def chunks(self, columns: Columns) -> Iterator[Chunk]:
        """Read the rows under the header."""
        while first := next(self._sheet.rows, None):
            chunk = Chunk(first=first[0])
            for place, (number, row) in enumerate(chain([first], islice(self._sheet.rows, CHUNK_ROWS - 1))):
                texts = _texts(row)
                problems = [] if texts == row else _read(row, texts, columns)
                if self._sheet.hidden[number] and (problems or any(map(str.strip, texts))):
                    problems.append(found("hidden-row"))
                if problems:
                    chunk.problems[place] = problems
                chunk.rows.append(texts)
            yield chunk

    def _find_header(self, stack: ExitStack) -> tuple[Header, "_Sheet"]:
        """The header of the sheet that is named, or that has one; and that sheet, read up to it."""
        reading, sheets = self._reading, self._sheets()
        names = [name for name, is_visible in sheets if is_visible]
        if reading.sheet is not None:
            every = [name for name, _ in sheets]
            if reading.sheet not in every:
                problem = N_("There is no sheet {sheet}; the sheets are {sheets}.")
                advice = N_("Name one of them with --sheet.")
                raise SourceError(problem, advice, sheet=quoted(reading.sheet), sheets=listing(every))
            names = [reading.sheet]
        if not names:
            raise SourceError("{file} has no visible sheet.", "Name a hidden one with --sheet.", file=self._path.name)
        scans = {name: Scan() if self._package is None else self._package.scan(name) for name in names}
        tops: dict[str, Top] = {}
        for name in sorted(names, key=lambda name: scans[name].rows):  # the last, which stays open, has the most rows
            sheet = self._open(name, scans[name], stack)
            tops[name] = Top(name, [(number, _texts(row)) for number, row in sheet.first])
            if len(tops) < len(names):
                sheet.close()
        header = find_header([tops[name] for name in names], reading, file=self._path.name)
        if header.sheet != name:
            sheet.close()
            sheet = self._open(header.sheet, scans[header.sheet], stack)
        sheet.begin(after=header.row)
        return header, sheet

    def _sheets(self) -> list[tuple[str, bool]]:
        """The names of the sheets, and whether each is visible."""
        if self._package is not None:
            return self._package.sheets
        return [(text_of(name), is_visible is True) for name, is_visible in _work(self._path)]

    def _open(self, name: str, scan: Scan, stack: ExitStack) -> "_Sheet":
        sheet = _Sheet(self._path, name, scan, self._reading)
        stack.callback(sheet.close)
        return sheet


class _Sheet:
    """An open sheet: its first rows, and all rows under its header, with their numbers from 1."""

    def __init__(self, path: Path, name: str, scan: Scan, reading: Reading) -> None:
        self._worker = _work(path, name, *["repair"] * scan.is_unreadable)
        [offset], hidden = next(self._worker), next(self._worker)
        self.hidden = scan.hidden  # by the number of the row
        for number in hidden:
            if isinstance(number, int):
                self.hidden[number] = 1
        left: list[Cell] = [""] * offset if isinstance(offset, int) else []
        self.rows: Iterator[tuple[int, list[Cell]]] = enumerate(_scanned(self._worker, left, scan), start=1)
        self.first = first_rows(self.rows, lambda row: _texts(row[1]), reading)

    def begin(self, *, after: int) -> None:
        """Leave out the rows up to the header."""
        self.rows = chain([row for row in self.first if row[0] > after], self.rows)

    def close(self) -> None:
        self._worker.close()


def _scanned(rows: Iterator[list[Cell]], left: list[Cell], scan: Scan) -> Iterator[list[Cell]]:
    """The rows of a sheet, from its first column on, with what the scan has found."""
    marks = iter(scan)
    mark = next(marks, None)
    # After the last row with a value there may be some with formulas without a result.
    for index, values in zip_longest(range(scan.marked_rows), rows):
        row: list[Cell] = [""] * scan.columns if values is None else left + values if left else values
        if scan.is_unreadable:
            row = [Flaw.HALF_A_CHARACTER if isinstance(cell, str) and "\ufffd" in cell else cell for cell in row]
        while mark is not None and mark[0] == index:
            _, column, shown = mark
            if isinstance(shown, Format):
                if column < len(row) and row[column] != "":
                    row[column] = Formatted(row[column], shown)
            elif column < len(row):
                row[column] = shown
            mark = next(marks, None)
        yield row


def _read(row: list[Cell], texts: list[str], columns: Columns) -> list[RowProblem]:
    """Read the cells of the columns into the texts of their row; the problems that they make for it."""
    problems: list[RowProblem] = []
    for column in columns:
        is_id = column in {columns.user, columns.group}
        texts[column.index], of_cell = read_cell(row[column.index], column.name, is_id=is_id)
        problems += of_cell
    return problems


def _texts(row: list[Cell]) -> list[str]:
    return [cell if isinstance(cell, str) else text_of(cell) for cell in row]


def _work(path: Path, *sheet: str) -> Generator[list[Cell], None, None]:
    """The rows that ``workbook_worker`` writes; its process is ended with the generator."""
    with subprocess.Popen(  # noqa: S603 - our own script; the path is an argument to it
        [sys.executable, "-P", workbook_worker.__file__, str(path.resolve()), *sheet],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            for line in process.stdout or ():
                if not line.endswith(b"\n"):
                    break
                match json.loads(line, object_hook=_from_json):
                    case list(rows):
                        yield from rows
                    case {"stream": stream}:
                        raise SourceError(*_OTHERS[stream], file=path.name)
                    case {"damage": damage, "kind": kind}:
                        raise not_a_workbook(path.name, _(damage) if damage else _("it is damaged ({kind})", kind=kind))
                    case _:
                        return
        finally:
            process.kill()
    raise not_a_workbook(path.name, _("it takes more memory or time than any workbook should"))


def _from_json(value: dict[str, str]) -> DateOrTime | Flaw | Formatted | dict[str, str]:
    match value:
        case {"time": time}:
            return DateOrTime(time)
        case {"flaw": flaw}:
            return Flaw(flaw)
        case {"value": content, "format": code}:
            return Formatted(content, UNKNOWN if code is None else parse_format(code))
        case _:
            return value
