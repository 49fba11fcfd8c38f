"""What calamine does not say of an .xlsx: its error cells, its number formats, and whether it is safe to open.

calamine reads an error cell as an empty one, knows no number formats, and reserves memory for every cell between the
first and the last: a single cell in the last row and column is a request for hundreds of gigabytes. So every sheet is
scanned first, with expat, which keeps nothing. A document type is refused, as it can declare entities that expand.
"""

import posixpath
import zipfile
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from xml.parsers import expat

from batch_alias.errors import SourceError
from batch_alias.sources.cells import AS_IS, BUILT_IN_FORMATS, NumberFormat, parse_format
from batch_alias.text import quoted

BLOCK = 256 * 1024
TALLEST, WIDEST = 1_048_576, 16_384
MOST_CELLS = 30_000_000
MOST_BYTES = 2 * 1024**3
BOMB_BYTES, BOMB_RATIO = 64 * 1024**2, 250

SAVE_AGAIN = "Open it in Excel and save it again as .xlsx, or as CSV UTF-8."
SAVE_AS_CSV = "Save the sheet as CSV UTF-8."

_DAMAGE = (
    *(zlib.error, zipfile.BadZipFile, expat.ExpatError, EOFError, OSError, ValueError, LookupError),
    *(RuntimeError, NotImplementedError),
)
"""What reading a damaged workbook raises."""

Handler = Callable[[str, dict[str, str]], None]


def not_a_workbook(file: str, why: object) -> SourceError:
    """The error for a workbook that is damaged, or not one."""
    return SourceError("{file} is not a workbook that can be read: {why}.", SAVE_AGAIN, file=file, why=why)


def encrypted(file: str) -> SourceError:
    """The error for an encrypted workbook."""
    return SourceError("{file} is protected by a password.", "Save it without one.", file=file)


