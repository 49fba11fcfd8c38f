"""``results.xlsx``: the job as a workbook.

Every value from the source is a text in a cell formatted as text, so that no spreadsheet takes an id for a number or an
alias for a formula. Characters that XML cannot contain are written as ``_xHHHH_``, which spreadsheets show as the
character again. ``results.csv`` is exact; here

- a value of more than 32,767 UTF-16 units, which no cell can hold, is cut off;
- a value that contains such an escape itself (``_x0041_``) is escaped, but not where two overlap (``_x005F_x0041_``),
  or where it or a control character is between ``<r>`` and ``</r>``: XlsxWriter has defects there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import IO

import xlsxwriter  # type: ignore[import-untyped]  # it has annotations, but no py.typed that says so
from xlsxwriter.exceptions import XlsxWriterException  # type: ignore[import-untyped]  # the same
from xlsxwriter.format import Format  # type: ignore[import-untyped]  # the same
from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]  # the same

from batch_alias.ledger import LedgerReader
from batch_alias.model import State
from batch_alias.reports import results
from batch_alias.reports.advice import advise, causes, conclude, next_steps
from batch_alias.reports.not_accepted import NOT_DONE, why
from batch_alias.reports.summary import Summary
from batch_alias.reports.wording import STATE_MEANINGS, code_meaning, facts

EXCEL_ROWS = 1_048_576
"""Rows of a sheet in Excel, with the header."""
RESULTS = dict(zip(results.HEADER, (9, 26, 26, 30, 12, 20, 40, 10, 38, 26), strict=True))
"""The columns of the sheet and their widths in characters."""
NOT_ACCEPTED = {**{name: RESULTS[name] for name in results.HEADER[:5]}, "why": 60, "what to do": 60}
_NUMBERS = {"row", "attempts"}
_COLORS: Mapping[State, tuple[str, str]] = MappingProxyType(
    {
        State.ACCEPTED: ("#1E6B3C", "#E2F3E8"),
        State.SUPERSEDED: ("#566070", "#ECEEF1"),
        State.REJECTED: ("#8A5300", "#FDF0D9"),
        State.FAILED: ("#A3261F", "#FBE3E1"),
        State.UNKNOWN: ("#5F35A8", "#EEE6FA"),
        State.PENDING: ("#1F57A8", "#E3EDFA"),
    }
)
"""Text and background colour of each state."""


def write(path: Path, folder: Path, ledger: LedgerReader, summary: Summary, *, most_rows: int = EXCEL_ROWS) -> None:
    """Write the workbook, in constant memory.

    Args:
        path: Where to.
        folder: The job's folder, for the commands that the workbook names.
        ledger: The job.
        summary: The job in numbers.
        most_rows: Most rows of a sheet, with the header.

    Raises:
        OSError: The file cannot be written.
    """
    with _new_workbook(path) as book:
        formats = _formats(book)
        _write_summary(_add_sheet(book, "Summary"), formats, folder, ledger, summary)
        left = ((*row[:5], why(row), advise(row)) for row in ledger.rows(*NOT_DONE))
        _write_rows(book, formats, "Not accepted", NOT_ACCEPTED, left, most_rows)
        _write_rows(book, formats, "Results", RESULTS, map(results.cells, ledger.rows()), most_rows)


def _write_rows(
    book: xlsxwriter.Workbook,
    formats: Mapping[str, Format],
    name: str,
    columns: Mapping[str, int],
    rows: Iterable[Sequence[str | int | None]],
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


def _add_sheet(book: xlsxwriter.Workbook, name: str) -> Worksheet:
    sheet = book.add_worksheet(name)
    sheet.set_landscape()
    sheet.set_paper(9)  # A4
    sheet.fit_to_pages(1, 0)
    return sheet


def _formats(book: xlsxwriter.Workbook) -> dict[str, Format]:
    looks: dict[str, dict[str, object]] = {
        "text": {},
        "top": {"valign": "top"},
        "wrapped": {"text_wrap": True, "valign": "top", "align": "left", "indent": 1},
        "title": {"bold": True, "font_size": 14},
        "header": {"bold": True, "bg_color": "#E9ECF0", "bottom": 1},
        "number": {"num_format": "#,##0", "valign": "top"},
        "decimal": {"num_format": "#,##0.0", "valign": "top"},
        **{state: {"font_color": ink, "bg_color": ground} for state, (ink, ground) in _COLORS.items()},
    }
    return {name: book.add_format({"num_format": "@"} | look) for name, look in looks.items()}


def _write_text(sheet: Worksheet, row: int, column: int, value: str, look: Format) -> None:
    if value.startswith("<r>") and value.endswith("</r>"):
        # XlsxWriter takes such a string for rich text that it has written itself, and does not escape its markup.
        sheet.write_rich_string(row, column, value[:1], look, value[1:], look)
    else:
        sheet.write_string(row, column, value, look)


def _write_summary(
    sheet: Worksheet, formats: Mapping[str, Format], folder: Path, ledger: LedgerReader, summary: Summary
) -> None:
    sheet.set_column(0, 0, 26)
    sheet.set_column(1, 1, 12)
    sheet.set_column(2, 2, 110)
    _write_text(sheet, 0, 0, conclude(summary).sentence, formats["title"])
    for row, (name, value, text) in enumerate(_summary_lines(folder, ledger, summary), 1):
        sheet.set_row(row, 15 * ceil(len(text) / 110) if text else None)
        _write_text(sheet, row, 0, name, formats.get(name, formats["top"]))
        _write_text(sheet, row, 2, text, formats["wrapped"])
        if value is not None:
            sheet.write_number(row, 1, value, formats["decimal" if isinstance(value, float) else "number"])


def _summary_lines(
    folder: Path, ledger: LedgerReader, summary: Summary
) -> Iterator[tuple[str, int | float | None, str]]:
    """A name, a number and a text for each line."""
    info, empty = ledger.info(), ("", None, "")
    yield "", None, conclude(summary).detail
    for number, step in enumerate(next_steps(summary, folder, info), 1):
        command = f" The command, {step.note}:" if step.command else ""
        yield f"Next step {number}", None, f"{step.text}{command}"
        if step.command:
            yield "", None, step.command
    yield empty
    yield from ((state, summary.states[state], meaning) for state, meaning in STATE_MEANINGS.items())
    yield "rows", summary.rows, "all of the above"
    yield empty
    yield from ((name, None, " ".join(values)) for name, values in facts(info, ledger.runs()).items())
    yield "First run began (UTC)", None, summary.started_at
    yield "Last run ended (UTC)", None, summary.ended_at
    yield "Runs", summary.runs, ""
    yield "Requests", summary.requests, ""
    yield "Retries", summary.retries, "requests that were not the first for their row in a run"
    yield "Refused by the rate limit", summary.refusals, ""
    yield "Requests per second", summary.mean_rate, "mean over the time spent sending"
    yield "Busiest second", summary.busiest_second, "most requests started in any second"
    yield empty
    yield from ((f"Response {code}", number, code_meaning(code)) for code, number in summary.codes.items())
    yield empty
    for cause in causes(ledger.rows(*NOT_DONE)):
        yield cause.state, cause.rows, f"{cause.name}: {advise(cause.example)}"


class _Detachable:
    """A file that can be taken away from a ZipFile, which otherwise writes to it again when it is collected."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def __getattr__(self, name: str) -> object:
        return getattr(self.file, name)


@contextmanager
def _new_workbook(path: Path) -> Iterator[xlsxwriter.Workbook]:
    # XlsxWriter keeps each sheet in a temporary file; there is room for it beside the ledger, but maybe not in /tmp.
    with TemporaryDirectory(prefix=".results-", dir=path.parent) as scratch, path.open("wb") as file:
        target = _Detachable(file)
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
