"""What a run would do with a source, without sending anything."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from batch_alias.errors import ExitCode, ReportError, UsageError, reason
from batch_alias.ledger import JobInfo, Ledger, LedgerReader, Place, ProblemCount, Repeat, RowRecord
from batch_alias.ledger.place import postgres
from batch_alias.model import State, StateCounts
from batch_alias.quota import AppLock, quota_of
from batch_alias.reports.rows import Cells, write_table
from batch_alias.sending import Observer, Timing, ignore
from batch_alias.sending.limiter import sending_seconds
from batch_alias.sending.members import MemberLookup, Watch
from batch_alias.settings import Settings
from batch_alias.staging import OnRead, connected, staged
from batch_alias.text import N_, indented_json

SAMPLE = 3
"""Rows that are shown as they would be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a check has found; nothing was sent."""

    info: JobInfo
    counts: StateCounts  # as a run would begin: the pending rows would be sent
    rejections: list[ProblemCount]
    warnings: list[ProblemCount]
    same: int  # superseded rows that set the same alias as the row that counts
    conflicting: int  # and those that set another one
    repeats: list[Repeat]  # the first few of both
    sample: list[RowRecord]  # the first rows that would be sent
    users: int  # different user ids among the rows to send
    groups: int
    rate: int
    seconds: float  # that sending would take at this rate
    unreadable_groups: list[str]  # that could not be looked up; none if that was not asked for
    too_many: bool  # more rows are rejected than permitted: a run would send nothing

    @property
    def exit_code(self) -> ExitCode:
        """0 when every row may be sent, 1 when some are rejected, 3 when a run would send nothing."""
        if self.too_many:
            return ExitCode.SOURCE
        return ExitCode.NOT_ALL_ACCEPTED if self.counts.rejected else ExitCode.DONE

    def as_json(self) -> str:
        """The check as JSON, for scripts."""
        sample = [
            {"row": row.number, "userId": row.user_id, "groupId": row.group_id, "remark": row.remark}
            | ({} if row.expected is None else {"expected": row.expected})
            for row in self.sample
        ]
        check = asdict(self)
        return indented_json(
            {
                **{name: check["info"][name] for name in ("source", "sha256", "description", "blank_rows")},
                "columns": self.info.column_names,
                "rows": self.counts.rows,
                "states": check["counts"],
                "repeated": {"same_alias": self.same, "other_alias": self.conflicting, "first": check["repeats"]},
                "sample": sample,
                **{name: check[name] for name in ("rejections", "warnings", "unreadable_groups")},
                **{name: check[name] for name in ("users", "groups", "rate")},
                "seconds": round(self.seconds, 1),
                "exit_code": self.exit_code,
            }
        )


def check_file(
    settings: Settings,
    *,
    problems: Path | None = None,
    on_read: OnRead = lambda _done, _total: None,
    watch: Watch = nullcontext,
    observer: Observer = ignore,
) -> Check:
    """Stage a source in a temporary folder, and return what was found. It needs a target to look up members only.

    Args:
        settings: The source and how to read it, and whether to look up who is in the groups.
        problems: A CSV file to write every problem to.
        on_read: Called while the source is read.
        watch: Entered while members are looked up.
        observer: Called with each event of that.

    Raises:
        UsageError: Members are to be looked up, and there is no target, or one that cannot be used.
        SourceError: The source cannot be read at all.
        StoppedByService: Members cannot be looked up.
        LedgerError: With ``no_wait`` another job is sending for the App Key.
        ReportError: The problems cannot be written.
    """
    if settings.source is None:
        raise UsageError("No source was named.", "Name the file to check.")
    with (
        tempfile.TemporaryDirectory(prefix="batch-alias-") as folder,
        staged(settings.source, settings.reading, Place(Path(folder)), on_read) as ledger,
    ):
        members = settings.comparing.members
        unreadable = asyncio.run(_look_up_members(settings, ledger, watch, observer)) if members else []
        if problems is not None:
            _write_problems(problems, ledger)
        return _found(settings, ledger, unreadable)


def _found(settings: Settings, ledger: LedgerReader, unreadable: list[str]) -> Check:
    counts = ledger.counts()
    same, conflicting, repeats = ledger.repeats()
    users, groups = ledger.users_and_groups()
    return Check(
        info=ledger.info(),
        counts=counts,
        rejections=ledger.problems(State.REJECTED),
        warnings=ledger.warnings(),
        same=same,
        conflicting=conflicting,
        repeats=repeats,
        sample=list(islice(ledger.rows(State.PENDING), SAMPLE)),
        users=users,
        groups=groups,
        rate=settings.sending.rate,
        seconds=sending_seconds(counts.pending, settings.sending.rate),
        unreadable_groups=unreadable,
        too_many=ledger.too_many_rejected(settings.max_rejected),
    )


async def _look_up_members(settings: Settings, ledger: Ledger, watch: Watch, observer: Observer) -> list[str]:
    """Look up who is in the groups of the rows to send; return the groups of which that could not be read."""
    timing = Timing()
    if settings.ledger is not None:
        postgres().jobs(settings.ledger)  # that it cannot be used is better known at once
    quota = quota_of(settings)
    with connected(settings, timing) as client:
        lookup = MemberLookup(
            settings,
            ledger=ledger,
            service=client,
            limiter=quota.limiter,
            timing=timing,
            observer=observer,
        )
        if lookup.groups:
            with watch(lookup):
                async with AppLock(settings).held("check", observer), quota.open:
                    await lookup.run()
        return lookup.unreadable


def _write_problems(path: Path, ledger: LedgerReader) -> None:
    header = ("row", "kind", "reason", "message", "userId", "groupId", "remark")
    try:
        write_table(path, header, _problems(ledger))
    except OSError as error:
        problem = N_("The problems cannot be written to {path}: {reason}.")
        raise ReportError(problem, path=path, reason=reason(error)) from error


def _problems(ledger: LedgerReader) -> Iterator[Cells]:
    for row in ledger.rows():
        values = (row.user_id, row.group_id, row.remark)
        if row.state != State.PENDING:
            yield row.number, row.state, row.reason or "repeated", row.message, *values
        for warning in filter(None, row.warning.split(",")):
            yield row.number, "warning", warning, "", *values


async def check_source(settings: Settings) -> Check:
    """Check a source, as ``batch-alias check`` does, without blocking the event loop. See ``check_file``."""
    return await asyncio.to_thread(check_file, settings)
