"""``plan.csv``: what a run would do about each row."""

from pathlib import Path

from batch_alias.ledger import LedgerReader
from batch_alias.reports.rows import write_table


def write_plan(path: Path, ledger: LedgerReader) -> None:
    """Write the alias of every row before and after; empty before where it was not read."""
    rows = ((row.number, row.user_id, row.group_id, row.state, row.before, row.remark) for row in ledger.rows())
    write_table(path, ("row", "userId", "groupId", "state", "before", "after"), rows)
