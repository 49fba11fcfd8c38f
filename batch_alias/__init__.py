"""Set RongCloud group member push aliases in bulk, from CSV or Excel, accounting for every row.

The library does what the command line does::

    from batch_alias import Secret, Settings, Target, run_job

    target = Target(region="beijing", app_key="...", app_secret=Secret("..."))
    summary = await run_job(Settings(source=Path("nicknames.xlsx"), target=target))
"""

from importlib import import_module
from typing import TYPE_CHECKING

from batch_alias.errors import (
    BatchAliasError,
    ExitCode,
    InternalError,
    Interrupted,
    LedgerError,
    ReportError,
    SourceError,
    StoppedByService,
    UsageError,
)
from batch_alias.settings import Comparing, Reading, Sending, Settings
from batch_alias.settings.target import Secret, Target
from batch_alias.version import __version__

if TYPE_CHECKING:
    from batch_alias.check import check_source
    from batch_alias.job import plan_job, run_job, undo_job, verify_job, write_job_reports

__all__ = [
    "BatchAliasError",
    "Comparing",
    "ExitCode",
    "InternalError",
    "Interrupted",
    "LedgerError",
    "Reading",
    "ReportError",
    "Secret",
    "Sending",
    "Settings",
    "SourceError",
    "StoppedByService",
    "Target",
    "UsageError",
    "__version__",
    "check_source",
    "plan_job",
    "run_job",
    "undo_job",
    "verify_job",
    "write_job_reports",
]

_LAZY = {"check_source": "check"} | dict.fromkeys(
    ("plan_job", "run_job", "undo_job", "verify_job", "write_job_reports"), "job"
)


def __getattr__(name: str) -> object:
    # They need httpx and pandas, which take most of a second to import.
    if name in _LAZY:
        return getattr(import_module(f"batch_alias.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
