"""Excel workbooks, .xlsx and .xls: calamine reads the rows; ``xlsx`` adds what it leaves out."""

import re
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from batch_alias.errors import SourceError
from batch_alias.problems import RowProblem, found
from batch_alias.settings import Reading
from batch_alias.sources.calamine_sheet import Sheet, list_sheets
from batch_alias.sources.cells import AS_IS, Cell, NumberFormat, read_cell, text_of
from batch_alias.sources.columns import CHUNK_ROWS, Chunk, Columns, Role, count_roles
from batch_alias.sources.xlsx import Marks, Package, encrypted
from batch_alias.text import listing, quoted

ZIP = b"PK\x03\x04"
BLOCK = 256 * 1024

# A FORMAT record of BIFF8 ([MS-XLS] 2.4.126): its type, sizes, and a format of zeros only, one byte a character.
_PADDING_IN_XLS = re.compile(rb"\x1e\x04[\x07-\x40]\x00[\x00-\xff]{2}[\x02-\x40]\x00\x00(0{2,})(?![0-9A-Za-z.#])")
# The stream in the compound file that Office makes of an encrypted workbook ([MS-OFFCRYPTO] 2.3.4.4).
_ENCRYPTED = re.compile(re.escape("EncryptedPackage".encode("utf-16-le")))


class ExcelReader:
    """Reads one sheet of a workbook: the one that is named, else the visible one that has the columns.

    Raises:
        SourceError: It is not a workbook, is damaged or encrypted, has no such sheet, or several could be meant.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        self._path = path
        self._size = path.stat().st_size
        with path.open("rb") as file:
            is_zip = file.read(len(ZIP)) == ZIP
        self._package = Package(path) if is_zip else None
        self._marks = Marks()
        # In an .xls it is not known which cell has which format. If one pads numbers, no number in an id is certain.
        self._id_format = NumberFormat(other=True) if not is_zip and _contains(path, _PADDING_IN_XLS) else AS_IS
        try:
            self._sheet = self._open_sheet(reading)
        except SourceError:
            if not is_zip and _contains(path, _ENCRYPTED):
                raise encrypted(path.name) from None
            raise
        self.description = f"workbook, sheet {quoted(self._sheet.name)}"
        self.header = self._sheet.header
        if not self.header:
            self.close()
            problem = "The sheet {sheet} of {file} is empty."
            raise SourceError(problem, "Name another with --sheet.", sheet=quoted(self._sheet.name), file=path.name)

    def progress(self) -> tuple[int, int]:
        """The size of the file, twice: a workbook is read completely when it is opened."""
        return self._size, self._size

    def close(self) -> None:
        """End the process that reads it."""
        self._sheet.close()

    def chunks(self, columns: Columns) -> Iterator[Chunk]:
        """Read the rows under the header."""
        sheet = self._sheet
        while rows := list(islice(sheet.rows, CHUNK_ROWS)):
            chunk = Chunk(first=sheet.row + 1, rows=[])
            marks = self._marks.between(sheet.row, sheet.row + len(rows))
            for place, row in enumerate(rows):
                texts, problems = self._read(row, columns, sheet.row + place, marks)
                if problems:
                    chunk.problems[place] = tuple(problems)
                chunk.rows.append(texts)
            sheet.row += len(rows)
            yield chunk

    def _read(
        self, row: list[Cell], columns: Columns, index: int, marks: dict[tuple[int, int], int]
    ) -> tuple[list[str], list[RowProblem]]:
        """The texts of a row, the fourth of a sheet having the index 3, and the problems of the columns' cells."""
        texts = [cell if isinstance(cell, str) else text_of(cell) for cell in row]
        problems: list[RowProblem] = []
        for column in columns:
            cell = row[column.index]
            mark = marks.get((index, self._sheet.offset + column.index)) if marks else None
            if mark == Marks.ERROR:
                problems.append(found("error-cell", column=quoted(column.name)))
            elif not isinstance(cell, str):
                is_id = column is not columns.remark
                number_format = self._number_format(mark, is_id=is_id)
                texts[column.index], of_cell = read_cell(cell, number_format, column.name, is_id=is_id)
                problems += of_cell
        return texts, problems

    def _number_format(self, style: int | None, *, is_id: bool) -> NumberFormat:
        if self._package is None:
            return self._id_format if is_id else AS_IS
        formats = self._package.formats
        return formats[style] if style is not None and style < len(formats) else AS_IS

    def _open_sheet(self, reading: Reading) -> Sheet:
        """Open the sheet that is named, the only visible one, or the one that has the columns."""
        all_sheets = list_sheets(self._path)
        if reading.sheet is not None:
            names = [name for name, _ in all_sheets]
            if reading.sheet not in names:
                problem = "There is no sheet {sheet}; the sheets are {sheets}."
                advice = "Name one of them with --sheet."
                raise SourceError(problem, advice, sheet=quoted(reading.sheet), sheets=listing(names))
            return self._open(reading.sheet, reading)
        visible = [name for name, is_visible in all_sheets if is_visible]
        if not visible:
            problem = "{file} has no visible sheet."
            raise SourceError(problem, "Name a hidden one with --sheet.", file=self._path.name)
        if len(visible) == 1:
            return self._open(visible[0], reading)
        headers = {name: self._header_of(name, reading) for name in visible}
        fitting = [name for name, header in headers.items() if count_roles(header, reading) == len(Role)]
        if len(fitting) > 1:
            problem = "Several sheets have the columns: {sheets}."
            raise SourceError(problem, "Name one of them with --sheet.", sheets=listing(fitting))
        with_header = [name for name, header in headers.items() if header]
        return self._open((fitting + with_header + visible)[0], reading)

    def _header_of(self, name: str, reading: Reading) -> tuple[str, ...]:
        with closing(self._open(name, reading)) as sheet:
            return sheet.header

    def _open(self, name: str, reading: Reading) -> Sheet:
        if self._package is not None:
            self._marks = self._package.scan(name)
        return Sheet(self._path, name, no_header=reading.no_header)


def _contains(path: Path, pattern: re.Pattern[bytes]) -> bool:
    """Whether a file contains a match of at most 256 bytes."""
    with path.open("rb") as file:
        end = b""
        while block := file.read(BLOCK):
            if pattern.search(end + block):
                return True
            end = block[-256:]
    return False
