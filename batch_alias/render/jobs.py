"""Where jobs stand, as lines of text: one job, and all of a folder."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import wcwidth

from batch_alias.errors import ExitCode, LedgerError
from batch_alias.ledger import WorkerRecord
from batch_alias.model import StateCounts
from batch_alias.render import state_counts
from batch_alias.status import Listed, Phase, Status
from batch_alias.text import N_, Message, _, count, duration, excerpt, labelled

MOST_WORKERS = 5
"""Workers that are shown of a job."""
_LABELS = {
    Phase.READING: N_("reading the source"),
    Phase.STAGED: N_("not sent yet"),
    Phase.SENDING: N_("under way"),
    Phase.SILENT: N_("killed or waiting"),
    Phase.ENDED: N_("ended"),
}
_CUT_SHORT: Mapping[int | None, str] = {ExitCode.STOPPED: N_("stopped"), ExitCode.INTERRUPTED: N_("interrupted")}
"""What is said instead of it of a run with such an exit code."""


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
    yield from _workers_lines(status.workers, now)
    if status.last_event:
        yield labelled(_("Event"), status.last_event)


def _workers_lines(workers: Sequence[WorkerRecord], now: float) -> Iterator[str]:
    """What each of the workers has done of which there was a sign of life last, in the order in which they began."""
    shown = sorted(workers, key=lambda worker: worker.seen_at)[-MOST_WORKERS:]
    shown.sort(key=lambda worker: (worker.started_at, worker.name))
    for number, worker in enumerate(shown):
        line = _(
            "{name}: {accepted:,} accepted, {requests} in {time}; last seen {ago} ago",
            name=excerpt(worker.name, 64),
            accepted=worker.accepted,
            requests=count(worker.requests, "request"),
            time=duration(round(worker.seen_at - worker.started_at)),
            ago=duration(round(max(0.0, now - worker.seen_at))),
        )
        yield labelled("" if number else _("Workers"), line)
    if len(workers) > len(shown):
        yield labelled("", _("and {workers} before", workers=count(len(workers) - len(shown), "worker")))


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


def jobs_lines(jobs: Iterable[Listed], width: int | None) -> Iterator[str]:
    """Jobs as a table, for a terminal of so many columns; ``None`` does not limit it."""
    jobs = list(jobs)
    table = [(_("Job"), _("State"), _("Rows"), _("Not accepted"), _("Last run")), *map(_cells, jobs)]
    widths = [max(map(wcwidth.width, column)) for column in zip(*table, strict=True)]
    if width is not None:
        widths[0] = min(widths[0], max(12, width - sum(widths[1:]) - 2 * len(widths[1:])))
    problems = ["", *(found.problem if isinstance(found, LedgerError) else "" for _place, found in jobs)]
    for (name, state, *numbers, last), problem in zip(table, problems, strict=True):
        is_long = wcwidth.width(name) > widths[0]
        if is_long:
            yield name
        cells = [wcwidth.ljust("" if is_long else name, widths[0]), wcwidth.ljust(state, widths[1])]
        cells += [wcwidth.rjust(number, size) for number, size in zip(numbers, widths[2:4], strict=True)]
        yield "  ".join([*cells, last]).rstrip()
        if problem:
            lines = [problem] if width is None else wcwidth.wrap(problem, width - 2)
            yield from (f"  {line}" for line in lines)


def _cells(listed: Listed) -> tuple[str, ...]:
    place, found = listed
    name = excerpt(place.name, 1000)
    if isinstance(found, LedgerError):
        return name, _("cannot be read"), "", "", ""
    if found.read is not None:
        return name, _label(found), "", "", ""
    counts, at = found.counts, found.last_run_at
    not_accepted = counts.rejected + counts.conflict + counts.failed + counts.unknown
    last = "" if at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
    return name, _label(found), f"{counts.rows:,}", f"{not_accepted:,}", last


def _label(status: Status) -> Message:
    """What a job is doing, in a few words."""
    label = _(_CUT_SHORT.get(status.exit_code) or _LABELS[status.phase])
    if status.phase is Phase.STAGED or not status.counts.pending:
        return label
    return _("{state}, {rows:,} pending", state=label, rows=status.counts.pending)
