"""``not-accepted.csv``: the rows that still want something, in the source's own columns, fit to be run again.

The reason stands first, so that a row with too many fields keeps them all behind it. Values are written as they came,
also those that a spreadsheet would take for a formula: the file is meant to be corrected and run again.
"""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from batch_alias.model import DONE_STATES, State
from batch_alias.records import RowRecord, JobInfo

REASON = "batch_alias_reason"
STATES = tuple(state for state in State if state not in DONE_STATES)
"""The states that still want something."""


def write(path: Path, info: JobInfo, entries: Iterable[RowRecord]) -> None:
    """Write the file: UTF-8 with a byte-order mark, without which Excel takes Chinese for something else."""
    # Run again, this file is a source with a column of old reasons: they make room for the new ones.
    old = info.header.index(REASON) if REASON in info.header else None
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((REASON, *_without(info.header, old)))
        writer.writerows((_reason(entry), *_without(_cells(entry, info), old)) for entry in entries)


def said(entry: RowRecord) -> str:
    """Why a row was not accepted, in a sentence."""
    return "not sent yet" if entry.state == State.PENDING else entry.message


def _reason(entry: RowRecord) -> str:
    return f"{entry.state}: {said(entry)}"


def _cells(entry: RowRecord, info: JobInfo) -> Sequence[str]:
    if entry.cells is not None:
        cells: list[str] = json.loads(entry.cells)
        return cells
    row = [""] * len(info.header)
    for position, value in zip(info.columns, (entry.user_id, entry.group_id, entry.remark), strict=True):
        row[position] = value
    return row


def _without(cells: Sequence[str], position: int | None) -> Sequence[str]:
    return cells if position is None else [*cells[:position], *cells[position + 1 :]]
