"""The XML parts of a workbook, walked through with expat, which keeps nothing.

A document type, the door to entity bombs, is refused.
"""

import zipfile
from collections.abc import Callable
from xml.parsers import expat

from batch_alias.errors import SourceError
from batch_alias.sources.bytestream import DAMAGES

BLOCK = 256 * 1024
BROKEN = (*DAMAGES, LookupError, expat.ExpatError)
"""What reading a part of a damaged workbook raises."""

REPAIR = "Open it in Excel and save it again as .xlsx, or as CSV UTF-8."

Start = Callable[[str, dict[str, str]], None]
End = Callable[[str], None]


def not_a_workbook(name: str, why: object) -> SourceError:
    """The sentence for a workbook that is damaged or none."""
    return SourceError(f"{name} is not a workbook that can be read: {why}.", REPAIR)


def walk(archive: zipfile.ZipFile, part: str, start: Start, end: End | None = None) -> None:
    """Tell of every element of a part.

    Args:
        archive: The workbook.
        part: The part's name.
        start: Told every element's name, without its namespace, and its attributes.
        end: Told the name when the element ends.

    Raises:
        SourceError: It declares a document type.
    """
    parser = expat.ParserCreate()
    names: dict[str, str] = {}

    def local(name: str) -> str:
        found = names.get(name)
        if found is None:
            found = names[name] = name.rpartition(":")[2]
        return found

    def refuse(*_: object) -> None:
        raise SourceError("The workbook declares a document type, which no spreadsheet program writes.", REPAIR)

    parser.StartElementHandler = lambda name, attributes: start(local(name), attributes)
    if end is not None:
        parser.EndElementHandler = lambda name: end(local(name))
    parser.StartDoctypeDeclHandler = refuse
    with archive.open(part) as file:
        while block := file.read(BLOCK):
            parser.Parse(block)
    parser.Parse(b"", True)
