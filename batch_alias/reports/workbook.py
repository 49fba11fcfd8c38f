"""``results.xlsx``: the job as a workbook, for people who live in one.

Every value from the file is written as text into cells formatted as text, so that no spreadsheet takes an id for a
number or an alias for a formula. Characters that XML cannot hold are written as ``_xHHHH_``, which spreadsheets show as
the character again. ``results.csv`` is the exact account; here

- a value of more than 32,767 UTF-16 units, which no cell can hold, is cut there;
- such an escape that is itself a value's text (``_x0041_``) is escaped, but not where two overlap (``_x005F_x0041_``),
  or where it or a control character stands between ``<r>`` and ``</r>``: XlsxWriter gets these wrong.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import xlsxwriter  # type: ignore[import-untyped]  # it has annotations, but no py.typed that says so
from xlsxwriter.exceptions import XlsxWriterException  # type: ignore[import-untyped]  # the same
from xlsxwriter.format import Format  # type: ignore[import-untyped]  # the same
from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]  # the same

from batch_alias.model import State
from batch_alias.records import RowRecord, JobInfo
from batch_alias.reports.advice import advise, conclude
from batch_alias.reports.causes import NotAccepted
from batch_alias.reports.not_accepted import said
from batch_alias.reports.results import timestamp
from batch_alias.reports.summary import Summary
from batch_alias.reports.wording import STATES, code_in_words

EXCEL_ROWS = 1_048_576
"""Rows of a sheet in Excel, the header among them."""
COLORS = {
    State.ACCEPTED: ("#1E6B3C", "#E2F3E8"),
    State.SUPERSEDED: ("#566070", "#ECEEF1"),
    State.REJECTED: ("#8A5300", "#FDF0D9"),
    State.FAILED: ("#A3261F", "#FBE3E1"),
    State.UNKNOWN: ("#5F35A8", "#EEE6FA"),
    State.PENDING: ("#1F57A8", "#E3EDFA"),
}
"""Ink and ground of each state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a sheet of rows.

    Attributes:
        name: Its header.
        width: In characters.
        text: Whether it is formatted as text.
    """

    name: str
    width: int
    text: bool = True


ROW = (
    Column(name="row", width=9, text=False),
    Column(name="userId", width=26),
    Column(name="groupId", width=26),
    Column(name="remark", width=30),
    Column(name="state", width=12),
)
RESULTS = (
    *ROW,
    Column(name="code", width=20),
    Column(name="message", width=40),
    Column(name="attempts", width=10, text=False),
    Column(name="request_id", width=38),
    Column(name="finished_at", width=26),
)
NOT_ACCEPTED = (*ROW, Column(name="why", width=60), Column(name="what to do", width=60))


class Formats:
    """The looks of the cells of one workbook."""

    def __init__(self, book: xlsxwriter.Workbook) -> None:
        self.text = book.add_format({"num_format": "@"})
        self.number = book.add_format({"num_format": "#,##0"})
        self.decimal = book.add_format({"num_format": "#,##0.0"})
        self.bold = book.add_format({"bold": True, "num_format": "@"})
        self.header = book.add_format({"bold": True, "bg_color": "#E9ECF0", "bottom": 1, "num_format": "@"})
        self.states: dict[str, Format] = {
            state: book.add_format({"num_format": "@", "font_color": ink, "bg_color": ground})
            for state, (ink, ground) in COLORS.items()
        }


class Sheets:
    """Rows on as many sheets as they need.

    Args:
        book: Where the sheets are added, as soon as they are needed.
        formats: The looks.
        name: The first sheet's name; the next ones are counted: ``Results 2``.
        columns: What a row has.
        most_rows: Most rows of a sheet, the header among them.
    """

    def __init__(
        self, book: xlsxwriter.Workbook, formats: Formats, name: str, columns: Sequence[Column], most_rows: int
    ) -> None:
        self._book = book
        self._formats = formats
        self._name = name
        self._columns = columns
        self._most_rows = most_rows
        self._count = 0
        self._begin()

    def add(self, cells: Sequence[str | int | None], state: str) -> None:
        """Write a row; the state is the cell of that name."""
        if self._next == self._most_rows:
            self.end()
            self._begin()
        for at, (value, column) in enumerate(zip(cells, self._columns, strict=True)):
            if isinstance(value, int):
                self._sheet.write_number(self._next, at, value)
            elif value:
                looks = self._formats.states[state] if column.name == "state" else self._formats.text
                write_text(self._sheet, self._next, at, value, looks)
        self._next += 1

    def end(self) -> None:
        """Give the sheet under way its filters."""
        self._sheet.autofilter(0, 0, max(1, self._next - 1), len(self._columns) - 1)

    def _begin(self) -> None:
        self._count += 1
        self._sheet = self._book.add_worksheet(self._name if self._count == 1 else f"{self._name} {self._count}")
        self._sheet.freeze_panes(1, 0)
        # Excel puts a green mark on every id of digits otherwise.
        self._sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})
        for at, column in enumerate(self._columns):
            self._sheet.set_column(at, at, column.width, self._formats.text if column.text else None)
            self._sheet.write_string(0, at, column.name, self._formats.header)
        self._next = 1


def write(
    path: Path,
    *,
    info: JobInfo,
    totals: Summary,
    entries: Iterable[RowRecord],
    not_accepted: Iterable[RowRecord],
    causes: NotAccepted,
    most_rows: int = EXCEL_ROWS,
) -> None:
    """Write the workbook, in constant memory.

    Args:
        path: Where to.
        info: What the job is.
        totals: The job in numbers.
        entries: Every row.
        not_accepted: Those that were not accepted.
        causes: The same, counted.
        most_rows: Most rows of a sheet, the header among them.

    Raises:
        OSError: The file cannot be written.
    """
    with _new_workbook(path) as book:
        formats = Formats(book)
        _write_summary(book.add_worksheet("Summary"), formats, info, totals, causes)
        sheets = Sheets(book, formats, "Not accepted", NOT_ACCEPTED, most_rows)
        for entry in not_accepted:
            sheets.add((*entry[:5], said(entry), advise(entry)), entry.state)
        sheets.end()
        sheets = Sheets(book, formats, "Results", RESULTS, most_rows)
        for entry in entries:
            code = entry.reason or ("" if entry.code is None else str(entry.code))
            finished = timestamp(entry.finished_at)
            sheets.add(
                (*entry[:5], code, entry.message, entry.attempts, entry.request_id, finished),
                entry.state,
            )
        sheets.end()


class Detachable:
    """A file that can be taken away from a zip archive, which otherwise complains when it is collected."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def __getattr__(self, name: str) -> object:
        return getattr(self.file, name)


