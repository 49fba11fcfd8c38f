"""Excel workbooks, .xlsx and .xls: calamine reads the rows; ``xlsx`` adds what it leaves out."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from io import BufferedIOBase
from itertools import chain, islice
from pathlib import Path

from batch_alias.errors import SourceError
from batch_alias.problems import RowProblem, found
from batch_alias.settings import Reading
from batch_alias.sources import calamine_worker
from batch_alias.sources.cells import Cell, DateOrTime, Padding, read_cell, text_of
from batch_alias.sources.columns import CHUNK_ROWS, Chunk, Columns
from batch_alias.sources.header import Header, Top, find_header, first_rows
from batch_alias.sources.xlsx import BLOCK, Marks, Package, not_a_workbook
from batch_alias.text import listing, quoted

ZIP = b"PK\x03\x04"

# A FORMAT record of BIFF8 ([MS-XLS] 2.4.126): its type, sizes, and a format of zeros only, one byte a character.
_PADDING_IN_XLS = re.compile(rb"\x1e\x04[\x07-\x40]\x00[\x00-\xff]{2}[\x02-\x40]\x00\x00(0{2,})(?![0-9A-Za-z.#])")
# The stream in the compound file that Office makes of an encrypted workbook ([MS-OFFCRYPTO] 2.3.4.4).
_ENCRYPTED = re.compile(re.escape("EncryptedPackage".encode("utf-16-le")))


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
        self._marks = Marks()
        # In an .xls it is not known which cell has which format. If one pads numbers, no number in an id is certain.
        self._id_padding = None if self._package is None and _contains(file, _PADDING_IN_XLS) else 0
        try:
            found, self._sheet = self._find_header(stack)
        except SourceError:
            if self._package is None and _contains(file, _ENCRYPTED):
                raise _encrypted(path) from None
            raise
        file.seek(0, os.SEEK_END)  # for the progress: a workbook is read completely when it is opened
        self.description = ", ".join(filter(None, ("workbook", f"sheet {quoted(found.sheet)}", found.place)))
        self.header = found.names

    def chunks(self, columns: Columns) -> Iterator[Chunk]:
        """Read the rows under the header."""
        while rows := list(islice(self._sheet.rows, CHUNK_ROWS)):
            chunk = Chunk(first=rows[0][0])
            marks = self._marks.between(chunk.first - 1, chunk.first - 1 + len(rows))
            for place, (number, row) in enumerate(rows):
                texts, problems = self._read(row, columns, number - 1, marks)
                if problems:
                    chunk.problems[place] = problems
                chunk.rows.append(texts)
            yield chunk

    def _read(
        self, row: list[Cell], columns: Columns, index: int, marks: dict[tuple[int, int], int]
    ) -> tuple[list[str], list[RowProblem]]:
        """The texts of a row, the fourth of a sheet having the index 3, and the problems of the columns' cells."""
        texts = _texts(row)
        problems: list[RowProblem] = []
        for column in columns:
            cell = row[column.index]
            mark = marks.get((index, self._sheet.offset + column.index)) if marks else None
            if mark == Marks.ERROR:
                problems.append(found("error-cell", column=quoted(column.name)))
            elif not isinstance(cell, str):
                is_id = column is not columns.remark
                padding = self._padding(mark, is_id=is_id)
                texts[column.index], of_cell = read_cell(cell, padding, column.name, is_id=is_id)
                problems += of_cell
        return texts, problems

    def _padding(self, style: int | None, *, is_id: bool) -> Padding:
        if self._package is None:
            return self._id_padding if is_id else 0
        return 0 if style is None else self._package.formats[style]

    def _find_header(self, stack: ExitStack) -> tuple[Header, "_Sheet"]:
        """The header of the sheet that is named, or that has one; and that sheet, read up to it."""
        reading, sheets = self._reading, list(_read_with_calamine(self._path))
        names = [text_of(name) for name, is_visible in sheets if is_visible]
        if reading.sheet is not None:
            every = [text_of(name) for name, _ in sheets]
            if reading.sheet not in every:
                problem = "There is no sheet {sheet}; the sheets are {sheets}."
                advice = "Name one of them with --sheet."
                raise SourceError(problem, advice, sheet=quoted(reading.sheet), sheets=listing(every))
            names = [reading.sheet]
        if not names:
            problem = "{file} has no visible sheet."
            raise SourceError(problem, "Name a hidden one with --sheet.", file=self._path.name)
        tops = []
        for name in names:
            sheet = self._open(name, stack)
            tops.append(Top(name, [(number, _texts(row)) for number, row in sheet.first]))
            if len(names) > 1:
                sheet.close()
        header = find_header(tops, reading, file=self._path.name)
        if len(names) > 1:
            sheet = self._open(header.sheet, stack)
        sheet.begin(after=header.row)
        return header, sheet

    def _open(self, name: str, stack: ExitStack) -> "_Sheet":
        if self._package is not None:
            self._marks = self._package.scan(name)
        sheet = _Sheet(self._path, name, self._reading)
        stack.callback(sheet.close)
        return sheet


class _Sheet:
    """An open sheet: its first rows, and all rows under its header, with their numbers from 1."""

    def __init__(self, path: Path, name: str, reading: Reading) -> None:
        self._read = _read_with_calamine(path, name)
        [offset] = next(self._read)
        self.offset = offset if isinstance(offset, int) else 0  # empty columns before the table, not in its rows
        self.rows: Iterator[tuple[int, list[Cell]]] = enumerate(self._read, start=1)
        self.first = first_rows(self.rows, lambda row: _texts(row[1]), reading)

    def begin(self, *, after: int) -> None:
        """Leave out the rows up to the header."""
        self.rows = chain([row for row in self.first if row[0] > after], self.rows)

    def close(self) -> None:
        self._read.close()


def _texts(row: list[Cell]) -> list[str]:
    return [cell if isinstance(cell, str) else text_of(cell) for cell in row]


def _read_with_calamine(path: Path, *sheet: str) -> Generator[list[Cell], None, None]:
    """The rows that ``calamine_worker`` writes; its process is ended with the generator."""
    with subprocess.Popen(  # noqa: S603 - our own script; the path is an argument to it
        [sys.executable, "-P", calamine_worker.__file__, str(path.resolve()), *sheet],
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
                    case {"password": _}:
                        raise _encrypted(path)
                    case {"damage": damage}:
                        raise not_a_workbook(path.name, damage)
                    case _:
                        return
        finally:
            process.kill()
    raise not_a_workbook(path.name, "it takes more memory or time than any workbook should")


def _from_json(value: dict[str, str]) -> DateOrTime | dict[str, str]:
    return DateOrTime(value["time"]) if "time" in value else value


def _encrypted(path: Path) -> SourceError:
    return SourceError("{file} is protected by a password.", "Save it without one.", file=path.name)


def _contains(file: BufferedIOBase, pattern: re.Pattern[bytes]) -> bool:
    """Whether a file contains a match of at most 256 bytes."""
    file.seek(0)
    end = b""
    while block := file.read(BLOCK):
        if pattern.search(end + block):
            return True
        end = block[-256:]
    return False
