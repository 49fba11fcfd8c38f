"""A plan, a check, a diagnosis and the progress of a run as lines of text."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import wcwidth

from batch_alias.check import Check
from batch_alias.doctor import Finding
from batch_alias.job import Job, Planned, Verified
from batch_alias.ledger import JobInfo, LedgerReader, Plan, ProblemCount, ReadBack, RowRecord
from batch_alias.model import State, StateCounts
from batch_alias.problems import PROBLEMS, advice
from batch_alias.reports import PLAN
from batch_alias.reports.rows import NOT_ACCEPTED
from batch_alias.reports.wording import STATE_MEANINGS
from batch_alias.sending.comparison import MOST_ALIAS
from batch_alias.sending.limiter import sending_seconds
from batch_alias.sending.metrics import Progress
from batch_alias.text import N_, _, count, duration, enumeration, excerpt, labelled, quoted

MOST_KINDS = 5
"""Kinds of problem that are listed before and after a run."""


def plan_lines(job: Job) -> Iterator[str]:
    """What a run is about to do."""
    ledger = job.ledger
    counts, warnings = ledger.counts(), ledger.warnings()
    yield from _source_lines(ledger.info(), counts)
    if counts.rejected:
        yield labelled(_("Rejected"), _("{rows}, not to be sent:", rows=count(counts.rejected, "row")))
        yield from problem_lines(ledger.problems(State.REJECTED))
    if warnings:
        yield labelled(_("Warnings"), _("sent all the same:"))
        yield from problem_lines(warnings)
    if counts.superseded:
        yield _repeated_line(counts)
    yield from left_out_lines(ledger)
    if job.unreadable:
        yield unreadable_line(job.unreadable)
    if ledger.was_run():
        ended = counts.accepted + (0 if job.sends_failed else counts.failed)
        yield labelled(_("Resumed"), _("{rows} ended in an earlier run", rows=count(ended, "row")))
    if job.to_send:
        if (plan := ledger.plan()).left < plan.rows:
            yield labelled(_("Planned"), _plan(plan))
        is_guarded = job.steps.only_absent or job.is_expecting
        checks = {
            # What was read by a plan is not read again, unless it is guarded.
            _("each alias is read before it is set"): job.steps.compare and (plan.left or is_guarded),
            _("it is set only where none is"): job.steps.only_absent,
            _("only where it is the expected one"): job.is_expecting,
            _("it is read back"): job.steps.verify,
        }
        if any(checks.values()):
            yield labelled(_("Checks"), enumeration(check for check, is_made in checks.items() if is_made))
        sent = N_("{rows} to {target} as {key}; about {time}")
        yield labelled(_("To send"), _about(sent, job, job.to_send, job.seconds))
    else:
        yield labelled(_("To send"), _("nothing: the job is finished"))


def _about(template: str, job: Job, rows: int, seconds: float) -> str:
    time = duration(max(1, round(seconds)))
    return _(template, rows=count(rows, "row"), target=job.target_name, key=job.target.masked_key, time=time)


def left_out_lines(ledger: LedgerReader) -> Iterator[str]:
    """The rows of another job that an undo leaves out; none where there are none."""
    if (left := ledger.left_out()) is not None:
        yield labelled(_("Left out"), _("not to be undone:"))
        yield from problem_lines([left])


def reading_lines(job: Job, rows: int) -> Iterator[str]:
    """What is about to be read, and how long that takes."""
    read, seconds = N_("{rows} from {target} as {key}; about {time}"), sending_seconds(rows, job.settings.sending.rate)
    yield labelled(_("To read"), _about(read, job, rows, seconds) if rows else _("nothing"))


def planned_lines(found: Planned, folder: Path) -> Iterator[str]:
    """What a plan has found."""
    counts = found.counts
    yield labelled(_("Planned"), _plan(found.plan))
    yield from _first_lines((row, row.before, row.remark) for row in found.first)
    if counts.rejected + counts.superseded:
        yield labelled(_("Not sent"), _("{rejected:,} rejected, {superseded:,} superseded", **asdict(counts)))
    yield labelled(_("Written"), str(folder / PLAN))


def verified_lines(found: Verified, folder: Path) -> Iterator[str]:
    """What was found when rows were read back."""
    if found.sample is not None:
        rows = count(found.sample, "random row")
        yield labelled(_("Sample"), _("{rows}, seed {seed}", rows=rows, seed=found.seed))
    yield from read_back_lines(found.read_back, found.first)
    all_same, differs = N_("{folder}: the reports"), N_("{folder}: differs.csv and the other reports")
    yield labelled(_("Written"), _(differs if found.read_back.different else all_same, folder=folder))


def read_back_lines(found: ReadBack, first: Sequence[RowRecord]) -> Iterator[str]:
    """How many rows are as they were set, and the first that differ."""
    template = N_("{same:,} as set, {different:,} different")
    if found.unread:
        template = N_("{same:,} as set, {different:,} different, {unread:,} not read back")
    yield labelled(_("Verified"), _(template, **asdict(found)))
    yield from _first_lines((row, row.remark, row.found) for row in first)


def _first_lines(rows: Iterable[tuple[RowRecord, str | None, str | None]]) -> Iterator[str]:
    """Rows with the alias that was there first, and the one after it."""
    for row, before, after in rows:
        old, new = (excerpt(alias, MOST_ALIAS) if alias else _("no alias") for alias in (before, after))
        yield labelled("", _("row {row}  {before} → {after}", row=row.number, before=old, after=new))


def _plan(plan: Plan) -> str:
    kinds = {
        N_("set for the first time"): plan.first,
        N_("replaced"): plan.replaced,
        N_("cleared"): plan.cleared,
        N_("unchanged"): plan.unchanged,
        N_("in conflict"): plan.conflict,
        N_("unreadable"): plan.unreadable,
        N_("not read"): plan.unread,
    }
    return _numbers(kinds) or _("nothing to send")


def _numbers(kinds: Mapping[str, int]) -> str:
    """Kinds of rows with their numbers, without those of which there are none."""
    return enumeration(_("{rows:,} {kind}", rows=rows, kind=_(kind)) for kind, rows in kinds.items() if rows)


def check_lines(check: Check) -> Iterator[str]:
    """What a check has found."""
    counts = check.counts
    yield from _source_lines(check.info, counts)
    named = (check.info.reading.get(f"{name}_column") for name in ("user", "group", "remark", "expect"))
    for column, why, name in zip(check.info.column_names.values(), check.info.why, named, strict=False):
        if name is not None:  # the others were found by names that are known
            yield labelled("", _("{column}: {why}", column=quoted(column), why=why))
    yield from _sample_lines(check.sample)
    rows, users, groups = count(counts.pending, "row"), count(check.users, "user"), count(check.groups, "group")
    values = {"rows": rows, "users": users, "groups": groups, "time": duration(max(1, round(check.seconds)))}
    to_send = _("{rows} for {users} in {groups}; about {time} at {rate} per second", rate=check.rate, **values)
    yield labelled(_("To send"), to_send)
    if counts.superseded:
        yield _repeated_line(counts)
        numbers = {"same": check.same, "other": check.conflicting}
        yield labelled("", _("{same:,} with the same alias, {other:,} with another one", **numbers))
        for repeat in check.repeats:
            same, other = N_("row {row} by row {later}, the same alias"), N_("row {row} by row {later}, another alias")
            yield labelled("", _(same if repeat.same else other, row=repeat.row, later=repeat.superseded_by))
    if counts.rejected:
        yield labelled(_("Rejected"), _("{rows}, not to be sent:", rows=count(counts.rejected, "row")))
        yield from problem_lines(check.rejections, most=len(check.rejections), advised=True)
    if check.warnings:
        yield labelled(_("Warnings"), _("sent all the same (--strict rejects them):"))
        yield from problem_lines(check.warnings, most=len(check.warnings))
    if check.unreadable_groups:
        yield unreadable_line(check.unreadable_groups)
    result = _("every row may be sent")
    if check.too_many:
        result = _("more rows are rejected than --max-rejected permits: run would send nothing")
        if counts.rejected == counts.rows:
            result = _("every row is rejected: run would send nothing")
    elif counts.rejected:
        result = _("run would send {rows} and leave out {rejected:,}", rows=rows, rejected=counts.rejected)
    yield labelled(_("Result"), result)


def _sample_lines(rows: Sequence[RowRecord]) -> Iterator[str]:
    for row in rows:
        alias = excerpt(row.remark, 200) or _("its alias is cleared")
        shown = _("user {user}, group {group}: {alias}", user=row.user_id, group=row.group_id, alias=alias)
        if row.expected is not None:
            shown = _("{row}, if it is now {expected}", row=shown, expected=quoted(row.expected))
        yield labelled(f"{_('Row {number}', number=row.number)} ", shown)


def _repeated_line(counts: StateCounts) -> str:
    rows, meaning = count(counts.superseded, "row"), _(STATE_MEANINGS[State.SUPERSEDED])
    return labelled(_("Repeated"), _("{rows}: {meaning}", rows=rows, meaning=meaning))


def unreadable_line(groups: Sequence[str]) -> str:
    """That groups could not be looked up, of which there are some."""
    named = enumeration([*groups[:MOST_KINDS], "…" if len(groups) > MOST_KINDS else ""])
    values = {"groups": count(len(groups), "group"), "names": named}
    return labelled(_("Members"), _("the members of {groups} could not be read: {names}", **values))


def _source_lines(info: JobInfo, counts: StateCounts) -> Iterator[str]:
    values = {"source": info.source, "description": info.description, "rows": count(counts.rows, "row")}
    source = _("{source}: {description}; {rows}", **values)
    if info.blank_rows:
        source = _("{source}: {description}; {rows}, {blank:,} blank", blank=info.blank_rows, **values)
    yield labelled(_("Source"), source)
    names = info.column_names.items()
    columns = enumeration(_("{field} from {column}", field=field, column=quoted(name)) for field, name in names)
    yield labelled(_("Columns"), columns)


def problem_lines(problems: Sequence[ProblemCount], most: int = MOST_KINDS, *, advised: bool = False) -> Iterator[str]:
    """Kinds of problem with their counts and an example each; what to do about a rejection if ``advised``."""
    for problem in problems[:most]:
        rows = enumeration([*map(str, problem.rows), "…" if problem.count > len(problem.rows) else ""])
        known = PROBLEMS.get(problem.name)
        # A warning has no message of its own: its sentence fits every row.
        message = problem.message or (_(known.sentence) if known is not None else "")
        shown = _("row {rows}", "rows {rows}", number=problem.count, rows=rows)
        kind = problem.name or message
        yield _("{count:>9,} × {kind} ({rows})", count=problem.count, kind=kind, rows=shown)
        if problem.name and message:
            yield f"            {message}"
        if advised and (todo := advice(problem.name)):
            yield f"            {_(todo)}"
    if len(problems) > most:
        yield f"            {_('and {kinds}', kinds=count(len(problems) - most, 'more kind'))}"


def diagnosis_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """What the doctor found."""
    width = max(wcwidth.width(finding.subject) for finding in findings)
    for finding in findings:
        mark, subject = _("ok") if finding.good else _("BAD"), wcwidth.ljust(finding.subject, width)
        yield f"{wcwidth.ljust(mark, 3)}  {subject}  {finding.detail}"


def progress_text(progress: Progress, left: float | None) -> str:
    """A run's progress in a few words; ``left`` is how many seconds the rest takes, if that can be estimated."""
    shown = (State.UNCHANGED, State.CONFLICT, State.FAILED, State.UNKNOWN)
    parts = [_numbers({state: progress.states.get(state, 0) for state in shown})]
    if progress.outage is not None:
        parts.append(_("on hold for {time}, the service is down", time=duration(round(progress.outage))))
    elif progress.recent_reads:
        parts.append(_("{rate}/s and {reads} reads/s", rate=progress.recent_rate, reads=progress.recent_reads))
    else:
        parts.append(_("{rate}/s", rate=progress.recent_rate))
    if left is not None:
        parts.append(_("{time} left", time=duration(round(left))))
    return enumeration(parts)


