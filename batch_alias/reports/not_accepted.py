"""``not-accepted.csv``: the rows that are not done, in the source's own columns, to be corrected and run again.

The reason is the first column, so that a row with too many fields keeps them all behind it. Values are written as they
were read, also those that a spreadsheet would take for a formula, because the file is meant to be run again.
"""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from batch_alias.ledger import JobInfo, LedgerReader, RowRecord
from batch_alias.model import DONE_STATES, State

REASON = "batch_alias_reason"
NOT_DONE = tuple(state for state in State if state not in DONE_STATES)
"""The states of rows that are not done."""


def write(path: Path, ledger: LedgerReader) -> None:
    """Write the file, in UTF-8 with a byte-order mark, without which Excel does not recognise UTF-8."""
    info = ledger.info()
    # Where the source was such a file itself, its column of reasons is replaced.
    old = info.header.index(REASON) if REASON in info.header else None
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((REASON, *_without(info.header, old)))
        for row in ledger.rows(*NOT_DONE):
            writer.writerow((f"{row.state}: {why(row)}", *_without(_cells(row, info), old)))


def why(row: RowRecord) -> str:
    """Why a row was not accepted, in a sentence."""
    return "not sent yet" if row.state == State.PENDING else row.message


def _cells(row: RowRecord, info: JobInfo) -> Sequence[str]:
    if row.cells is not None:
        cells: list[str] = json.loads(row.cells)
        return cells
    values = dict(zip(info.columns, (row.user_id, row.group_id, row.remark), strict=True))
    return [values.get(column, "") for column in range(len(info.header))]


def _without(cells: Sequence[str], column: int | None) -> Iterable[str]:
    return cells if column is None else (*cells[:column], *cells[column + 1 :])
