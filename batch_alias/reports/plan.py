"""``plan.csv``: what a run would do about each row; and what the rows change of which the alias was read first."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from batch_alias.ledger import LedgerReader, RowRecord
from batch_alias.model import State
from batch_alias.reports.rows import Cells, write_table

HEADER = ("row", "userId", "groupId", "action", "before", "after", "message")
CHANGES: Mapping[str, str] = {
    "set": "no alias was set",
    "replace": "another alias was set",
    "clear": "an alias was set, and is to be removed",
    State.UNCHANGED: "the alias was so already",
    State.CONFLICT: "the alias is not the one that may be replaced",
}
"""What a row can change, in the order in which it is shown."""
ONLY_ABSENT = "only_absent"
"""The fact about a job that its rows may be sent only where no alias is set."""
EXAMPLES = 5
"""Rows that are kept as examples of a change."""


class Change(NamedTuple):
    """What some rows change, or would change."""

    name: str
    rows: int
    accepted: int  # of the rows
    examples: list[RowRecord]  # the first few


def change_of(row: RowRecord, *, only_absent: bool) -> str:
    """What a row changes, as the alias was when it was first read: one of ``CHANGES``; empty when it was not read.

    ``only_absent`` says whether a pending row may be sent only where no alias is set.
    """
    if row.before is None:
        return ""
    if row.state in {State.UNCHANGED, State.CONFLICT}:
        return row.state
    if row.before == row.remark:
        return State.UNCHANGED
    if row.state == State.PENDING and ((only_absent and row.before) or row.expected not in {None, row.before}):
        return State.CONFLICT
    if not row.remark:
        return "clear"
    return "replace" if row.before else "set"


def changes(ledger: LedgerReader) -> list[Change]:
    """Count the rows of which the alias was read first by what they change, in bounded memory."""
    rows: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    examples: dict[str, list[RowRecord]] = {name: [] for name in CHANGES}
    only_absent = ledger.meta(ONLY_ABSENT) is not None
    for row in ledger.compared():
        name = change_of(row, only_absent=only_absent)
        rows[name] += 1
        accepted[name] += row.state == State.ACCEPTED
        if len(examples[name]) < EXAMPLES:
            examples[name].append(row)
    return [Change(name, rows[name], accepted[name], examples[name]) for name in CHANGES if rows]


def write_plan(path: Path, ledger: LedgerReader) -> None:
    """Write what a run would do about every row of the source, as far as the aliases have been read.

    The action is a change, ``unread``, ``unreadable``, or for a row that is not to be sent its state.
    """
    only_absent = ledger.meta(ONLY_ABSENT) is not None
    write_table(path, HEADER, (_planned(row, only_absent=only_absent) for row in ledger.rows()))


def _planned(row: RowRecord, *, only_absent: bool) -> Cells:
    action, message = row.state, row.message
    if row.state == State.PENDING:
        action = change_of(row, only_absent=only_absent) or ("unreadable" if row.message else "unread")
        message = row.message if action == "unreadable" else ""  # it was read after all
    return row.number, row.user_id, row.group_id, action, row.before, row.remark, message
