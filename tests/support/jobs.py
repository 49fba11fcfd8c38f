"""Facts about jobs that were sent nowhere."""

from batch_alias.ledger import JobInfo

START = 1_790_000_000
"""When jobs begin, in seconds since the epoch."""


def job_info(**changes) -> JobInfo:
    """What is known of a source of three columns, apart from what is given."""
    info = {
        "source": "names.csv",
        "sha256": "0" * 64,
        "description": "comma separated, UTF-8",
        "header": ("userId", "groupId", "remark"),
        "columns": (0, 1, 2),
        "blank_rows": 0,
        "reading": {},
        "staged_at": float(START),
        "version": "1.0",
    }
    return JobInfo(**info | changes)
