"""``results.xlsx``: the job as a workbook.

Every value from the source is a text in a cell formatted as text, so that no spreadsheet takes an id for a number or an
alias for a formula. Characters that XML cannot contain are written as ``_xHHHH_``, which spreadsheets show as the
character again. ``results.csv`` is exact; here

- a value of more than 32,767 UTF-16 units, which no cell can hold, is cut off;
- a value that contains such an escape itself (``_x0041_``) is escaped, but not where two overlap (``_x005F_x0041_``),
  or where it or a control character is between ``<r>`` and ``</r>``: XlsxWriter has defects there.
"""

from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import IO

import xlsxwriter  # type: ignore[import-untyped]  # it has annotations, but no py.typed that says so
from xlsxwriter.exceptions import FileCreateError  # type: ignore[import-untyped]  # the same
from xlsxwriter.format import Format  # type: ignore[import-untyped]  # the same
from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]  # the same

from batch_alias.ledger import LedgerReader
from batch_alias.model import State
from batch_alias.reports.rows import CHANGES, HEADER, NOT_DONE, Cells, result, why
from batch_alias.reports.summary import Summary
from batch_alias.reports.wording import STATE_MEANINGS, advise, causes, conclude, facts, next_steps

EXCEL_ROWS = 1_048_576
"""Rows of a sheet in Excel, with the header."""
RESULTS = dict(zip(HEADER, (9, 26, 26, 30, 12, 20, 40, 10, 38, 26, 30, 30, 26), strict=True))
"""The columns of the sheet and their widths in characters."""
NOT_ACCEPTED = {**{name: RESULTS[name] for name in HEADER[:5]}, "why": 60, "what to do": 60}
_NUMBERS = {"row", "attempts"}
_COLORS: Mapping[str, tuple[str, str]] = {
    State.ACCEPTED: ("#1E6B3C", "#E2F3E8"),
    State.UNCHANGED: ("#0B6468", "#DDF1F2"),
    State.SUPERSEDED: ("#566070", "#ECEEF1"),
    State.REJECTED: ("#8A5300", "#FDF0D9"),
    State.CONFLICT: ("#96245F", "#FBE4F0"),
    State.FAILED: ("#A3261F", "#FBE3E1"),
    State.UNKNOWN: ("#5F35A8", "#EEE6FA"),
    State.PENDING: ("#1F57A8", "#E3EDFA"),
}
"""Text and background colour of each state."""


class _Sink(BytesIO):
    def close(self) -> None:
        """Stay open: it is collected together with that ZipFile, maybe before it."""