@contextmanager
def _new_workbook(path: Path) -> Iterator[xlsxwriter.Workbook]:
    # XlsxWriter keeps each sheet in a file until the end: beside the ledger there is room, in /tmp there may be none.
    with TemporaryDirectory(prefix=".results-", dir=path.parent) as scratch, path.open("wb") as file:
        target = Detachable(file)
        book = xlsxwriter.Workbook(target, {"constant_memory": True, "tmpdir": scratch, "use_zip64": True})
        try:
            yield book
            book.close()
        except XlsxWriterException as error:
            cause = error.args[0] if error.args else None
            raise cause if isinstance(cause, OSError) else OSError(str(error)) from error
        finally:
            # After a failure it leaves all its files open.
            target.file = BytesIO()
            for sheet in book.worksheets():
                with suppress(OSError):
                    sheet.row_data_fh.close()


def write_text(sheet: Worksheet, row: int, column: int, value: str, looks: Format) -> None:
    """Write a value as text, whatever it looks like."""
    if value.startswith("<r>") and value.endswith("</r>"):
        # XlsxWriter takes such a string for rich text it has written itself, and lets its markup through.
        sheet.write_rich_string(row, column, value[:1], looks, value[1:], looks)
    else:
        sheet.write_string(row, column, value, looks)


def _write_summary(sheet: Worksheet, formats: Formats, info: JobInfo, totals: Summary, causes: NotAccepted) -> None:
    sheet.set_column(0, 0, 26)
    sheet.set_column(1, 1, 18, formats.number)
    sheet.set_column(2, 2, 70, formats.text)
    conclusion = conclude(totals)
    lines: list[tuple[str, str | int | float, str]] = [
        (conclusion.sentence, "", ""),
        (conclusion.detail, "", ""),
        *((state, totals.states[state], meaning) for state, meaning in STATES.items()),
        ("rows", totals.rows, "all of the above"),
        ("", "", ""),
        ("source", "", info.source),
        ("taken for", "", info.description),
        ("SHA-256", "", info.sha256),
        ("sent to", "", totals.target),
        ("first run began (UTC)", "", totals.started_at),
        ("last run ended (UTC)", "", totals.ended_at),
        ("runs", totals.runs, ""),
        ("requests", totals.requests, ""),
        ("requests per second", totals.mean_rate, "mean over the time spent sending"),
        ("busiest second", totals.busiest_second, "requests started in any second, at most"),
        ("", "", ""),
        *((f"answer {code}", count, code_in_words(code)) for code, count in totals.codes.items()),
        ("", "", ""),
        *((cause.state, cause.rows, f"{cause.name}: {cause.advice}") for cause in causes.causes),
    ]
    for row, (name, value, text) in enumerate(lines):
        looks = formats.states.get(name, formats.text if row else formats.bold)
        for column, cell in enumerate((name, value, text)):
            if isinstance(cell, int | float):
                sheet.write_number(row, column, cell, formats.decimal if isinstance(cell, float) else formats.number)
            elif cell:
                write_text(sheet, row, column, cell, looks if column == 0 else formats.text)
