"""Workbooks (.xlsx, .xlsm, .xlsb, .xls, .ods), by calamine row by row, beside what ``ooxml`` and ``otherbooks`` add."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

import python_calamine as calamine

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources.cells import Cell, error_flaw, flaw_of, formatted, text_of, unknown_format
from batch_alias.sources.columns import Column, Columns, Role, numbered, roles_named
from batch_alias.sources.excerpts import excerpt, listing
from batch_alias.sources.formats import AS_IS
from batch_alias.sources.ooxml import Marks, Package
from batch_alias.sources.otherbooks import open_document_pads, pads_numbers
from batch_alias.sources.table import CHUNK_ROWS, Chunk, Flaw


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
        with path.open("rb") as file, _translated(path):
            # By content: from a path calamine would believe the extension.
            self._book = calamine.load_workbook(file)
            self._sheet = self._choose(reading)
        self.description = f"workbook, sheet {excerpt(self._sheet.name)}"
        self.header = self._sheet.header
        if not self.header:
            raise SourceError(f"The sheet {excerpt(self._sheet.name)} of {path.name} is empty.", "Look at --sheet.")

    def progress(self) -> tuple[int, int]:
        """A workbook is read whole when it is opened."""
        return self._size, self._size

    def close(self) -> None:
        """Let go of the workbook."""
        self._book.close()

    def chunks(self, columns: Columns) -> Iterator[Chunk]:
        """Read the rows under the header."""
        while cells := list(islice(self._sheet.rows, CHUNK_ROWS)):
            chunk = Chunk(first=self._sheet.row + 1, rows=[])
            for place, row in enumerate(cells):
                texts = [cell if isinstance(cell, str) else text_of(cell) for cell in row]
                flaws = self._judge(row, texts, chunk.first + place, columns)
                if flaws:
                    chunk.flaws[place] = flaws
                chunk.rows.append(texts)
            self._sheet.row += len(cells)
            yield chunk

    def _judge(self, row: list[Cell], texts: list[str], number: int, columns: Columns) -> tuple[Flaw, ...]:
        """What is to be said about the three cells of a row; a number's text gets the zeros of its format."""
        marks = self._sheet.marks
        found: list[Flaw | None] = []
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

    def _format(self, cell: Cell, mark: int | None, column: Column) -> tuple[str, Flaw | None]:
        styles = self._package.styles if self._package is not None else []
        style = styles[mark] if mark is not None and mark < len(styles) else AS_IS
        return formatted(cell, style, column.name)

    def _choose(self, reading: Reading) -> "_Sheet":
        sheets = [sheet for sheet in self._book.sheets_metadata if sheet.typ == calamine.SheetTypeEnum.WorkSheet]
        names = tuple(sheet.name for sheet in sheets)
        if reading.sheet is not None:
            if reading.sheet not in names:
                raise SourceError(
                    f"There is no sheet {excerpt(reading.sheet)}; the sheets are {listing(names)}.", "Look at --sheet."
                )
            return self._open(reading.sheet, reading)
        visible = [sheet.name for sheet in sheets if sheet.visible == calamine.SheetVisibleEnum.Visible]
        if not visible:
            raise SourceError(f"{self._path.name} has no visible sheet with cells.", "Name a hidden one with --sheet.")
        opened = [self._open(name, reading) for name in visible]
        fitting = [sheet for sheet in opened if roles_named(sheet.header, reading) == len(Role)]
        if len(fitting) > 1:
            both = listing(tuple(sheet.name for sheet in fitting))
            raise SourceError(f"Several sheets have the columns: {both}.", "Say which is meant with --sheet.")
        return next(iter([*fitting, *(sheet for sheet in opened if sheet.header), *opened]))

    def _open(self, name: str, reading: Reading) -> "_Sheet":
        marks = self._package.scan(name) if self._package is not None else Marks()
        return _Sheet(self._book.get_sheet_by_name(name), marks, has_header=reading.header)


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

    def __init__(self, sheet: calamine.CalamineSheet, marks: Marks, *, has_header: bool) -> None:
        self.name = sheet.name
        self.marks = marks
        self.offset = sheet.start[1] if sheet.start else 0
        self.header: tuple[str, ...] = ()
        self.row = 0
        self.rows: Iterator[list[Cell]] = sheet.iter_rows()
        for number, row in enumerate(self.rows, start=1):
            header = tuple(text_of(cell).strip() for cell in row)
            if any(header):
                self.header = header if has_header else numbered(len(row))
                self.row = number if has_header else number - 1
                self.rows = self.rows if has_header else chain([row], self.rows)
                break


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Make a sentence of what calamine raises."""
    try:
        yield
    except SourceError:
        raise
    except BaseException as error:
        panicked = type(error).__name__ == "PanicException"  # Rust's own, which is no Exception and has no module
        if not panicked and not isinstance(error, calamine.CalamineError | OSError | ValueError):
            raise
        if isinstance(error, calamine.PasswordError) or _is_encrypted(path):
            raise SourceError(f"{path.name} is protected by a password.", "Save it without one.") from None
        raise SourceError(
            f"{path.name} is not a workbook that can be read: {error}.",
            "Open it in Excel and save it again as .xlsx, or as CSV UTF-8.",
        ) from None


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
