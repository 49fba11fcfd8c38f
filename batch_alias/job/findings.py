"""What was found in a job: by reading its aliases, and whether too many rows are rejected or would change."""

import json
import random
import time
from dataclasses import asdict, dataclass, replace
from itertools import islice

from batch_alias.errors import SourceError
from batch_alias.ledger import FIRST_ROWS, VERIFICATION, Ledger, LedgerReader, Plan, ReadBack, RowRecord
from batch_alias.model import State, StateCounts
from batch_alias.reports import PLAN
from batch_alias.settings import Settings
from batch_alias.text import N_, indented_json, percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What sending a job would do."""

    counts: StateCounts
    plan: Plan  # of the pending rows
    first: list[RowRecord]  # the first of those that would change an alias
    exit_code: int
    stopped: str  # why reading ended early; empty when it did not

    def as_json(self) -> str:
        """The findings as JSON, for scripts."""
        plan = {"rows": self.counts.rows, "states": asdict(self.counts), "plan": asdict(self.plan)}
        changes = [_row(row) | {"before": row.before, "after": row.remark} for row in self.first]
        return indented_json({**plan, "changes": changes, "exit_code": self.exit_code, "stopped": self.stopped})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found when a job's accepted rows were read back."""

    read_back: ReadBack  # of the rows that were to be read back
    sample: int | None  # how many rows that was to be at most; None for all
    seed: int | None  # what the sample depends on; None for all
    first: list[RowRecord]  # the first of those with another alias
    exit_code: int
    stopped: str  # why reading ended early; empty when it did not

    def as_json(self) -> str:
        """The findings as JSON, for scripts."""
        found = {**asdict(self.read_back), "sample": self.sample, "seed": self.seed}
        first = [_row(row) | {"set": row.remark, "found": row.found} for row in self.first]
        return indented_json({**found, "first_different": first, "exit_code": self.exit_code, "stopped": self.stopped})


def _row(row: RowRecord) -> dict[str, object]:
    return {"row": row.number, "userId": row.user_id, "groupId": row.group_id}


class Verification:
    """The accepted rows that are read back, selected in the ledger.

    They are those of the last verification that had no end, if it had the same sample, and new ones otherwise.

    Args:
        sample: How many random rows; ``None`` for all.
    """

    def __init__(self, ledger: Ledger, sample: int | None) -> None:
        chosen = json.loads(ledger.meta(VERIFICATION) or "{}")
        if not chosen or chosen["sample"] != sample:
            seed = random.randrange(2**32)  # noqa: S311 - a number to repeat the choice, no secret
            chosen = {"since": time.time(), "sample": sample, "seed": seed}
            ledger.set_meta(VERIFICATION, json.dumps(chosen))
        self.sample = sample
        self.seed: int = chosen["seed"]
        self.left = ledger.select_accepted(**chosen)
        self._ledger = ledger
        self._since: float = chosen["since"]
        found = ledger.read_back(since=self._since)
        self._rows = self.left + found.same + found.different

    def found(self) -> ReadBack:
        """What was found until now."""
        found = self._ledger.read_back(since=self._since)
        return replace(found, unread=self._rows - found.same - found.different)

    def end(self) -> None:
        """Note that it is at its end."""
        self._ledger.set_meta(VERIFICATION, "")

    def verified(self, *, exit_code: int, stopped: str) -> Verified:
        """What was found, with the first rows that differ."""
        first = list(islice(self._ledger.differing(since=self._since), FIRST_ROWS))
        return Verified(
            read_back=self.found(),
            sample=self.sample,
            seed=None if self.sample is None else self.seed,
            first=first,
            exit_code=exit_code,
            stopped=stopped,
        )


def too_many_rejected(ledger: LedgerReader, settings: Settings) -> SourceError | None:
    """The error when too many rows are rejected and no row has been sent; the reports name them."""
    counts, most = ledger.counts(), settings.max_rejected
    if ledger.was_run() or not ledger.too_many_rejected(most):
        return None
    worst = ledger.problems(State.REJECTED)[0]
    problem = N_(
        "{rejected:,} of {rows:,} rows rejected, more than --max-rejected {most} permits; nothing was sent."
        " Most frequent, {count:,} × {name}: row {row}: {message}"
    )
    if counts.rejected == counts.rows:
        problem = N_("Every row is rejected; nothing was sent. Most frequent, {count:,} × {name}: row {row}: {message}")
    return SourceError(
        problem,
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
    """The error when too many pending rows would replace or clear an alias, or may since it could not be read."""
    plan, most = ledger.plan(), settings.comparing.max_changes
    if most is None or plan.changes + plan.left <= most * plan.rows:
        return None
    problem = N_(
        "{changes:,} of {rows:,} rows would replace or clear an alias: more than --max-changes {most} permits."
        " Nothing was sent."
    )
    if plan.left:
        problem = N_(
            "{changes:,} of {rows:,} rows would replace or clear an alias, and {left:,} may, since theirs could not be"
            " read: more than --max-changes {most} permits. Nothing was sent."
        )
    return SourceError(
        problem,
        "See {path}. If that is as it should be, run again with a higher share, or without the flag.",
        changes=plan.changes,
        rows=plan.rows,
        left=plan.left,
        most=percent(most),
        path=settings.job_folder / PLAN,
    )
