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
from typing import IO, NamedTuple

import xlsxwriter  # type: ignore[import-untyped]  # it has annotations, but no py.typed that says so
from wcwidth import wcswidth
from xlsxwriter.exceptions import FileCreateError  # type: ignore[import-untyped]  # the same
from xlsxwriter.format import Format  # type: ignore[import-untyped]  # the same
from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]  # the same

from batch_alias.ledger import LedgerReader
from batch_alias.model import State
from batch_alias.reports.advice import advise, conclude, next_steps
from batch_alias.reports.rows import CHANGES, HEADER, NOT_ACCEPTED, Cells, result
from batch_alias.reports.summary import Summary
from batch_alias.reports.wording import STATE_MEANINGS, causes, facts
from batch_alias.text import N_, _

EXCEL_ROWS = 1_048_576
"""Rows of a sheet in Excel, with the header."""
RESULTS = dict(zip(HEADER, (8, 20, 20, 24, 11, 20, 40, 9, 37, 25, 24, 24, 25), strict=True))
"""The columns of the sheet and their widths in characters."""
LEFT = {**{name: RESULTS[name] for name in HEADER[:5]}, N_("why"): 50, N_("what to do"): 60}
"""Those of the sheet of rows that were not accepted."""
PRINTED = HEADER.index("finished_at") + 1
"""Columns that are printed: with all of them the print would be too small to read."""
_SUMMARY_WIDTH = 110
_NUMBERS = {"row", "attempts"}
_WRAPPED = {"why", "what to do"}
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


class _Line(NamedTuple):
    """A line of the summary; the look is that of its name, or of a command."""

    name: str = ""
    number: int | None = None
    text: str = ""
    look: str = "text"


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
            _write_summary(_add_sheet(book, _("Summary")), formats, _summary_lines(folder, ledger, summary))
            info = ledger.info()
            if any(summary.states[state] for state in NOT_ACCEPTED):
                left = ((*row[:5], row.message, advise(row, info)) for row in ledger.rows(*NOT_ACCEPTED))
                _write_rows(book, formats, _("Not accepted"), LEFT, left, most_rows)
            _write_rows(book, formats, _("Results"), RESULTS, map(result, ledger.rows()), most_rows)
            book.close()
        except FileCreateError as error:
            raise error.args[0] from error  # the OSError that it is about
        finally:
            target.file = _Sink()


def _formats(book: xlsxwriter.Workbook) -> dict[str, Format]:
    looks: dict[str, dict[str, object]] = {
        "text": {},
        "wrapped": {"text_wrap": True},
        "indented": {"text_wrap": True, "align": "left", "indent": 1},
        "title": {"bold": True, "font_size": 14},
        "step": {"bold": True},
        "command": {"text_wrap": True, "align": "left", "indent": 1, "font_name": "Consolas", "bg_color": "#F0F2F5"},
        "header": {"bold": True, "bg_color": "#E9ECF0", "bottom": 1},
        "number": {"num_format": "#,##0"},
        "plain": {"num_format": "0", "align": "right", "indent": 1},
        **{state: {"font_color": ink, "bg_color": ground} for state, (ink, ground) in _COLORS.items()},
    }
    return {name: book.add_format({"num_format": "@", "valign": "top"} | look) for name, look in looks.items()}


def _add_sheet(book: xlsxwriter.Workbook, name: str) -> Worksheet:
    sheet = book.add_worksheet(name)
    sheet.set_landscape()
    sheet.set_paper(9)  # A4
    sheet.fit_to_pages(1, 0)
    sheet.set_margins(left=0.4, right=0.4, top=0.4, bottom=0.6)
    sheet.set_footer("&L&A&R&P / &N")
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
        sheet.set_column(column, column, width, formats["plain" if title in _NUMBERS else "text"])
        sheet.write_string(0, column, _(title), formats["header"])
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
            _end_table(sheet, last, len(columns))
            sheets += 1
            sheet, last = _add_table(book, formats, f"{name} {sheets}", columns), 0
        last += 1
        if columns.keys() >= _WRAPPED:
            texts = dict(zip(columns, cells, strict=True))
            sheet.set_row(last, max(_height(str(texts[title]), columns[title]) for title in _WRAPPED))
        for column, (value, title) in enumerate(zip(cells, columns, strict=True)):
            if title in _NUMBERS:
                sheet.write_number(last, column, value, formats["plain"])
            elif title == "state":
                sheet.write_string(last, column, _(str(value)), formats[str(value)])
            elif value is not None and value != "":
                look = formats["wrapped" if title in _WRAPPED else "text"]
                _write_text(sheet, last, column, str(value), look)
    _end_table(sheet, max(1, last), len(columns))


