"""What calamine does not tell about an .xlsx: error cells, number formats, and whether it is safe to open.

calamine gives an error cell as an empty one, knows no number formats, and makes room for every cell between the first
and the last: one stray cell in the last row and column asks for hundreds of gigabytes. So a sheet is walked through
first.
"""

import posixpath
import zipfile
from array import array
from bisect import bisect_left
from pathlib import Path

from batch_alias.errors import SourceError
from batch_alias.sources.formats import AS_IS, BUILT_IN, Shown, shown
from batch_alias.sources.xmlparts import BLOCK, BROKEN, not_a_workbook, walk

TALLEST, WIDEST = 1_048_576, 16_384
MOST_CELLS = 30_000_000
MOST_BYTES = 2 * 1024**3
BOMB_BYTES, BOMB_RATIO = 64 * 1024**2, 250


class Marks:
    """The cells of a sheet that are more than their value.

    Attributes:
        rows: How many rows the sheet has, to its last cell.
        columns: How many columns it has, to its last cell.
    """

    ERROR = -1

    def __init__(self) -> None:
        self.rows = 0
        self.columns = 0
        self._places = array("q")
        self._marks = array("i")

    def add(self, row: int, column: int, mark: int) -> None:
        """Mark a cell with ``ERROR`` or its style's number; rows and columns from 0, in the sheet's order."""
        place = row * WIDEST + column
        if self._places and place <= self._places[-1]:
            raise SourceError("The cells of the sheet are not in order.", "Open it in Excel and save it again.")
        self._places.append(place)
        self._marks.append(mark)

    def at(self, row: int, column: int) -> int | None:
        """The mark of a cell, if it has one."""
        place = row * WIDEST + column
        found = bisect_left(self._places, place)
        return self._marks[found] if found < len(self._places) and self._places[found] == place else None

    def __len__(self) -> int:
        return len(self._places)


class Package:
    """The parts of an .xlsx or .xlsm.

    Args:
        path: The file.

    Attributes:
        styles: How each cell style shows a number, by the style's number.

    Raises:
        SourceError: It is damaged, or a bomb.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sheets: dict[str, str] = {}
        self.styles: list[Shown] = []
        try:
            with zipfile.ZipFile(path) as archive:
                self._refuse_bombs(archive)
                self._find_parts(archive)
        except BROKEN as error:
            raise not_a_workbook(path.name, error) from None

    def scan(self, sheet: str) -> Marks:
        """Walk through a sheet.

        Args:
            sheet: Its name.

        Raises:
            SourceError: It is damaged, or too large to be open_job.
        """
        try:
            with zipfile.ZipFile(self._path) as archive:
                if "xl/sharedStrings.xml" in archive.namelist():
                    _drain(archive, "xl/sharedStrings.xml")
                marks = self._walk_sheet(archive, self._sheets[sheet])
        except BROKEN as error:
            raise not_a_workbook(self._path.name, error) from None
        if marks.rows * marks.columns > MOST_CELLS:
            raise SourceError(
                f"The sheet {sheet!r} reaches to row {marks.rows:,} and column {marks.columns:,}: too many cells.",
                "Delete the cells far from the table, or save the sheet as CSV UTF-8.",
            )
        return marks

    def _walk_sheet(self, archive: zipfile.ZipFile, part: str) -> Marks:
        marks = Marks()
        columns: dict[str, int] = {}
        plain = {str(number) for number, style in enumerate(self.styles) if style == AS_IS}
        row, column = -1, -1

        def element(name: str, attributes: dict[str, str]) -> None:
            nonlocal row, column
            if name == "c":
                reference = attributes.get("r")
                if reference is None:
                    column += 1
                else:
                    letters = reference.rstrip("0123456789")
                    if letters not in columns:
                        columns[letters] = _column(letters)
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
                elif kind in {None, "n"} and style not in plain:
                    marks.add(row, column, int(style))
            elif name == "row":
                row, column = int(attributes.get("r", row + 2)) - 1, -1

        walk(archive, part, element)
        return marks

    def _find_parts(self, archive: zipfile.ZipFile) -> None:
        book = next(iter(_relations(archive, "", "officeDocument").values()))
        parts = _relations(archive, book, "")

        def sheet(name: str, attributes: dict[str, str]) -> None:
            if name == "sheet":
                relation = next((value for key, value in attributes.items() if key.endswith(":id")), "")
                self._sheets[attributes["name"]] = parts[relation]

        walk(archive, book, sheet)
        for part in _relations(archive, book, "styles").values():
            self._read_styles(archive, part)

    def _read_styles(self, archive: zipfile.ZipFile, part: str) -> None:
        codes = dict(BUILT_IN)
        within = ""

        def style(name: str, attributes: dict[str, str]) -> None:
            nonlocal within
            if name == "numFmt":
                codes[int(attributes["numFmtId"])] = attributes.get("formatCode", "")
            elif name == "xf" and within == "cellXfs":
                self.styles.append(shown(codes.get(int(attributes.get("numFmtId", 0)), "")))
            elif name in {"cellStyleXfs", "cellXfs", "cellStyles", "dxfs"}:
                within = name

        walk(archive, part, style)

    def _refuse_bombs(self, archive: zipfile.ZipFile) -> None:
        for part in archive.infolist():
            if part.file_size > BOMB_BYTES and part.file_size > BOMB_RATIO * part.compress_size:
                raise SourceError(
                    f"{self._path.name} unpacks to far more than a table would.", "Look where it is from."
                )
        if sum(part.file_size for part in archive.infolist()) > MOST_BYTES:
            raise SourceError(f"{self._path.name} is too large to be open_job.", "Save the sheet as CSV UTF-8.")


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + "ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(letter) + 1
    if not 1 <= number <= WIDEST:
        raise ValueError(f"there is no column {letters[:20]!r}")
    return number - 1


def _relations(archive: zipfile.ZipFile, part: str, kind: str) -> dict[str, str]:
    """The parts a part refers to, by the relation's id."""
    folder, name = posixpath.split(part)
    found = {}

    def relation(element: str, attributes: dict[str, str]) -> None:
        if element == "Relationship" and attributes.get("Type", "").endswith(kind):
            found[attributes["Id"]] = posixpath.normpath(posixpath.join("/", folder, attributes["Target"]))[1:]

    walk(archive, posixpath.join(folder, "_rels", f"{name}.rels"), relation)
    if kind == "officeDocument" and not found:
        raise KeyError("it names no workbook")
    return found


def _drain(archive: zipfile.ZipFile, part: str) -> None:
    """Read a part to its end, which proves that it is as long as it says."""
    with archive.open(part) as file:
        while file.read(BLOCK):
            pass
