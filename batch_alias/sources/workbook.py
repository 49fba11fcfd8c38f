"""Workbooks (.xlsx, .xlsm, .xlsb, .xls, .ods), by calamine row by row, beside what ``ooxml`` and ``otherbooks`` add."""

import zipfile
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources.calamine_rows import CalamineRows, sheets
from batch_alias.sources.cells import Cell, error_flaw, flaw_of, formatted, text_of, unknown_format
from batch_alias.sources.columns import Column, Columns, Role, numbered, roles_named
from batch_alias.sources.excerpts import excerpt, listing
from batch_alias.sources.formats import AS_IS
from batch_alias.sources.ooxml import Marks, Package
from batch_alias.sources.otherbooks import open_document_pads, pads_numbers
from batch_alias.sources.table import CHUNK_ROWS, Chunk, RowProblem


class Workbook:
    """One sheet of a workbook.

    Args:
        path: The file.
        reading: The sheet, if a person named one; the columns help to find it.

    Raises:
        SourceError: It is not a workbook, is damaged or encrypted, has no such sheet, or several that could be meant.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        self._path = path
        self._size = path.stat().st_size
        self._package: Package | None = None
        self._may_pad = False
        match _kind(path):
            case "ooxml":
                self._package = Package(path)
            case "ods":
                self._may_pad = open_document_pads(path)
            case _:
                self._may_pad = pads_numbers(path)
        try:
            self._sheet = self._choose(reading)
        except SourceError:
            if _is_encrypted(path):
                raise SourceError(f"{path.name} is protected by a password.", "Save it without one.") from None
            raise
        self.description = f"workbook, sheet {excerpt(self._sheet.name)}"
        self.header = self._sheet.header
        if not self.header:
            self.close()
            raise SourceError(f"The sheet {excerpt(self._sheet.name)} of {path.name} is empty.", "Look at --sheet.")

    def progress(self) -> tuple[int, int]:
        """A workbook is read whole when it is open_job."""
        return self._size, self._size

    def close(self) -> None:
        """Let go of the workbook."""
        self._sheet.close()

    def chunks(self, columns: Columns) -> Iterator[Chunk]:
        """Read the rows under the header."""
        while cells := list(islice(self._sheet.rows, CHUNK_ROWS)):
            chunk = Chunk(first=self._sheet.row + 1, rows=[])
            for place, row in enumerate(cells):
                texts = [cell if isinstance(cell, str) else text_of(cell) for cell in row]
                flaws = self._classify(row, texts, chunk.first + place, columns)
                if flaws:
                    chunk.flaws[place] = flaws
                chunk.rows.append(texts)
            self._sheet.row += len(cells)
            yield chunk

    def _classify(self, row: list[Cell], texts: list[str], number: int, columns: Columns) -> tuple[RowProblem, ...]:
        """What is to be said about the three cells of a row; a number's text gets the zeros of its format."""
        marks = self._sheet.marks
        found: list[RowProblem | None] = []
        for role, column in zip(Role, columns, strict=True):
            cell = row[column.index]
            mark = marks.at(number - 1, self._sheet.offset + column.index) if marks else None
            if mark == Marks.ERROR:
                found.append(error_flaw(column.name))
            elif not isinstance(cell, str):
                is_id = role is not Role.REMARK
                found.append(flaw_of(cell, column.name, is_id=is_id))
                texts[column.index], flaw = self._format(cell, mark, column)
                found.append(flaw)
                if is_id and self._may_pad:
                    found.append(unknown_format(cell, column.name))
        return tuple(flaw for flaw in found if flaw is not None)

    def _format(self, cell: Cell, mark: int | None, column: Column) -> tuple[str, RowProblem | None]:
        styles = self._package.styles if self._package is not None else []
        style = styles[mark] if mark is not None and mark < len(styles) else AS_IS
        return formatted(cell, style, column.name)

    def _choose(self, reading: Reading) -> "_Sheet":
        found = sheets(self._path)
        names = tuple(name for name, _ in found)
        if reading.sheet is not None:
            if reading.sheet not in names:
                raise SourceError(
                    f"There is no sheet {excerpt(reading.sheet)}; the sheets are {listing(names)}.", "Look at --sheet."
                )
            return self._open(reading.sheet, reading)
        visible = tuple(name for name, is_visible in found if is_visible)
        match visible:
            case ():
                raise SourceError(f"{self._path.name} has no visible sheet.", "Name a hidden one with --sheet.")
            case (only,):
                return self._open(only, reading)
        headers = {name: self._header_of(name, reading) for name in visible}
        fitting = tuple(name for name, header in headers.items() if roles_named(header, reading) == len(Role))
        if len(fitting) > 1:
            raise SourceError(f"Several sheets have the columns: {listing(fitting)}.", "Say which with --sheet.")
        filled = (name for name, header in headers.items() if header)
        return self._open(next(chain(fitting, filled, visible)), reading)

    def _header_of(self, name: str, reading: Reading) -> tuple[str, ...]:
        sheet = self._open(name, reading)
        sheet.close()
        return sheet.header

    def _open(self, name: str, reading: Reading) -> "_Sheet":
        marks = self._package.scan(name) if self._package is not None else Marks()
        return _Sheet(self._path, name, marks, has_header=reading.header)


class _Sheet:
    """A sheet, read up to its header.

    Attributes:
        name: Its name.
        header: Its column names; empty when the sheet is.
        row: The number of the row read last.
        rows: The rows after it.
        offset: How many empty columns stand before the first.
        marks: The cells that are more than their value.
    """

    def __init__(self, path: Path, name: str, marks: Marks, *, has_header: bool) -> None:
        self.name = name
        self.marks = marks
        self.header: tuple[str, ...] = ()
        self.row = 0
        self._read = CalamineRows(path, name)
        self.offset = self._read.offset
        self.rows = iter(self._read)
        for number, row in enumerate(self.rows, start=1):
            header = tuple(text_of(cell).strip() for cell in row)
            if any(header):
                self.header = header if has_header else numbered(len(row))
                self.row = number if has_header else number - 1
                self.rows = self.rows if has_header else chain([row], self.rows)
                break

    def close(self) -> None:
        """Let go of it."""
        self._read.close()


def _kind(path: Path) -> str:
    """``ooxml``, ``ods`` or, for the binary ones, ``other``."""
    if not zipfile.is_zipfile(path):
        return "other"
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
    if "mimetype" in names:
        return "ods"
    return "other" if "xl/workbook.bin" in names else "ooxml"


def _is_encrypted(path: Path) -> bool:
    """Whether it is the envelope that Office puts around an encrypted workbook ([MS-OFFCRYPTO] 2.3.4.4)."""
    name = "EncryptedPackage".encode("utf-16-le")
    with path.open("rb") as file:
        end = b""
        while block := file.read(256 * 1024):
            if name in end + block:
                return True
            end = block[-len(name) :]
    return False
