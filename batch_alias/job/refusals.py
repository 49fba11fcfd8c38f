"""Why a job is not sent although it could be: it was begun elsewhere, or its rows are not as they should be."""

from batch_alias.errors import LedgerError, SourceError
from batch_alias.ledger import TARGET, LedgerReader
from batch_alias.model import State
from batch_alias.reports import PLAN
from batch_alias.settings import Settings
from batch_alias.text import percent


def check_target(ledger: LedgerReader, settings: Settings) -> bool:
    """Make sure that a job is for the target of the settings.

    Returns:
        Whether it was begun for another one, which may be corrected since no row has an outcome.

    Raises:
        LedgerError: It was begun for another target, and rows have an outcome.
    """
    counts, wanted = ledger.counts(), settings.required_target.fingerprint
    begun = ledger.meta(TARGET) or wanted
    if begun == wanted or not counts.begun + counts.unchanged + counts.conflict:
        return begun != wanted
    places = {"begun": begun.partition(" ")[2], "wanted": wanted.partition(" ")[2]}
    problem = "The job {folder} was begun for {begun}; this run is for {wanted}."
    if places["begun"] == places["wanted"]:
        problem = "The job {folder} was begun for another App Key."
    advice = "Give this run a folder of its own: --job DIR; or delete that folder if it is not needed."
    raise LedgerError(problem, advice, folder=settings.job_folder, **places)


def too_many_rejected(ledger: LedgerReader, settings: Settings) -> SourceError | None:
    """The error when too many rows are rejected and no row has been sent; the reports name them."""
    counts, most = ledger.counts(), settings.max_rejected
    if ledger.was_run() or not ledger.too_many_rejected(most):
        return None
    worst = ledger.problems(State.REJECTED)[0]
    problem = "{rejected:,} of {rows:,} rows are rejected, more than --max-rejected {most} permits;"
    if counts.rejected == counts.rows:
        problem = "No row can be sent: {rejected:,} of {rows:,} are rejected;"
    return SourceError(
        problem + " nothing was sent. Most frequent, {count:,} × {name}: row {row}: {message}",
        "See {path}. If most rows have one problem, check which column was taken for which, and how the file was"
        " saved.",
        rejected=counts.rejected,
        rows=counts.rows,
        most=percent(most),
        count=worst.count,
        name=worst.name,
        row=worst.rows[0],
        message=worst.message,
        path=settings.job_folder / "not-accepted.csv",
    )


def too_many_changes(ledger: LedgerReader, settings: Settings) -> SourceError | None:
    """The error when too many pending rows would replace an alias, or may since it could not be read."""
    plan, most = ledger.plan(), settings.comparing.max_changes
    if most is None or plan.changes + plan.left <= most * plan.rows:
        return None
    problem = "{changes:,} of {rows:,} rows would replace an alias"
    if plan.left:
        problem += ", and {left:,} may, since theirs could not be read"
    return SourceError(
        problem + ": more than --max-changes {most} permits. Nothing was sent.",
        "See {path}. If that is as it should be, run again with a higher share, or without the flag.",
        changes=plan.changes,
        rows=plan.rows,
        left=plan.left,
        most=percent(most),
        path=settings.job_folder / PLAN,
    )
