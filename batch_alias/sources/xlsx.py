"""What calamine does not report of an .xlsx: error cells, number formats, hidden rows, and whether it is safe to open.

calamine reads an error cell and a formula without a result as empty cells, knows no number formats, and reserves memory
for every cell between the first and the last: a single cell in the last row and column is a request for hundreds of
gigabytes. So every sheet is scanned first, with expat, in little memory. A document type is refused, as it can declare
entities that expand.
"""

import posixpath
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO
from xml.parsers import expat

from batch_alias.errors import SourceError
from batch_alias.sources.cells import GENERAL, UNKNOWN, Flaw, Format, parse_format
from batch_alias.sources.textfile import BOMB_BYTES, BOMB_RATIO
from batch_alias.sources.workbook_worker import UNREADABLE
from batch_alias.text import N_, _, quoted

BLOCK = 256 * 1024
TALLEST, WIDEST = 1_048_576, 16_384
MOST_CELLS = 30_000_000
MOST_BYTES = 2 * 1024**3

SAVE_AGAIN = N_("Open it in Excel and save it again as .xlsx, or as CSV UTF-8.")
SAVE_AS_CSV = N_("Save the sheet as CSV UTF-8.")

# Formats that files only give by number (ECMA-376, part 1, 18.8.30). All others show more than digits.
_BUILT_IN_FORMATS = {0: "General", 1: "0", 49: "@"}
_NO_VALUE, _TYPES = -1, {"e": -2, "d": -3}
# What is marked in a cell; the other marks are numbers of styles. A date in ISO 8601 is shown in another way.
_MARKS: dict[int, Format | Flaw] = {_NO_VALUE: Flaw.NO_VALUE, -2: Flaw.ERROR, -3: Format(text=None)}
_TRUE = {"1", "true"}

# What reading a damaged workbook raises.
_DAMAGE = (zipfile.BadZipFile, zlib.error, expat.ExpatError, EOFError, OSError, ValueError, LookupError, RuntimeError)


def not_a_workbook(file: str, why: object) -> SourceError:
    """The error for a workbook that is damaged, or not one."""
    return SourceError("{file} is not a workbook that can be read: {why}.", SAVE_AGAIN, file=file, why=why)


