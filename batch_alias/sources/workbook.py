"""Excel workbooks, by calamine.

A cell is not always text, and what Excel made of a long id cannot be undone: a number keeps 15 digits, and ids are
longer. So whole numbers become their digits as long as Excel can hold them, and everything else that is not text is
rejected where it would be sent.
"""

import datetime
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import assert_never

import python_calamine as calamine

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources.columns import Column, Columns
from batch_alias.sources.excerpts import excerpt, listing
from batch_alias.sources.table import CHUNK_ROWS, Chunk, Flaw

Cell = str | int | float | bool | datetime.date | datetime.time | datetime.timedelta

EXACT_IN_ID = 10**14
"""A number with 15 digits or more may have been longer before Excel cut it."""
EXACT_IN_ALIAS = 10**15
"""Above 15 digits Excel itself shows zeros."""


class Workbook:
    """One sheet of a workbook.

    Args:
        path: The file.
        reading: The sheet, if a person named one.

    Raises:
        SourceError: It is not a workbook, is damaged or encrypted, or has no such sheet.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        self._size = path.stat().st_size
        with path.open("rb") as file:
            try:
                # By content: from a path calamine would believe the extension.
                book = calamine.load_workbook(file)
                sheet = book.get_sheet_by_name(_choose_sheet(book, reading.sheet))
            except calamine.PasswordError:
                raise SourceError(f"{path.name} is protected by a password.", "Save it without one.") from None
            except calamine.CalamineError as error:
                raise SourceError(
                    f"{path.name} is not a workbook that can be read: {error}.",
                    "Open it in Excel and save it again as .xlsx, or as CSV UTF-8.",
                ) from None
        self.description = f"Excel workbook, sheet {excerpt(sheet.name)}"
        self._cells: Iterator[list[Cell]] = sheet.iter_rows()
        self._row, self.header = self._read_header(path)

    def progress(self) -> tuple[int, int]:
        """A workbook is read whole when it is opened."""
        return self._size, self._size

    def close(self) -> None:
        """Let go of the sheet."""
        self._cells = iter(())

    def chunks(self, columns: Columns) -> Iterator[Chunk]:
        """Read the rows under the header."""
        while cells := list(islice(self._cells, CHUNK_ROWS)):
            chunk = Chunk(first=self._row + 1, rows=[])
            for place, row in enumerate(cells):
                flaws = tuple(_flaws(row, columns))
                if flaws:
                    chunk.flaws[place] = flaws
                chunk.rows.append([cell if isinstance(cell, str) else _text(cell) for cell in row])
            self._row += len(cells)
            yield chunk

    def _read_header(self, path: Path) -> tuple[int, tuple[str, ...]]:
        for number, row in enumerate(self._cells, start=1):
            header = tuple(_text(cell).strip() for cell in row)
            if any(header):
                return number, header
        raise SourceError(f"{self.description} of {path.name} is empty.", "Name another sheet with --sheet.")


def _choose_sheet(book: calamine.CalamineWorkbook, wanted: str | None) -> str:
    names = tuple(sheet.name for sheet in book.sheets_metadata if sheet.typ == calamine.SheetTypeEnum.WorkSheet)
    if wanted is not None and wanted not in names:
        raise SourceError(f"There is no sheet {excerpt(wanted)}; the sheets are {listing(names)}.", "Look at --sheet.")
    if not names:
        raise SourceError("The workbook has no sheet with cells.")
    return names[0] if wanted is None else wanted


def _text(cell: Cell) -> str:
    match cell:
        case str():
            return cell
        case bool():
            return "TRUE" if cell else "FALSE"
        case int() | float():
            whole = math.isfinite(cell) and cell == int(cell)
            return str(int(cell)) if whole else format(cell, ".15g")
        case datetime.date() | datetime.time():
            return cell.isoformat()
        case datetime.timedelta():
            return str(cell)
        case _:
            assert_never(cell)


def _flaws(row: list[Cell], columns: Columns) -> Iterator[Flaw]:
    """The cells of the three that are not text and cannot become it."""
    for column, is_id in ((columns.user, True), (columns.group, True), (columns.remark, False)):
        cell = row[column.index]
        flaw = None if isinstance(cell, str) else _cell_flaw(cell, column, is_id=is_id)
        if flaw is not None:
            yield flaw


def _cell_flaw(cell: Cell, column: Column, *, is_id: bool) -> Flaw | None:
    what = f"Column {excerpt(column.name)} holds"
    match cell:
        case str():
            return None
        case bool():
            problem = ("boolean-in-id", f"{what} the truth value {_text(cell)}") if is_id else None
        case int() | float():
            problem = _number_problem(cell, what, is_id=is_id)
        case datetime.date() | datetime.time() | datetime.timedelta():
            reason = "date-in-id" if is_id else "date-in-remark"
            problem = (reason, f"{what} the date or time {_text(cell)}, whose text is not in the file")
        case _:
            assert_never(cell)
    if problem is None:
        return None
    reason, sentence = problem
    return Flaw(reason=reason, message=f"{sentence}; format the column as text and enter the value again.")


def _number_problem(number: float, what: str, *, is_id: bool) -> tuple[str, str] | None:
    if not math.isfinite(number) or abs(number) >= (EXACT_IN_ID if is_id else EXACT_IN_ALIAS):
        return "number-too-long", f"{what} the number {_text(number)}, of which Excel may have changed the last digits"
    if is_id and number != int(number):
        return "decimal-in-id", f"{what} the number {_text(number)}, which is not whole"
    if "e" in _text(number):
        return "number-too-long", f"{what} the number {_text(number)}, which Excel shows in another way"
    return None
