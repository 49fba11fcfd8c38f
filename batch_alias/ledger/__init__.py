"""The ledger: one SQLite file with every row of a job, where it stands, and what each run did.

SQL stays in this folder. ``LedgerReader`` reads a ledger without disturbing a run; ``Ledger`` is what a run writes to.
"""

from batch_alias.ledger.create import create
from batch_alias.ledger.file import LEDGER, LOCK, NEW_LEDGER, locked
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
)
from batch_alias.ledger.sqlite import Ledger

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
    "Plan",
    "ProblemCount",
    "ReadBack",
    "Repeat",
    "RowRecord",
    "RunRecord",
    "create",
    "locked",
]
