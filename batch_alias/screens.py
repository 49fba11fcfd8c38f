"""What people read, as lines of text (pure): the plan, a check, how a run ended, a status, a diagnosis."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from batch_alias.model import State
from batch_alias.records import Check, JobInfo, Plan, ProblemCount, Progress, StateCounts

KINDS = 5
"""Kinds of problem that are shown."""


class Finding(Protocol):
    """One thing that was looked at."""

    @property
    def what(self) -> str:
        """Its name."""

    @property
    def good(self) -> bool:
        """Whether it is in order."""

    @property
    def detail(self) -> str:
        """What was found."""


class Status(Protocol):
    """How a job stands."""

    @property
    def source(self) -> str:
        """The source's file name."""

    @property
    def target(self) -> str:
        """Where it is sent to."""

    @property
    def tally(self) -> StateCounts:
        """Rows in each state."""

    @property
    def phase(self) -> str:
        """What it does."""

    @property
    def rate(self) -> float:
        """Attempts per second."""

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes."""

    @property
    def idle_seconds(self) -> float | None:
        """Seconds since the last attempt."""

    @property
    def exit_code(self) -> int | None:
        """Of the last run."""

    @property
    def last_notice(self) -> str:
        """The last thing worth knowing."""


def plan_lines(plan: Plan) -> Iterator[str]:
    """What a run is about to do."""
    tally = plan.tally
    yield from _source_lines(plan.info, tally)
    if tally.rejected:
        yield f"Rejected  {tally.rejected:,} rows may not be sent:"
        yield from problem_lines(plan.problems)
    if plan.warnings:
        yield "Odd       but sent all the same:"
        yield from problem_lines(plan.warnings)
    if tally.superseded:
        yield f"Repeated  {tally.superseded:,} rows set a user and group again that a later row sets"
    if plan.resumed:
        yield f"Resumed   {tally.accepted + tally.failed:,} rows were settled by an earlier run"
    if plan.to_send:
        yield f"To send   {plan.to_send:,} rows to {plan.target} as {plan.masked_key}; about {duration(plan.seconds)}"
    else:
        yield "To send   nothing: the job is finished"


def check_lines(found: Check) -> Iterator[str]:
    """What a check has found."""
    tally = found.tally
    yield from _source_lines(found.info, tally)
    for at, why in zip(found.info.columns, found.info.why, strict=False):
        yield f"          {found.info.header[at]!r}: {why}"
    for row in found.sample:
        yield f"Row {row.number:<5} user {row.user_id}, group {row.group_id}: {printable(row.remark)}"
    yield f"To send   {tally.pending:,} rows for {found.users:,} users in {found.groups:,} groups;" + (
        f" about {duration(found.seconds)} at {found.rate} a second"
    )
    if tally.superseded:
        yield f"Repeated  {tally.superseded:,} rows set a user and group again that a later row sets:"
        yield f"          {found.same:,} with the same alias, {found.conflicting:,} with another"
        for repeat in found.repeats:
            yield f"          row {repeat.row} by row {repeat.by}, {'the same' if repeat.same else 'another'} alias"
    if tally.rejected:
        yield f"Rejected  {tally.rejected:,} rows may not be sent:"
        yield from problem_lines(found.problems, most=len(found.problems))
    if found.warnings:
        yield "Odd       but sent all the same (--strict rejects them):"
        yield from problem_lines(found.warnings, most=len(found.warnings))
    if found.too_many:
        yield "Verdict   more rows are rejected than --max-rejected permits: run would send nothing"
    elif tally.rejected:
        yield f"Verdict   run would send {tally.pending:,} rows and leave out {tally.rejected:,}"
    else:
        yield "Verdict   every row may be sent"


def _source_lines(info: JobInfo, tally: StateCounts) -> Iterator[str]:
    blank = f", {info.blank_rows:,} blank" if info.blank_rows else ""
    yield f"Source    {info.source}: {info.description}; {tally.rows:,} rows{blank}"
    roles = zip(("userId", "groupId", "remark"), info.columns, strict=True)
    yield f"Columns   {', '.join(f'{role} from {info.header[at]!r}' for role, at in roles)}"


def problem_lines(problems: Sequence[ProblemCount], most: int = KINDS) -> Iterator[str]:
    """Kinds of problem with their counts and an example each."""
    for problem in problems[:most]:
        rows = ", ".join(map(str, problem.rows)) + (", …" if problem.count > len(problem.rows) else "")
        name = problem.name or problem.message
        yield f"{problem.count:>9,} × {name} (row {rows})"
        if problem.name and problem.message:
            yield f"            {problem.message}"
    if len(problems) > most:
        yield f"            and {len(problems) - most} more kinds"


def end_lines(tally: StateCounts, problems: Sequence[ProblemCount]) -> Iterator[str]:
    """How a run ended."""
    yield f"Done      {state_counts(tally)} of {tally.rows:,} rows"
    yield from problem_lines(problems)


def status_lines(status: Status) -> Iterator[str]:
    """How a job stands."""
    phases = {
        "staged": "nothing has been sent yet",
        "sending": f"sending {status.rate:.0f} a second",
        "silent": "the last run was killed, or is waiting out an outage",
        "ended": f"ended with exit code {status.exit_code}",
    }
    yield f"Job       {status.source}" + (f" to {status.target}" if status.target else "")
    yield f"Rows      {state_counts(status.tally)} of {status.tally.rows:,}"
    idle = "" if status.idle_seconds is None else f"; last attempt {duration(status.idle_seconds)} ago"
    yield f"Now       {phases[status.phase]}{idle}"
    if status.seconds_left is not None:
        yield f"Left      about {duration(status.seconds_left)}"
    if status.last_notice:
        yield f"News      {status.last_notice}"


def diagnosis_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """What the doctor found."""
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        yield f"{'ok ' if finding.good else 'BAD'}  {finding.what:<{width}}  {finding.detail}"


def progress_text(progress: Progress, left: float | None) -> str:
    """A run's progress in a few words.

    Args:
        progress: How it stands.
        left: Seconds that the rest will take; ``None`` when nobody can tell.
    """
    parts = [f"{count:,} {name}" for name, count in _trouble(progress) if count]
    if progress.outage is not None:
        parts.append(f"on hold for {duration(progress.outage)}, the service is down")
        return ", ".join(parts)
    parts.append(f"{progress.rate}/s")
    if left is not None:
        parts.append(f"{duration(left)} left")
    return ", ".join(parts)


def _trouble(progress: Progress) -> tuple[tuple[str, int], ...]:
    return ("failed", progress.failed), ("unknown", progress.unknown)


def state_counts(tally: StateCounts) -> str:
    """The states with their counts, in the order people want them."""
    counts = [
        (State.ACCEPTED, tally.accepted),
        (State.SUPERSEDED, tally.superseded),
        (State.REJECTED, tally.rejected),
        (State.FAILED, tally.failed),
        (State.UNKNOWN, tally.unknown),
        (State.PENDING, tally.pending),
    ]
    return ", ".join(f"{count:,} {state}" for state, count in counts if count) or "none"


def duration(seconds: float) -> str:
    """A time span in words: ``45 s``, ``12 min``, ``2 h 47 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def printable(text: str) -> str:
    """A text on one line, without characters that move the cursor or turn the direction of writing."""
    return "".join(character if character.isprintable() else "�" for character in text)
