"""The ledger: every row of a job, where it stands, and what each run did; a SQLite file, or tables in PostgreSQL.

SQL stays in this folder. ``LedgerReader`` reads a ledger without disturbing a run; ``Ledger`` is what a run writes to.
``Place`` says where one is.
"""

from batch_alias.ledger.create import create
from batch_alias.ledger.file import LEDGER, LOCK, NEW_LEDGER, locked
from batch_alias.ledger.place import Place
from batch_alias.ledger.reader import FIRST_ROWS, LedgerReader
from batch_alias.ledger.records import (
    ADDRESS,
    LEFT_OUT,
    REFUSED,
    STAYS_ON,
    TARGET,
    JobInfo,
    Plan,
    ProblemCount,
    ReadBack,
    Repeat,
    RowRecord,
    RunRecord,
    WorkerRecord,
)
from batch_alias.ledger.writer import Ledger

VERIFICATION = "verification"
"""The fact that says which rows are being read back: JSON, with the arguments of ``Ledger.select_accepted``."""

__all__ = [
    "ADDRESS",
    "FIRST_ROWS",
    "LEDGER",
    "LEFT_OUT",
    "LOCK",
    "NEW_LEDGER",
    "REFUSED",
    "STAYS_ON",
    "TARGET",
    "VERIFICATION",
    "JobInfo",
    "Ledger",
    "LedgerReader",
    "Place",
    "Plan",
    "ProblemCount",
    "ReadBack",
    "Repeat",
    "RowRecord",
    "RunRecord",
    "WorkerRecord",
    "create",
    "locked",
]