class _Target:
    """A file to be replaced after a failure, when XlsxWriter leaves a ZipFile that writes again as it is collected."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def __getattr__(self, name: str) -> object:
        return getattr(self.file, name)


def write(path: Path, folder: Path, ledger: LedgerReader, summary: Summary, *, most_rows: int = EXCEL_ROWS) -> None:
    """Write the workbook, in constant memory; the commands that it names are for the job in ``folder``.

    The header of a sheet is one of its ``most_rows``. Temporary files are made beside it; a failure leaves them there.
    """
    # XlsxWriter keeps each sheet in a temporary file; there is room for it beside the ledger, but maybe not in /tmp.
    with path.open("wb") as file:
        target = _Target(file)
        book = xlsxwriter.Workbook(target, {"constant_memory": True, "tmpdir": path.parent, "use_zip64": True})
        try:
            formats = _formats(book)
            _write_summary(_add_sheet(book, "Summary"), formats, _summary_lines(folder, ledger, summary))
            info = ledger.info()
            left = ((*row[:5], why(row), advise(row, info)) for row in ledger.rows(*NOT_DONE))
            _write_rows(book, formats, "Not accepted", NOT_ACCEPTED, left, most_rows)
            _write_rows(book, formats, "Results", RESULTS, map(result, ledger.rows()), most_rows)
            book.close()
        except FileCreateError as error:
            raise error.args[0] from error  # the OSError that it is about
        finally:
            target.file = _Sink()


def _formats(book: xlsxwriter.Workbook) -> dict[str, Format]:
    looks: dict[str, dict[str, object]] = {
        "text": {},
        "top": {"valign": "top"},
        "wrapped": {"text_wrap": True, "valign": "top", "align": "left", "indent": 1},
        "title": {"bold": True, "font_size": 14},
        "header": {"bold": True, "bg_color": "#E9ECF0", "bottom": 1},
        "number": {"num_format": "#,##0", "valign": "top"},
        **{state: {"font_color": ink, "bg_color": ground, "valign": "top"} for state, (ink, ground) in _COLORS.items()},
    }
    return {name: book.add_format({"num_format": "@"} | look) for name, look in looks.items()}


def _add_sheet(book: xlsxwriter.Workbook, name: str) -> Worksheet:
    sheet = book.add_worksheet(name)
    sheet.set_landscape()
    sheet.set_paper(9)  # A4
    sheet.fit_to_pages(1, 0)
    return sheet


def _add_table(
    book: xlsxwriter.Workbook, formats: Mapping[str, Format], name: str, columns: Mapping[str, int]
) -> Worksheet:
    sheet = _add_sheet(book, name)
    sheet.freeze_panes(1, 0)
    sheet.repeat_rows(0)
    # Otherwise Excel marks every id of digits with a green triangle.
    sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})
    for column, (title, width) in enumerate(columns.items()):
        sheet.set_column(column, column, width, None if title in _NUMBERS else formats["text"])
        sheet.write_string(0, column, title, formats["header"])
    return sheet


def _write_rows(
    book: xlsxwriter.Workbook,
    formats: Mapping[str, Format],
    name: str,
    columns: Mapping[str, int],
    rows: Iterable[Cells],
    most_rows: int,
) -> None:
    """Write rows to as many sheets as they need: ``Results``, ``Results 2`` and so on."""
    sheets, sheet, last = 1, _add_table(book, formats, name, columns), 0
    for cells in rows:
        if last == most_rows - 1:
            sheet.autofilter(0, 0, last, len(columns) - 1)
            sheets += 1
            sheet, last = _add_table(book, formats, f"{name} {sheets}", columns), 0
        last += 1
        for column, (value, title) in enumerate(zip(cells, columns, strict=True)):
            if title in _NUMBERS:
                sheet.write_number(last, column, value)
            elif value is not None and value != "":
                _write_text(sheet, last, column, str(value), formats[str(value) if title == "state" else "text"])
    sheet.autofilter(0, 0, max(1, last), len(columns) - 1)


def _write_text(sheet: Worksheet, row: int, column: int, value: str, look: Format) -> None:
    if value.startswith("<r>") and value.endswith("</r>"):
        # XlsxWriter takes such a string for rich text that it has written itself, and does not escape its markup.
        sheet.write_rich_string(row, column, value[:1], look, value[1:], look)
    else:
        sheet.write_string(row, column, value, look)


def _write_summary(
    sheet: Worksheet, formats: Mapping[str, Format], lines: Iterable[tuple[str, int | None, str]]
) -> None:
    sheet.set_column(0, 0, 26)
    sheet.set_column(1, 1, 12)
    sheet.set_column(2, 2, 110)
    for row, (name, number, text) in enumerate(lines):
        sheet.set_row(row, 15 * ceil(len(text) / 110) if text else None)
        _write_text(sheet, row, 0, name, formats["title" if row == 0 else name if name in _COLORS else "top"])
        _write_text(sheet, row, 2, text, formats["wrapped"])
        if number is not None:
            sheet.write_number(row, 1, number, formats["number"])


def _summary_lines(folder: Path, ledger: LedgerReader, summary: Summary) -> Iterator[tuple[str, int | None, str]]:
    """A name, a number and a text for each line."""
    info, conclusion, empty = ledger.info(), conclude(summary), ("", None, "")
    yield conclusion.sentence, None, ""
    yield "", None, conclusion.detail
    for number, step in enumerate(next_steps(summary, folder, info), 1):
        command = f" The command, {step.note}:" if step.command else ""
        yield f"Next step {number}", None, f"{step.text}{command}"
        if step.command:
            yield "", None, step.command
    yield empty
    yield from ((state, summary.states[state], meaning) for state, meaning in STATE_MEANINGS.items())
    yield "rows", summary.rows, "all of the above"
    yield empty
    yield from ((f"Read first: {name}", rows, CHANGES[name]) for name, rows in summary.changes.items())
    if summary.verified or summary.differs:
        yield "Read back: as sent", summary.verified, "accepted rows"
        yield "Read back: another alias", summary.differs, "accepted rows, which are in differs.csv"
    yield empty
    yield from (
        (cause.example.state, cause.rows, f"{cause.name}: {advise(cause.example, info)}")
        for cause in causes(ledger.rows(*NOT_DONE))
    )
    yield empty
    yield from ((name, None, " ".join(values)) for name, values in facts(info, ledger.runs()).items())
    yield "First run began (UTC)", None, summary.started_at
    yield "Last run ended (UTC)", None, summary.ended_at
    yield "Runs", summary.runs, ""
