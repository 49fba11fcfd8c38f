"""``results.csv``: every row of the source, in its order, and where it stands."""

import csv
from pathlib import Path

from batch_alias.ledger import LedgerReader, RowRecord
from batch_alias.text import timestamp

HEADER = ("row", "userId", "groupId", "remark", "state", "code", "message", "attempts", "request_id", "finished_at")


def write(path: Path, ledger: LedgerReader) -> None:
    """Write the file, in UTF-8 with a byte-order mark, without which Excel does not recognise UTF-8."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(map(cells, ledger.rows()))


def cells(row: RowRecord) -> tuple[str | int | None, ...]:
    """A row as in the file. The code is RongCloud's, or the kind of problem of a rejected row; times are UTC."""
    return (
        row.number,
        row.user_id,
        row.group_id,
        row.remark,
        row.state,
        row.reason or row.code,
        row.message,
        row.attempts,
        row.request_id,
        timestamp(row.finished_at),
    )
