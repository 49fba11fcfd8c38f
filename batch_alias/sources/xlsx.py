"""What calamine does not report of an .xlsx: its error cells, its number formats, and whether it is safe to open.

calamine reads an error cell as an empty one, knows no number formats, and reserves memory for every cell between the
first and the last: a single cell in the last row and column is a request for hundreds of gigabytes. So every sheet is
scanned first, with expat, in constant memory. A document type is refused, as it can declare entities that expand.
"""

import posixpath
import zipfile
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from xml.parsers import expat

from batch_alias.errors import SourceError
from batch_alias.sources.cells import BUILT_IN_FORMATS, Padding, parse_format
from batch_alias.sources.textfile import BOMB_BYTES, BOMB_RATIO
from batch_alias.text import quoted

BLOCK = 256 * 1024
TALLEST, WIDEST = 1_048_576, 16_384
MOST_CELLS = 30_000_000
MOST_BYTES = 2 * 1024**3

SAVE_AGAIN = "Open it in Excel and save it again as .xlsx, or as CSV UTF-8."
SAVE_AS_CSV = "Save the sheet as CSV UTF-8."

# What reading a damaged workbook raises.
_DAMAGE = (zipfile.BadZipFile, zlib.error, expat.ExpatError, EOFError, OSError, ValueError, LookupError, RuntimeError)


def not_a_workbook(file: str, why: object) -> SourceError:
    """The error for a workbook that is damaged, or not one."""
    return SourceError("{file} is not a workbook that can be read: {why}.", SAVE_AGAIN, file=file, why=why)


class Marks:
    """The error cells of a sheet, and those with a number format, in little memory."""

    ERROR = -1

    def __init__(self) -> None:
        self.rows = 0  # of the sheet, up to its last cell
        self.columns = 0
        self._places = array("q")
        self._marks = array("i")

    def add(self, row: int, column: int, mark: int) -> None:
        """Mark a cell with ``ERROR`` or the number of its style; rows and columns count from 0, in their order."""
        place = row * WIDEST + column
        if self._places and place <= self._places[-1]:
            raise SourceError("The cells of the sheet are not in order.", SAVE_AGAIN)
        self._places.append(place)
        self._marks.append(mark)

    def between(self, first: int, last: int) -> dict[tuple[int, int], int]:
        """The marks of some rows, from 0, without the last; by row and column."""
        start, end = (bisect_left(self._places, row * WIDEST) for row in (first, last))
        places = (divmod(place, WIDEST) for place in self._places[start:end])
        return dict(zip(places, self._marks[start:end], strict=True))


class Package:
    """The parts of an .xlsx or .xlsm. Raises ``SourceError`` if it is damaged, or too large."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sheets: dict[str, str] = {}
        self.formats: list[Padding] = []  # what the number format of each cell style does, by its number
        with self._open() as archive:
            self._check_sizes(archive)
            book = next(iter(_related_parts(archive, "", "officeDocument").values()), None)
            if book is None:
                raise ValueError("it names no workbook")
            parts = _related_parts(archive, book, "")
            for _, attributes in _elements(archive, book, {"sheet"}):
                relation = next((value for key, value in attributes.items() if key.endswith(":id")), "")
                self._sheets[attributes["name"]] = parts[relation]
            for part in _related_parts(archive, book, "styles").values():
                self._read_formats(archive, part)

    def scan(self, sheet: str) -> Marks:
        """Find the marks of a sheet.

        Raises:
            SourceError: It is damaged, or too large.
        """
        with self._open() as archive:
            if "xl/sharedStrings.xml" in archive.namelist():
                with archive.open("xl/sharedStrings.xml") as part:
                    while part.read(BLOCK):  # to its end, which proves that it is as long as it says
                        pass
            marks = self._scan(archive, self._sheets[sheet])
        if marks.rows * marks.columns > MOST_CELLS:
            problem = "The sheet {sheet} reaches to row {rows:,} and column {columns:,}: too many cells."
            advice = "Delete the cells far from the table, or save the sheet as CSV UTF-8."
            raise SourceError(problem, advice, sheet=quoted(sheet), rows=marks.rows, columns=marks.columns)
        return marks

    def _scan(self, archive: zipfile.ZipFile, part: str) -> Marks:
        marks = Marks()
        marked = {style for style, padding in enumerate(self.formats) if padding != 0}
        row, column = -1, -1
        for name, attributes in _elements(archive, part, {"row", "c"}):
            if name == "row":
                row, column = int(attributes.get("r", row + 2)) - 1, -1
                continue
            reference = attributes.get("r")
            if reference is None:
                column += 1
            else:
                letters = reference.rstrip("0123456789")
                column, row = _column_index(letters), int(reference[len(letters) :]) - 1
            if column >= marks.columns:
                marks.columns = column + 1
            if row >= marks.rows:
                if row >= TALLEST:
                    raise ValueError(f"there is no row {row + 1}")
                marks.rows = row + 1
            kind = attributes.get("t")
            if kind == "e":
                marks.add(row, column, Marks.ERROR)
            elif kind in {None, "n"} and (style := int(attributes.get("s", 0))) in marked:
                marks.add(row, column, style)
        return marks

    def _read_formats(self, archive: zipfile.ZipFile, part: str) -> None:
        codes = dict(BUILT_IN_FORMATS)
        within = ""
        for name, attributes in _elements(archive, part, {"numFmt", "cellStyleXfs", "cellXfs", "xf"}):
            if name == "numFmt":
                codes[int(attributes["numFmtId"])] = attributes.get("formatCode", "")
            elif name != "xf":
                within = name
            elif within == "cellXfs":
                self.formats.append(parse_format(codes.get(int(attributes.get("numFmtId", 0)), "")))

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
            problem = "{file} unpacks to far more than a table would."
            raise SourceError(problem, SAVE_AS_CSV, file=self._path.name)
        if sum(part.file_size for part in parts) > MOST_BYTES:
            raise SourceError("{file} is too large to be opened.", SAVE_AS_CSV, file=self._path.name)


@cache
def _column_index(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + "ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(letter) + 1
    if not 1 <= number <= WIDEST:
        raise ValueError(f"there is no column {letters[:20]!r}")
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

    def refuse(*_: object) -> None:
        raise SourceError("The workbook declares a document type, which no spreadsheet program writes.", SAVE_AGAIN)

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse
    with archive.open(part) as file:
        at_end = False
        while not at_end:
            block = file.read(BLOCK)
            at_end = not block
            parser.Parse(block, at_end)
            yield from found
            found.clear()