class Marks:
    """The error cells of a sheet, and those with a number format.

    Attributes:
        rows: Rows of the sheet, up to its last cell.
        columns: Columns of the sheet, up to its last cell.
    """

    ERROR = -1

    def __init__(self) -> None:
        self.rows = 0
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
    """The parts of an .xlsx or .xlsm.

    Args:
        path: The file.
        bomb_bytes: How many bytes a part may unpack to, whatever its size.

    Attributes:
        formats: The number format of each cell style, by its number.

    Raises:
        SourceError: It is damaged, or too large.
    """

    def __init__(self, path: Path, *, bomb_bytes: int = BOMB_BYTES) -> None:
        self._path = path
        self._sheets: dict[str, str] = {}
        self.formats: list[NumberFormat] = []
        try:
            with zipfile.ZipFile(path) as archive:
                self._check_sizes(archive, bomb_bytes)
                self._find_parts(archive)
        except _DAMAGE as error:
            raise not_a_workbook(path.name, error) from None

    def scan(self, sheet: str) -> Marks:
        """Find the marks of a sheet.

        Raises:
            SourceError: It is damaged, or too large.
        """
        try:
            with zipfile.ZipFile(self._path) as archive:
                if "xl/sharedStrings.xml" in archive.namelist():
                    with archive.open("xl/sharedStrings.xml") as part:
                        while part.read(BLOCK):  # to its end, which proves that it is as long as it says
                            pass
                marks = self._scan(archive, self._sheets[sheet])
        except _DAMAGE as error:
            raise not_a_workbook(self._path.name, error) from None
        if marks.rows * marks.columns > MOST_CELLS:
            raise SourceError(
                "The sheet {sheet} reaches to row {rows:,} and column {columns:,}: too many cells.",
                "Delete the cells far from the table, or save the sheet as CSV UTF-8.",
                sheet=quoted(sheet),
                rows=marks.rows,
                columns=marks.columns,
            )
        return marks

    def _scan(self, archive: zipfile.ZipFile, part: str) -> Marks:
        marks = Marks()
        columns: dict[str, int] = {}
        unmarked = {str(number) for number, number_format in enumerate(self.formats) if number_format == AS_IS}
        row, column = -1, -1

        def handle(name: str, attributes: dict[str, str]) -> None:
            nonlocal row, column
            if name == "row":
                row, column = int(attributes.get("r", row + 2)) - 1, -1
                return
            reference = attributes.get("r")
            if reference is None:
                column += 1
            else:
                letters = reference.rstrip("0123456789")
                if letters not in columns:
                    columns[letters] = _column_index(letters)
                column, row = columns[letters], int(reference[len(letters) :]) - 1
            if column >= marks.columns:
                marks.columns = column + 1
            if row >= marks.rows:
                if row >= TALLEST:
                    raise ValueError(f"there is no row {row + 1}")
                marks.rows = row + 1
            kind, style = attributes.get("t"), attributes.get("s", "0")
            if kind == "e":
                marks.add(row, column, Marks.ERROR)
            elif kind in {None, "n"} and style not in unmarked:
                marks.add(row, column, int(style))

        _walk(archive, part, {"row", "c"}, handle)
        return marks

    def _find_parts(self, archive: zipfile.ZipFile) -> None:
        book = next(iter(_related_parts(archive, "", "officeDocument").values()), None)
        if book is None:
            raise ValueError("it names no workbook")
        parts = _related_parts(archive, book, "")

        def handle(_: str, attributes: dict[str, str]) -> None:
            relation = next((value for key, value in attributes.items() if key.endswith(":id")), "")
            self._sheets[attributes["name"]] = parts[relation]

        _walk(archive, book, {"sheet"}, handle)
        for part in _related_parts(archive, book, "styles").values():
            self._read_formats(archive, part)

    def _read_formats(self, archive: zipfile.ZipFile, part: str) -> None:
        codes = dict(BUILT_IN_FORMATS)
        lists = {"cellStyleXfs", "cellXfs", "cellStyles", "dxfs"}
        current = ""

        def handle(name: str, attributes: dict[str, str]) -> None:
            nonlocal current
            if name == "numFmt":
                codes[int(attributes["numFmtId"])] = attributes.get("formatCode", "")
            elif name in lists:
                current = name
            elif current == "cellXfs":
                self.formats.append(parse_format(codes.get(int(attributes.get("numFmtId", 0)), "")))

        _walk(archive, part, {"numFmt", "xf", *lists}, handle)

    def _check_sizes(self, archive: zipfile.ZipFile, bomb_bytes: int) -> None:
        parts = archive.infolist()
        if any(part.file_size > max(bomb_bytes, BOMB_RATIO * part.compress_size) for part in parts):
            problem = "{file} unpacks to far more than a table would."
            raise SourceError(problem, SAVE_AS_CSV, file=self._path.name)
        if sum(part.file_size for part in parts) > MOST_BYTES:
            raise SourceError("{file} is too large to be opened.", SAVE_AS_CSV, file=self._path.name)


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
    parts = {}

    def handle(_: str, attributes: dict[str, str]) -> None:
        if attributes.get("Type", "").endswith(kind):
            parts[attributes["Id"]] = posixpath.normpath(posixpath.join("/", folder, attributes["Target"]))[1:]

    _walk(archive, posixpath.join(folder, "_rels", f"{name}.rels"), {"Relationship"}, handle)
    return parts


def _walk(archive: zipfile.ZipFile, part: str, names: set[str], handle: Handler) -> None:
    """Call a handler with the name, without its prefix, and the attributes of every element with one of the names.

    Raises:
        SourceError: The part declares a document type.
    """
    local_names: dict[str, str] = {}

    def start(prefixed: str, attributes: dict[str, str]) -> None:
        name = local_names.get(prefixed)
        if name is None:
            name = prefixed.rpartition(":")[2]
            name = local_names[prefixed] = name if name in names else ""
        if name:
            handle(name, attributes)

    def refuse(*_: object) -> None:
        raise SourceError("The workbook declares a document type, which no spreadsheet program writes.", SAVE_AGAIN)

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse
    with archive.open(part) as file:
        while block := file.read(BLOCK):
            parser.Parse(block)
    parser.Parse(b"", True)
