"""What calamine does not tell about .xls, .xlsb and .ods: does a format pad numbers, and is it safe to open?

Which cell has which format is not worth three more readers. It is enough to know that no format of the file pads
numbers with zeros; where one does, numbers in id columns are not trusted.
"""

import re
import zipfile
from pathlib import Path

from batch_alias.errors import SourceError
from batch_alias.sources.formats import PADDING
from batch_alias.sources.xmlparts import BLOCK, BROKEN, not_a_workbook, walk

MOST_CELLS = 30_000_000
MOST_BYTES = 1024**3

# A FORMAT record of BIFF8 ([MS-XLS] 2.4.126): its number, sizes, and a format of zeros only, in one-byte characters.
PADDING_IN_XLS = re.compile(rb"\x1e\x04[\x07-\x40]\x00[\x00-\xff]{2}[\x02-\x40]\x00\x00(0{2,})(?![0-9A-Za-z.#])")
PADDING_IN_XLSB = re.compile(rb"(?<![.0#]\x00)(?:0\x00){2,}(?![.#0]\x00)")


def pads_numbers(path: Path) -> bool:
    """Whether a format of the workbook may put zeros in front of a number."""
    if not zipfile.is_zipfile(path):
        return _found_in_xls(path)
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        if "xl/styles.bin" in names:
            return PADDING_IN_XLSB.search(archive.read("xl/styles.bin")) is not None
    return False


def _found_in_xls(path: Path) -> bool:
    with path.open("rb") as file:
        end = b""
        while block := file.read(BLOCK):
            if PADDING_IN_XLS.search(end + block):
                return True
            end = block[-256:]
    return False


def open_document_pads(path: Path) -> bool:
    """Walk through an .ods: refuse what is too large, and tell whether a number style puts zeros in front.

    Raises:
        SourceError: It is damaged, or repeats cells beyond measure.
    """
    found = _OpenDocument()
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > MOST_BYTES:
                raise SourceError(f"{path.name} is too large to be open_job.", "Save the sheet as CSV UTF-8.")
            for part in ("styles.xml", "content.xml"):
                if part in archive.namelist():
                    walk(archive, part, found.start, found.end)
    except BROKEN as error:
        raise not_a_workbook(path.name, error) from None
    return found.pads


class _OpenDocument:
    """Counts the cells that repeats stand for, up to the last one with content."""

    def __init__(self) -> None:
        self.pads = False
        self._rows = 1
        self._width = 0
        self._reach = 0
        self._tallest = 0
        self._widest = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        match name:
            case "number":
                digits = attributes.get("number:min-integer-digits", "1")
                self.pads = self.pads or PADDING.fullmatch("0" * int(digits)) is not None
            case "table":
                self._tallest = self._widest = 0
            case "table-row":
                self._rows = int(attributes.get("table:number-rows-repeated", 1))
                self._width = self._reach = 0
            case "table-cell" | "covered-table-cell":
                self._width += int(attributes.get("table:number-columns-repeated", 1))
                if "office:value-type" in attributes:
                    self._reach = self._width

    def end(self, name: str) -> None:
        if name == "table-row" and self._reach:
            self._tallest += self._rows
            self._widest = max(self._widest, self._reach)
            if self._tallest * self._widest > MOST_CELLS:
                raise SourceError("A sheet repeats its cells to more than can be held.", "Save the sheet as CSV UTF-8.")
