"""The reports row by row, as CSV: ``plan.csv``, ``results.csv``, ``not-accepted.csv`` and ``differs.csv``."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from batch_alias.ledger import JobInfo, LedgerReader, RowRecord
from batch_alias.model import State
from batch_alias.text import N_, timestamp

# `_` translates the names that are not RongCloud's.
_ROW = (N_("row"), "userId", "groupId", N_("remark"))
_SENT = (N_("state"), N_("code"), N_("message"), N_("attempts"), N_("request_id"), N_("finished_at"))
_READ_BACK = (N_("found"), N_("verified_at"))
HEADER = (*_ROW, *_SENT, N_("before"), *_READ_BACK)
PLAN_HEADER = ("row", "userId", "groupId", "action", "before", "after", "message")
CHANGES: Mapping[str, str] = {
    N_("set"): N_("no alias was set"),
    N_("replace"): N_("another alias was set"),
    N_("clear"): N_("an alias was set, and is to be removed"),
    State.UNCHANGED: N_("the alias was so already"),
    State.CONFLICT: N_("the alias is not the one that may be replaced"),
}
"""What a row can change whose alias was read first, in the order in which it is shown; ``_`` translates both."""
REASON, ROW_NUMBER = "batch_alias_reason", "batch_alias_row"
"""The columns of ``not-accepted.csv`` before those of the source: why, and the number of the row in the source."""
NOT_ACCEPTED = (State.REJECTED, State.CONFLICT, State.FAILED, State.UNKNOWN)
"""The states of rows that ended, or were never to be sent, without being accepted."""

Cells = Sequence[str | int | None]


def write_plan(path: Path, ledger: LedgerReader) -> None:
    """Write what a run would do about every row of the source, as far as the aliases have been read.

    The action is a change, ``unread``, ``unreadable``, or for a row that is not to be sent its state.
    """
    write_table(path, PLAN_HEADER, map(_planned, ledger.rows()))


def _planned(row: RowRecord) -> Cells:
    action, message = row.state, row.message
    if row.state == State.PENDING:
        action = row.change
        message = row.message if action == "unreadable" else ""  # it was read after all
    return row.number, row.user_id, row.group_id, action, row.before, row.remark, message


def write_results(path: Path, ledger: LedgerReader) -> None:
    """Write every row of the source, in its order, and where it stands."""
    write_table(path, HEADER, map(result, ledger.rows()))


def result(row: RowRecord) -> Cells:
    """A row as in ``results.csv``.

    The code is RongCloud's, or the kind of problem of a rejected row; times are UTC.
    """
    code = row.reason or row.code
    sent = row.message, row.attempts, row.request_id, timestamp(row.finished_at)
    return (*row[:5], code, *sent, row.before, *_read_back(row))


def write_differs(path: Path, ledger: LedgerReader) -> None:
    """Write the accepted rows of which another alias was found when they were read back; the file can be run."""
    write_table(path, (*_ROW, *_READ_BACK), ((*row[:4], *_read_back(row)) for row in ledger.differing()))


def write_not_accepted(path: Path, ledger: LedgerReader) -> None:
    """Write the rows that were not accepted, in the source's own columns, to be corrected and run again.

    Those that are not sent yet are left out: running the file would not keep the job from sending them too. What is
    added comes first, so that a row with too many fields keeps them all behind it. Values are written as they were
    read, also those that a spreadsheet would take for a formula, because the file is meant to be run again.
    """
    info = ledger.info()
    # Where the source was such a file itself, its own reasons and row numbers are replaced. A column of such a name
    # that has ids or aliases stays, and ours is left out.
    replaced = {index for index, name in enumerate(info.header) if name in {REASON, ROW_NUMBER}} - {*info.columns}

    def own(cells: Sequence[str]) -> list[str]:
        return [cell for index, cell in enumerate(cells) if index not in replaced]

    header = own(info.header)
    added = [name for name in (REASON, ROW_NUMBER) if name not in header]

    def line(row: RowRecord) -> Cells:
        values: dict[str, str | int] = {REASON: f"{row.state}: {row.message}", ROW_NUMBER: row.number}
        return [*(values[name] for name in added), *own(_cells(row, info))]

    write_table(path, [*added, *header], map(line, ledger.rows(*NOT_ACCEPTED)))


def _cells(row: RowRecord, info: JobInfo) -> Sequence[str]:
    if row.cells is not None:
        cells: list[str] = json.loads(row.cells)
        return cells
    values = dict(zip(info.columns, (row.user_id, row.group_id, row.remark, row.expected), strict=False))
    return [values.get(column) or "" for column in range(len(info.header))]


def _read_back(row: RowRecord) -> tuple[str | None, str | None]:
    return row.found, timestamp(row.verified_at)


def write_table(path: Path, header: Cells, rows: Iterable[Cells]) -> None:
    """Write a CSV file with the values as they are."""
    # Excel does not recognise UTF-8 without a byte-order mark.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
