"""``results.csv``: every row of the source in its order, and how it stands."""

import csv
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from batch_alias.records import RowRecord

HEADER = (
    "row",
    "userId",
    "groupId",
    "remark",
    "state",
    "code",
    "message",
    "attempts",
    "request_id",
    "finished_at",
)


def write(path: Path, entries: Iterable[RowRecord]) -> None:
    """Write the file: UTF-8 with a byte-order mark, without which Excel takes Chinese for something else.

    The code is RongCloud's, or for a rejected row the kind of problem. Times are UTC.
    """
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(
            (
                entry.number,
                entry.user_id,
                entry.group_id,
                entry.remark,
                entry.state,
                entry.reason or entry.code,
                entry.message,
                entry.attempts,
                entry.request_id,
                timestamp(entry.finished_at),
            )
            for entry in entries
        )


def timestamp(seconds: float | None) -> str:
    """A time in ISO 8601, UTC, or nothing."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