class Scan:
    """What a sheet has besides the values that calamine reads, in little memory."""

    def __init__(self, formats: Sequence[Format] = (), *, recalculated: bool = False) -> None:
        self.rows = 0  # of the sheet, up to its last cell with a value or a formula
        self.columns = 0
        self.hidden = bytearray(TALLEST + 1)  # 1 for a hidden row, by its number from 1
        self.is_unreadable = False  # without repair: it has what calamine does not know
        self.marked_rows = 0  # up to the last cell that has a format or a flaw
        self._formats = formats
        self._formatted = {str(style) for style, shown in enumerate(formats) if shown != GENERAL}
        self._recalculated = recalculated
        self._places = array("q")
        self._marks = array("i")
        self._row, self._row_name, self._column = 0, "", -1
        self._kind = self._style = ""
        self._in_formula = self._has_result = False
        self._parser = expat.ParserCreate()
        self._handlers: dict[str, Callable[[dict[str, str]], None]] = {}  # of the elements within sheetData

    def __iter__(self) -> Iterator[tuple[int, int, Format | Flaw]]:
        """The cells that have a format or a flaw, in their order: row and column from 0, and which."""
        for place, mark in zip(self._places, self._marks, strict=True):
            yield *divmod(place, WIDEST), self._formats[mark] if mark >= 0 else _MARKS[mark]

    def read(self, blocks: Iterator[bytes]) -> None:
        """Read the XML of the sheet."""
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.StartDoctypeDeclHandler = _refuse_doctype
        for block in self.search(blocks):
            self._parser.Parse(block)
        self._parser.Parse(b"", True)
        if self._in_formula:
            self._end_formula()

    def search(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Look in the blocks of a part for what calamine does not know."""
        end = b""
        for block in blocks:
            if not self.is_unreadable:
                self.is_unreadable = any(pattern.search(end + block) for pattern in UNREADABLE)
            end = block[-50:]
            yield block

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if handler := self._handlers.get(name):
            handler(attributes)
        elif self._in_formula:
            self._end_formula()  # what follows is not its result
        elif not self._handlers and name.endswith("sheetData"):
            # Elements elsewhere may have the same names, with other prefixes.
            names = (name.removesuffix("sheetData") + element for element in ("row", "c", "f", "v", "is"))
            handlers = (self._start_row, self._start_cell, self._start_formula, self._start_value, self._start_value)
            self._handlers = dict(zip(names, handlers, strict=True))

    def _start_row(self, attributes: dict[str, str]) -> None:
        self._enter_row(int(attributes.get("r", self._row + 1)))
        if attributes.get("hidden") in _TRUE:
            self.hidden[self._row] = 1

    def _enter_row(self, row: int) -> None:
        if self._in_formula:
            self._end_formula()
        if row > TALLEST:
            raise ValueError(_("there is no row {row}", row=row))
        if row <= self._row:
            raise SourceError("The row {row} occurs twice in the sheet, or not in its place.", SAVE_AGAIN, row=row)
        self._row, self._row_name, self._column = row, str(row), -1

    def _start_cell(self, attributes: dict[str, str]) -> None:
        if self._in_formula:
            self._end_formula()
        reference = attributes.get("r")
        if reference is None:
            column = self._column + 1
        else:
            if not (name := reference.removesuffix(self._row_name)).isalpha():  # a row may have no number
                name = reference.rstrip("0123456789")
                self._enter_row(int(reference[len(name) :]))
            column = _column_index(name)
        if column <= self._column:
            problem = N_("The cell {cell} occurs twice in the sheet, or not in its place.")
            raise SourceError(problem, SAVE_AGAIN, cell=reference)
        self._column = column
        self._kind, self._style = attributes.get("t", ""), attributes.get("s", "")

    def _start_formula(self, attributes: dict[str, str]) -> None:
        self._start_value(attributes)
        self._in_formula = True
        self._has_result = self._kind == "e"

    def _start_value(self, _attributes: dict[str, str]) -> None:
        self.rows = self._row
        if self._column >= self.columns:
            self.columns = self._column + 1
        if self._kind in _TYPES:
            self._mark(_TYPES[self._kind])
        elif self._style in self._formatted:
            self._mark(int(self._style))
        if self._in_formula:
            self._has_result = self._kind == "str"  # an empty text is a result too
            self._parser.CharacterDataHandler = self._read_result

    def _read_result(self, text: str) -> None:
        # A program that leaves it to others to calculate may write 0 for each result.
        if text.strip() and not (self._recalculated and text == "0"):
            self._has_result = True

    def _end_formula(self) -> None:
        self._parser.CharacterDataHandler = None
        self._in_formula = False
        if not self._has_result:
            self._mark(_NO_VALUE)

    def _mark(self, mark: int) -> None:
        self.marked_rows = self._row
        place = (self._row - 1) * WIDEST + self._column
        if self._places and self._places[-1] == place:
            self._marks[-1] = mark
        else:
            self._places.append(place)
            self._marks.append(mark)


class Package:
    """The parts of an .xlsx or .xlsm. Raises ``SourceError`` if it is damaged, or too large."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.sheets: list[tuple[str, bool]] = []  # their names, and whether each is visible
        self._parts: dict[str, str] = {}
        self._formats: list[Format] = []  # of each cell style, by its number
        self._recalculated = False  # the program that opens it is to calculate its formulas
        with self._open() as archive:
            self._check_sizes(archive)
            book = next(iter(_related_parts(archive, "", "officeDocument").values()), None)
            if book is None:
                raise ValueError(_("it names no workbook"))
            parts, worksheets = (_related_parts(archive, book, kind) for kind in ("", "/worksheet"))
            strings = _related_parts(archive, book, "/sharedStrings").values()
            self._strings = [part for part in strings if part in archive.namelist()]
            for name, attributes in _elements(archive, book, {"sheet", "calcPr"}):
                if name == "calcPr":
                    self._recalculated = attributes.get("fullCalcOnLoad") in _TRUE
                    continue
                relation = next((value for key, value in attributes.items() if key.endswith(":id")), "")
                self._parts[attributes["name"]] = parts[relation]
                if relation in worksheets:  # not a chart on a sheet of its own
                    self.sheets.append((attributes["name"], attributes.get("state", "visible") == "visible"))
            for part in _related_parts(archive, book, "/styles").values():
                self._read_formats(archive, part)

    def scan(self, sheet: str) -> Scan:
        """Find what calamine does not report of a sheet. Raises ``SourceError`` if it is damaged or too large."""
        scan = Scan(self._formats, recalculated=self._recalculated)
        with self._open() as archive:
            for name in self._strings:
                with archive.open(name) as part:
                    for _block in scan.search(_blocks(part)):  # to its end, which proves that it is as long as it says
                        pass
            with archive.open(self._parts[sheet]) as part:
                scan.read(_blocks(part))
        if scan.rows * scan.columns > MOST_CELLS:
            problem = N_("The sheet {sheet} reaches to row {rows:,} and column {columns:,}: too many cells.")
            advice = N_("Delete the cells far from the table, or save the sheet as CSV UTF-8.")
            raise SourceError(problem, advice, sheet=quoted(sheet), rows=scan.rows, columns=scan.columns)
        return scan

    def _read_formats(self, archive: zipfile.ZipFile, part: str) -> None:
        codes = dict(_BUILT_IN_FORMATS)
        within = ""
        for name, attributes in _elements(archive, part, {"numFmt", "cellStyleXfs", "cellXfs", "xf"}):
            if name == "numFmt":
                codes[int(attributes["numFmtId"])] = attributes.get("formatCode", "")
            elif name != "xf":
                within = name
            elif within == "cellXfs":
                code = codes.get(int(attributes.get("numFmtId", 0)))
                self._formats.append(UNKNOWN if code is None else parse_format(code))

    @contextmanager
    def _open(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                yield archive
        except _DAMAGE as error:
            raise not_a_workbook(self._path.name, error) from None

    def _check_sizes(self, archive: zipfile.ZipFile) -> None:
        parts = archive.infolist()
        if any(part.file_size > BOMB_BYTES + BOMB_RATIO * part.compress_size for part in parts):
            raise SourceError("{file} unpacks to far more than a table would.", SAVE_AS_CSV, file=self._path.name)
        if sum(part.file_size for part in parts) > MOST_BYTES:
            raise SourceError("{file} is too large to be opened.", SAVE_AS_CSV, file=self._path.name)


@cache
def _column_index(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + "ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(letter) + 1
    if not 1 <= number <= WIDEST:
        raise ValueError(_("there is no column {name}", name=quoted(letters)))
    return number - 1


def _related_parts(archive: zipfile.ZipFile, part: str, kind: str) -> dict[str, str]:
    """The parts to which a part has relationships of a kind, by the id of the relationship."""
    folder, name = posixpath.split(part)
    return {
        attributes["Id"]: posixpath.normpath(posixpath.join("/", folder, attributes["Target"]))[1:]
        for _, attributes in _elements(archive, posixpath.join(folder, "_rels", f"{name}.rels"), {"Relationship"})
        if attributes.get("Type", "").endswith(kind)
    }


def _elements(archive: zipfile.ZipFile, part: str, names: set[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The elements of a part that have one of the names: the name without its prefix, and the attributes."""
    found: list[tuple[str, dict[str, str]]] = []

    def start(prefixed: str, attributes: dict[str, str]) -> None:
        name = prefixed.rpartition(":")[2]
        if name in names:
            found.append((name, attributes))

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = _refuse_doctype
    with archive.open(part) as file:
        for block in _blocks(file):
            parser.Parse(block)
            yield from found
            found.clear()
        parser.Parse(b"", True)


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


def _refuse_doctype(*_: object) -> None:
    raise SourceError("The workbook declares a document type, which no spreadsheet program writes.", SAVE_AGAIN)