def done_line(counts: StateCounts, *, sent: bool) -> str:
    """How many rows are in which state at the end of a run, of which some may have been sent."""
    values = {"counts": state_counts(counts), "rows": count(counts.rows, "row")}
    if counts.begun + counts.unchanged + counts.conflict:
        return labelled(_("Done"), _("{counts} of {rows}", **values))
    none, unsent = N_("No row was accepted: {counts} of {rows}"), N_("Nothing has been sent: {counts} of {rows}")
    return labelled(_("Result"), _(none if sent else unsent, **values))


def left_lines(counts: StateCounts, folder: Path) -> Iterator[str]:
    """How many rows were not accepted, with the file that names them, and how many were not sent; each if any."""
    rows, path = count(counts.rows, "row"), folder / "not-accepted.csv"
    states: dict[str, int] = {state: getattr(counts, state) for state in NOT_ACCEPTED}
    if number := sum(states.values()):
        yield _(
            "{number:,} of {rows} was not accepted ({kinds}): {path}",
            "{number:,} of {rows} were not accepted ({kinds}): {path}",
            number=number,
            rows=rows,
            kinds=_numbers(states),
            path=path,
        )
    if counts.pending:
        yield _("{pending:,} of {rows} not sent yet", pending=counts.pending, rows=rows)


def state_counts(counts: StateCounts) -> str:
    """The states that rows are in, with their counts."""
    return _numbers({state: getattr(counts, state) for state in STATE_MEANINGS}) or _("none")
