"""What reading the aliases of a job has found."""

import json
from dataclasses import asdict, dataclass

from batch_alias.ledger import Plan, ReadBack, RowRecord
from batch_alias.model import StateCounts

MOST_SHOWN = 5
"""Rows that are shown as examples."""


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
        return _as_json({**plan, "changes": changes, "exit_code": self.exit_code, "stopped": self.stopped})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found when a job's accepted rows were read back."""

    read_back: ReadBack  # of the rows that were to be read back
    sample: int | None  # how many rows that was to be at most; None for all
    seed: int  # what the sample depends on
    first: list[RowRecord]  # the first of those with another alias
    exit_code: int
    stopped: str  # why reading ended early; empty when it did not

    def as_json(self) -> str:
        """The findings as JSON, for scripts."""
        found = {**asdict(self.read_back), "sample": self.sample, "seed": self.seed}
        first = [_row(row) | {"set": row.remark, "found": row.found} for row in self.first]
        return _as_json({**found, "first_different": first, "exit_code": self.exit_code, "stopped": self.stopped})


def _row(row: RowRecord) -> dict[str, object]:
    return {"row": row.number, "userId": row.user_id, "groupId": row.group_id}


def _as_json(found: dict[str, object]) -> str:
    return json.dumps(found, ensure_ascii=False, indent=2)