def _end_table(sheet: Worksheet, last: int, columns: int) -> None:
    sheet.autofilter(0, 0, last, columns - 1)
    sheet.print_area(0, 0, last, min(columns, PRINTED) - 1)


def _height(text: str, width: int) -> int:
    """The height of a row with a text that is wrapped in a column, in points; not every program finds it out."""
    lines = ceil(1.1 * max(len(text), wcswidth(text)) / width)
    return 15 * min(max(1, lines), 27)  # Excel has no higher rows


def _write_text(sheet: Worksheet, row: int, column: int, value: str, look: Format) -> None:
    if value.startswith("<r>") and value.endswith("</r>"):
        # XlsxWriter takes such a string for rich text that it has written itself, and does not escape its markup.
        sheet.write_rich_string(row, column, value[:1], look, value[1:], look)
    else:
        sheet.write_string(row, column, value, look)


def _write_summary(sheet: Worksheet, formats: Mapping[str, Format], lines: Iterable[_Line]) -> None:
    sheet.set_column(0, 0, 26)
    sheet.set_column(1, 1, 12)
    sheet.set_column(2, 2, _SUMMARY_WIDTH)
    for row, line in enumerate(lines):
        sheet.set_row(row, None if row == 0 else _height(line.text, _SUMMARY_WIDTH))
        _write_text(sheet, row, 0, line.name, formats["title" if row == 0 else line.look])
        _write_text(sheet, row, 2, line.text, formats["command" if line.look == "command" else "indented"])
        if line.number is not None:
            sheet.write_number(row, 1, line.number, formats["number"])


def _summary_lines(folder: Path, ledger: LedgerReader, summary: Summary) -> Iterator[_Line]:
    info, conclusion = ledger.info(), conclude(summary)
    yield _Line(conclusion.sentence)
    yield _Line(text=conclusion.detail)
    for number, step in enumerate(next_steps(summary, folder, info, ledger), 1):
        yield _Line(_("Next step {number}", number=number), text=step.text, look="step")
        if step.command:
            yield _Line(text=step.command, look="command")
    yield _Line()
    for state, meaning in STATE_MEANINGS.items():
        yield _Line(_(state), summary.states[state], _(meaning), state)
    yield _Line(_("rows"), summary.rows, _("all of the above"))
    yield _Line()
    for change, rows in summary.changes.items():
        yield _Line(_("Read first: {change}", change=_(change)), rows, _(CHANGES[change]))
    if summary.verified or summary.differs:
        yield _Line(_("Read back: as sent"), summary.verified, _("accepted rows"))
        yield _Line(_("Read back: another alias"), summary.differs, _("accepted rows, which are in differs.csv"))
    for cause in causes(ledger.rows(*NOT_ACCEPTED)).values():
        state = State(cause.example.state)
        yield _Line(_(state), cause.rows, cause.name, state)
        texts = cause.message, advise(cause.example, info)
        yield from (_Line(text=text) for text in texts if text not in {"", cause.name})
    yield _Line()
    for name, values in facts(info, ledger.runs()).items():
        yield _Line(name, text=" ".join(values))
    if summary.runs:
        yield _Line(_("First run began (UTC)"), text=summary.started_at)
        yield _Line(_("Last run ended (UTC)"), text=summary.ended_at)
        yield _Line(_("Runs"), summary.runs)
