"""The process in which a workbook is read: ``python workbook_worker.py PATH [SHEET [repair]]``.

calamine reads an .xlsx, xlrd an .xls. A damaged workbook can make them allocate memory without end, at which Rust
aborts the process. So this is one of its own, with limits on memory and time. It writes lines of JSON to standard
output, each a list of rows, and at the end ``null``. Without a sheet the rows are the names of the sheets of an .xls
and whether each is visible; with one they are its rows, after one with the number of empty columns before the table and
one with the numbers of the hidden rows. Cells of which there is more to say than a value are objects. An object instead
of a list says why the workbook cannot be read. It imports nothing of the package, so that it starts fast and from
anywhere.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from xlrd.book import Book
    from xlrd.sheet import Cell

MEMORY = 3 * 1024**3
SECONDS = 600
ROWS = 2_000

# Streams of a compound file that is not an .xls ([MS-OFFCRYPTO] 2.3.4.4, [MS-DOC] 2.1.1, [MS-PPT] 2.1.2).
STREAMS = ("EncryptedPackage", "WordDocument", "PowerPoint Document")

NO_CODE_PAGE = "it does not say in which encoding its text is"

# What calamine does not know of an .xlsx: some escaped characters, newer errors, and that a cell with an empty text, as
# a formula or a copy of it has, is not one without a value.
UNREADABLE = (
    re.compile(rb"_x(?!00)[0-9a-fA-F]{4}_"),
    re.compile(rb"<v>#(?!NULL!|DIV/0!|VALUE!|REF!|NAME\?|NUM!|N/A)[A-Z_]{1,30}!?</v>"),
    re.compile(rb"<(?:\w+:)?(?:[tv](?:\s[^>]{0,40})?(?:/>|>\s*</)|(?:si|is)\s?/>)"),
)
# Of "_x005F_x4E2D_" the first is an escaped underscore, and the rest is text.
ESCAPE = re.compile(rb"_x005[fF]_|((?:_x(?!00)[0-9a-fA-F]{4}_)+)")
ERROR = re.compile(rb'(<c [^>]*\bt="e"[^>]*>(?:<f(?:(?!</c>).)*?)?<v>)[^<]*', re.DOTALL)
EMPTY_TEXT = re.compile(rb"<((?:\w+:)?)(si|is)(?:\s?/>|>(?:\s|<(?!/\1\2>)[^>]*>)*</\1\2>)")
EMPTY_RESULT = re.compile(
    rb'(<((?:\w+:)?)c [^>]*\bt="str"[^>]*>(?:<\2f\b(?:(?!</\2c>).)*?)?)<\2v(?:\s[^>]*)?(?:/>|></\2v>)', re.DOTALL
)


def main(path: str, *sheet: str) -> None:
    """Read the workbook and write its rows."""
    _set_limits()
    try:
        # An open file: with a path, calamine would go by the extension instead of the content.
        with open(path, "rb") as file:  # noqa: PTH123 - every import costs time
            is_xlsx = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            rows = iter(_read_xlsx(file, *sheet) if is_xlsx else _read_xls(path, *sheet))
            while some := list(islice(rows, ROWS)):
                _write(some)
        _write(None)
    except MemoryError:
        return
    except Exception as error:  # whatever a damaged file makes xlrd raise
        _write(_reason(path, error))


def _read_xlsx(file: BinaryIO, sheet: str, repair: str = "") -> Iterator[object]:
    import python_calamine as calamine

    table = calamine.load_workbook(_repaired(file) if repair else file).get_sheet_by_name(sheet)
    offset = table.start[1] if table.start else 0
    yield [offset]
    yield []
    merged = [
        (top, bottom, left - offset, right - offset) for (top, left), (bottom, right) in table.merged_cell_ranges or ()
    ]
    yield from _without_blank_end(_covered(table.iter_rows(), merged))


def _repaired(file: BinaryIO) -> BinaryIO:
    """A copy of an .xlsx without what calamine does not know; a text of nothing is a space in it."""
    import io
    import zipfile

    def decode(found: re.Match[bytes]) -> bytes:
        units = found[0].replace(b"_", b"").replace(b"x", b"").decode()
        return bytes.fromhex(units).decode("utf-16-be", "replace").encode() if found[1] else found[0]

    copy = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            part = ERROR.sub(rb"\1#N/A", ESCAPE.sub(decode, old.read(name)))
            part = EMPTY_TEXT.sub(rb'<\1\2><\1t xml:space="preserve"> </\1t></\1\2>', part)
            new.writestr(name, EMPTY_RESULT.sub(rb"\1<\2v> </\2v>", part))
    copy.seek(0)
    return copy


def _read_xls(path: str, *sheet: str) -> Iterable[object]:
    import xlrd

    # Messages go where nobody reads them. On demand, one sheet is in memory at a time.
    book = xlrd.open_workbook(path, logfile=sys.stderr, formatting_info=True, on_demand=True, ragged_rows=True)
    return _sheet_of_xls(book, *sheet) if sheet else _sheets_of_xls(book)


def _sheets_of_xls(book: "Book") -> Iterator[object]:
    for index in range(book.nsheets):
        sheet = book.sheet_by_index(index)
        yield [sheet.name, sheet.visibility & 3 == 0]
        book.unload_sheet(index)


def _sheet_of_xls(book: "Book", name: str) -> Iterator[object]:
    sheet = book.sheet_by_name(name)
    # Before Excel 97, text is in a code page. If it is not named, xlrd assumes one.
    if book.biff_version < 80 and book.codepage is None:
        raise ValueError(NO_CODE_PAGE)
    formats = [book.format_map[style.format_key].format_str if style.format_key else "" for style in book.xf_list]
    yield [0]
    yield [row + 1 for row, info in sheet.rowinfo_map.items() if info.hidden]
    rows = ([_cell(cell, formats, book) for cell in row] for row in sheet.get_rows())
    whole = (row + [""] * (sheet.ncols - len(row)) for row in rows)
    merged = [(top, bottom - 1, left, right - 1) for top, bottom, left, right in sheet.merged_cells]
    yield from _without_blank_end(_covered(whole, merged))


def _cell(cell: "Cell", formats: list[str], book: "Book") -> object:
    import xlrd

    value, code = cell.value, formats[cell.xf_index or 0]
    match cell.ctype:
        case xlrd.XL_CELL_ERROR:
            return {"flaw": "error-cell"}
        case xlrd.XL_CELL_BOOLEAN:
            return bool(value)
        case xlrd.XL_CELL_TEXT if not value:  # as of a formula
            return " "
        case xlrd.XL_CELL_DATE if isinstance(value, float):
            try:
                date = xlrd.xldate_as_datetime(value, book.datemode)
            except (ValueError, OverflowError):
                return {"time": str(value)}
            return date.time() if value < 1 else date if value % 1 else date.date()
    return value if code in {"", "General", "@"} or value == "" else {"value": value, "format": code}


def _covered(rows: Iterable[list[Any]], merged: list[tuple[int, int, int, int]]) -> Iterator[list[Any]]:
    """The rows, with a space in every empty cell that is part of a merged one: to the eye it has the value of that.

    Of each merged cell there are the first and the last row, and the first and the last column.
    """
    waiting = sorted(merged, reverse=True)
    begun: list[tuple[int, int, int, int]] = []
    for number, row in enumerate(rows):
        while waiting and waiting[-1][0] <= number:
            begun.append(waiting.pop())
        if begun:
            begun = [area for area in begun if area[1] >= number]
            for _, _, left, right in begun:
                for column in range(max(left, 0), min(right + 1, len(row))):
                    row[column] = " " if row[column] == "" else row[column]
        yield row


def _without_blank_end(rows: Iterable[Sequence[object]]) -> Iterator[Sequence[object]]:
    """The rows up to the last that is not blank: a single space in a sheet's last row makes a million blank ones."""
    blank = 0
    for row in rows:
        if any(cell.strip() if isinstance(cell, str) else True for cell in row):
            yield from repeat([""] * len(row), blank)
            blank = 0
            yield row
        else:
            blank += 1


def _reason(path: str, error: Exception) -> dict[str, str]:
    """Why a workbook cannot be read: it is something else, or damaged."""
    if "encrypted" in str(error):
        return {"stream": STREAMS[0]}
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        content = file.read()
    for stream in STREAMS:
        if content.startswith(b"\xd0\xcf\x11\xe0") and stream.encode("utf-16-le") in content:
            return {"stream": stream}
    return {"damage": str(error), "kind": type(error).__name__}


def _set_limits() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _write(value: object) -> None:
    sys.stdout.buffer.write(json.dumps(value, default=_time).encode())
    sys.stdout.buffer.write(b"\n")


def _time(value: object) -> dict[str, str]:
    """A date, time or duration, for which JSON has no type."""
    return {"time": value.isoformat() if hasattr(value, "isoformat") else str(value)}


if __name__ == "__main__":
    main(*sys.argv[1:])
