"""A plan, a check, a status, a diagnosis and the progress of a run as lines of text."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from batch_alias.check import Check
from batch_alias.doctor import Finding
from batch_alias.job import Job, Planned, Verified
from batch_alias.ledger import JobInfo, LedgerReader, Plan, ProblemCount, ReadBack, RowRecord
from batch_alias.model import State, StateCounts
from batch_alias.problems import PROBLEMS, advice
from batch_alias.reports import PLAN
from batch_alias.reports.wording import STATE_MEANINGS
from batch_alias.sending.comparison import MOST_ALIAS
from batch_alias.sending.limiter import sending_seconds
from batch_alias.sending.metrics import Progress
from batch_alias.status import Phase, Status
from batch_alias.text import N_, Message, _, count, duration, excerpt, labelled, quoted

MOST_KINDS = 5
"""Kinds of problem that are listed before and after a run."""


def plan_lines(job: Job) -> Iterator[str]:
    """What a run is about to do."""
    ledger = job.ledger
    counts, warnings = ledger.counts(), ledger.warnings()
    yield from _source_lines(ledger.info(), counts)
    if counts.rejected:
        yield f"Rejected  {count(counts.rejected, 'row')}, not to be sent:"
        yield from problem_lines(ledger.problems(State.REJECTED))
    if warnings:
        yield "Warnings  sent all the same:"
        yield from problem_lines(warnings)
    if counts.superseded:
        yield f"Repeated  {count(counts.superseded, 'row')}: {STATE_MEANINGS[State.SUPERSEDED]}"
    yield from left_out_lines(ledger)
    if job.unreadable:
        yield unreadable_line(job.unreadable)
    if ledger.was_run():
        ended = counts.accepted + (0 if job.sends_failed else counts.failed)
        yield f"Resumed   {count(ended, 'row')} ended in an earlier run"
    if job.to_send:
        if (plan := ledger.plan()).left < plan.rows:
            yield f"Planned   {_plan(plan)}"
        is_guarded = job.steps.only_absent or job.is_expecting
        checks = {
            # What was read by a plan is not read again, unless it is guarded.
            "each alias is read before it is set": job.steps.compare and (plan.left or is_guarded),
            "it is set only where none is": job.steps.only_absent,
            "only where it is the expected one": job.is_expecting,
            "it is read back": job.steps.verify,
        }
        if any(checks.values()):
            yield f"Checks    {', '.join(check for check, is_made in checks.items() if is_made)}"
        rows, time = count(job.to_send, "row"), duration(round(job.seconds))
        yield f"To send   {rows} to {job.target_name} as {job.target.masked_key}; about {time}"
    else:
        yield "To send   nothing: the job is finished"


def left_out_lines(ledger: LedgerReader) -> Iterator[str]:
    """The rows of another job that an undo leaves out; none where there are none."""
    if (left := ledger.left_out()) is not None:
        yield "Left out  not to be undone:"
        yield from problem_lines([left])


def reading_lines(job: Job, rows: int) -> Iterator[str]:
    """What is about to be read, and how long that takes."""
    if not rows:
        yield "To read   nothing"
        return
    time = duration(round(sending_seconds(rows, job.settings.sending.rate)))
    yield f"To read   {count(rows, 'row')} from {job.target_name} as {job.target.masked_key}; about {time}"


def planned_lines(found: Planned, folder: Path) -> Iterator[str]:
    """What a plan has found."""
    counts = found.counts
    yield f"Planned   {_plan(found.plan)}"
    yield from _first_lines((row, row.before, row.remark) for row in found.first)
    if counts.rejected + counts.superseded:
        yield f"Not sent  {counts.rejected:,} rejected, {counts.superseded:,} superseded"
    yield f"Written   {folder / PLAN}"


def verified_lines(found: Verified, folder: Path) -> Iterator[str]:
    """What was found when rows were read back."""
    if found.sample is not None:
        yield f"Sample    {found.sample:,} random rows, seed {found.seed}"
    yield from read_back_lines(found.read_back, found.first)
    yield f"Written   {folder}: {'differs.csv and the other' if found.read_back.different else 'the'} reports"


def read_back_lines(found: ReadBack, first: Sequence[RowRecord]) -> Iterator[str]:
    """How many rows are as they were set, and the first that differ."""
    unread = f", {found.unread:,} not read back" if found.unread else ""
    yield f"Verified  {found.same:,} as set, {found.different:,} different{unread}"
    yield from _first_lines((row, row.remark, row.found) for row in first)


def _first_lines(rows: Iterable[tuple[RowRecord, str | None, str | None]]) -> Iterator[str]:
    """Rows with the alias that was there first, and the one after it."""
    for row, before, after in rows:
        old, new = (excerpt(alias, MOST_ALIAS) if alias else "no alias" for alias in (before, after))
        yield f"          row {row.number}  {old} → {new}"


def _plan(plan: Plan) -> str:
    kinds = {
        "set for the first time": plan.first,
        "replaced": plan.replaced,
        "cleared": plan.cleared,
        "unchanged": plan.unchanged,
        "in conflict": plan.conflict,
        "unreadable": plan.unreadable,
        "not read": plan.unread,
    }
    return ", ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number) or "nothing to send"


def check_lines(check: Check) -> Iterator[str]:
    """What a check has found."""
    counts = check.counts
    yield from _source_lines(check.info, counts)
    for index, why in zip(check.info.columns, check.info.why, strict=False):
        yield f"          {quoted(check.info.header[index])}: {why}"
    for row in check.sample:
        alias = excerpt(row.remark, 200) or "its alias is cleared"
        expected = "" if row.expected is None else f", if it is now {quoted(row.expected)}"
        yield f"Row {row.number:<5} user {row.user_id}, group {row.group_id}: {alias}{expected}"
    rows, users, groups = count(counts.pending, "row"), count(check.users, "user"), count(check.groups, "group")
    yield f"To send   {rows} for {users} in {groups}; about {duration(round(check.seconds))} at {check.rate} per second"
    if counts.superseded:
        yield f"Repeated  {count(counts.superseded, 'row')}: {STATE_MEANINGS[State.SUPERSEDED]}:"
        yield f"          {check.same:,} with the same alias, {check.conflicting:,} with another one"
        for repeat in check.repeats:
            alias = "the same" if repeat.same else "another"
            yield f"          row {repeat.row} by row {repeat.superseded_by}, {alias} alias"
    if counts.rejected:
        yield f"Rejected  {count(counts.rejected, 'row')}, not to be sent:"
        yield from problem_lines(check.rejections, most=len(check.rejections), advised=True)
    if check.warnings:
        yield "Warnings  sent all the same (--strict rejects them):"
        yield from problem_lines(check.warnings, most=len(check.warnings))
    if check.unreadable_groups:
        yield unreadable_line(check.unreadable_groups)
    if check.too_many:
        yield "Result    more rows are rejected than --max-rejected permits: run would send nothing"
    elif counts.rejected:
        yield f"Result    run would send {count(counts.pending, 'row')} and leave out {counts.rejected:,}"
    else:
        yield "Result    every row may be sent"


def unreadable_line(groups: Sequence[str]) -> str:
    """That groups could not be looked up, of which there are some."""
    named = ", ".join(groups[:MOST_KINDS]) + (", …" if len(groups) > MOST_KINDS else "")
    return f"Members   the members of {count(len(groups), 'group')} could not be read: {named}"


def _source_lines(info: JobInfo, counts: StateCounts) -> Iterator[str]:
    blank = f", {info.blank_rows:,} blank" if info.blank_rows else ""
    yield f"Source    {info.source}: {info.description}; {count(counts.rows, 'row')}{blank}"
    yield f"Columns   {', '.join(f'{field} from {quoted(name)}' for field, name in info.column_names.items())}"


def problem_lines(problems: Sequence[ProblemCount], most: int = MOST_KINDS, *, advised: bool = False) -> Iterator[str]:
    """Kinds of problem with their counts and an example each; what to do about a rejection if ``advised``."""
    for problem in problems[:most]:
        rows = ", ".join(map(str, problem.rows)) + (", …" if problem.count > len(problem.rows) else "")
        known = PROBLEMS.get(problem.name)
        # A warning has no message of its own: its sentence fits every row.
        message = problem.message or (known.sentence if known is not None else "")
        yield f"{problem.count:>9,} × {problem.name or message} (row {rows})"
        if problem.name and message:
            yield f"            {message}"
        if advised and (todo := advice(problem.name)):
            yield f"            {todo}"
    if len(problems) > most:
        yield f"            and {count(len(problems) - most, 'more kind')}"


def status_lines(status: Status, now: float) -> Iterator[str]:
    """Where a job stands; ``now`` is in seconds since the epoch."""
    if status.source:
        to = _("{source} to {target}", source=status.source, target=status.target)
        yield labelled(_("Job"), to if status.target else status.source)
    if status.read is None:
        yield labelled(_("Rows"), _rows_by_state(status.counts))
    phase = _phase(status)
    if status.last_attempt_at is not None:
        ago = duration(round(max(0.0, now - status.last_attempt_at)))
        phase = _("{phase}; last attempt {time} ago", phase=phase, time=ago)
    yield labelled(_("Now"), phase)
    if status.seconds_left is not None:
        yield labelled(_("Left"), _("about {time}", time=duration(status.seconds_left)))
    if status.last_event:
        yield labelled(_("Event"), status.last_event)


def status_line(status: Status) -> str:
    """Where a job stands, in short."""
    phase, left = _phase(status), status.seconds_left
    if left is not None:
        phase = _("{phase}, about {time} left", phase=phase, time=duration(left))
    if status.read is not None:
        return phase
    return _("{rows}: {phase}", rows=_rows_by_state(status.counts), phase=phase)


def _rows_by_state(counts: StateCounts) -> Message:
    return _("{states} of {rows:,}", states=state_counts(counts), rows=counts.rows)


def _phase(status: Status) -> Message:
    """What a job is doing, in a sentence."""
    silent = _("the last run was killed, or waits: for an outage to end, or because the server asked it to")
    if status.read is not None:
        silent = _("reading the source was killed, or takes long: {share:.0%}", share=status.read)
    at_rate = N_("sending {rate:.0f} per second") if status.command == "run" else N_("reading {rate:.0f} per second")
    return {
        Phase.READING: _("reading the source: {share:.0%}", share=status.read or 0.0),
        Phase.STAGED: _("nothing has been sent yet"),
        Phase.SENDING: _(at_rate, rate=status.rate),
        Phase.SILENT: silent,
        Phase.ENDED: _("ended with exit code {code}", code=status.exit_code),
    }[status.phase]


def diagnosis_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """What the doctor found."""
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        yield f"{'ok ' if finding.good else 'BAD'}  {finding.subject:<{width}}  {finding.detail}"


def progress_text(progress: Progress, left: float | None) -> str:
    """A run's progress in a few words; ``left`` is how many seconds the rest takes, if that can be estimated."""
    shown = (State.UNCHANGED, State.CONFLICT, State.FAILED, State.UNKNOWN)
    parts = [f"{number:,} {state}" for state in shown if (number := progress.states.get(state, 0))]
    if progress.outage is not None:
        parts.append(f"on hold for {duration(round(progress.outage))}, the service is down")
        return ", ".join(parts)
    parts.append(f"{progress.recent_rate}/s" + (f" and {progress.recent_reads} reads/s" * bool(progress.recent_reads)))
    if left is not None:
        parts.append(f"{duration(round(left))} left")
    return ", ".join(parts)


def state_counts(counts: StateCounts) -> str:
    """The states that rows are in, with their counts."""
    shown = ((getattr(counts, state), state) for state in STATE_MEANINGS)
    return ", ".join(f"{number:,} {state}" for number, state in shown if number) or "none"
