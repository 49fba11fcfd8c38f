"""``report.html``: the job on one page without other files, for desktop, phone and paper.

Every value from the source is text to the template, which escapes it; long values are cut, and characters that a
browser would not show are made visible. The one script on it, which copies commands and searches the rows, is permitted
by its hash; what needs it is hidden without it.
"""

import base64
import hashlib
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from batch_alias.ledger import FIRST_ROWS, TARGET, LedgerReader, RowRecord, RunRecord
from batch_alias.model import State
from batch_alias.problems import PROBLEMS
from batch_alias.reports import advice, wording
from batch_alias.reports.charts import draw
from batch_alias.reports.rows import CHANGES, NOT_ACCEPTED
from batch_alias.reports.summary import Summary
from batch_alias.reports.timeline import Timeline
from batch_alias.settings.target import Target
from batch_alias.text import _, count, duration, excerpt, language_tag, proportion

MOST_ROWS = 1000
"""Rows that were not accepted and are shown; ``not-accepted.csv`` has all."""
MOST_LINES = 100
"""Lines of every other table."""
MOST_TEXT = 160
MOST_TERMS = 3
"""Runs that are told apart in the sum of all requests."""


@dataclass(slots=True)
class _Group:
    """Rows that were not accepted for one cause, and the first of them with what its sentence leaves out."""

    cause: wording.Cause
    most: int  # rows that are shown
    rows: list[tuple[RowRecord, str]] = field(default_factory=list)

    @property
    def has_details(self) -> bool:
        return any(details for _row, details in self.rows)


def write(path: Path, folder: Path, ledger: LedgerReader, summary: Summary) -> None:
    """Write the page; the commands that it names are for the job in ``folder``."""
    info, runs = ledger.info(), ledger.runs()
    warnings = [(each, _(PROBLEMS[each.name].sentence) if each.name in PROBLEMS else "") for each in ledger.warnings()]
    environment = _environment()
    script = environment.get_template("report.js").render()
    page = environment.get_template("report.html").render(
        language=language_tag(),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        info=info,
        summary=summary,
        runs=runs,
        workers=ledger.workers(),
        is_rehearsal=ledger.meta(TARGET) == Target(sandbox=True).fingerprint,
        conclusion=advice.conclude(summary),
        steps=advice.next_steps(summary, folder, info, ledger),
        states=_states(summary),
        groups=_groups(ledger),
        warnings=warnings,
        changes=_changes(ledger),
        change_meanings=CHANGES,
        charts=draw(Timeline(ledger)) if summary.requests or summary.reads else [],
        sum_of_requests=_sum_of_requests(summary, runs),
        events=ledger.events(),
        facts=wording.facts(info, runs),
        differing=list(islice(ledger.differing(), MOST_LINES)),
        left=sum(summary.states[state] for state in NOT_ACCEPTED),
    )
    path.write_text(page, encoding="utf-8")


def _states(summary: Summary) -> list[tuple[State, int, str]]:
    counts = [(state, summary.states[state], meaning) for state, meaning in wording.STATE_MEANINGS.items()]
    # No row can be in these unless aliases were read first.
    compared = {State.UNCHANGED, State.CONFLICT}
    return [count for count in counts if count[0] not in compared or count[1] or summary.changes]


def _groups(ledger: LedgerReader) -> list[_Group]:
    """The rows that were not accepted by cause; one of many rows leaves those of few their place."""
    causes = wording.causes(ledger.rows(*NOT_ACCEPTED))
    groups, room = dict[wording.Kind, _Group](), MOST_ROWS
    for place, (kind, cause) in enumerate(reversed(causes.items())):  # the fewest first
        most = min(cause.rows, room // (len(causes) - place))
        groups[kind] = _Group(cause, most)
        room -= most
    left = sum(group.most for group in groups.values())
    for row in ledger.rows(*NOT_ACCEPTED) if left else ():
        group = groups[wording.kind_of(row, causes)]
        if len(group.rows) < group.most:
            group.rows.append((row, group.cause.details(row)))
            left -= 1
            if not left:
                break
    return list(reversed(groups.values()))


def _sum_of_requests(summary: Summary, runs: list[RunRecord]) -> str:
    """How the number of requests comes about."""
    sent = [(number, run.rows_sent) for number, run in enumerate(runs, 1) if run.rows_sent]
    rows = sum(number for _run, number in sent)
    terms = [_("{rows} in run {run}", rows=count(number, "row"), run=run) for run, number in sent]
    if len(sent) == 1:
        terms = [count(rows, "row")]
    elif len(sent) > MOST_TERMS:
        terms = [_("{rows} in {runs}", rows=count(rows, "row"), runs=count(len(sent), "run"))]
    if summary.retries:
        terms.append(_("{number:,} retry", "{number:,} retries", number=summary.retries))
    if checks := summary.requests - summary.retries - rows:
        terms.append(_("{number:,} call that changes nothing", "{number:,} calls that change nothing", number=checks))
    return _("{terms} = {requests}.", terms=" + ".join(terms), requests=count(summary.requests, "request"))


def _changes(ledger: LedgerReader) -> list[dict[str, object]]:
    found = ledger.changes()
    return [
        {
            "name": name,
            "label": _(name),
            "rows": found[name][0],
            "accepted": found[name][1],
            "examples": list(islice(ledger.changing(name), FIRST_ROWS)),
        }
        for name in CHANGES
        if name in found
    ]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("batch_alias.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "text": lambda value, most=MOST_TEXT: excerpt(value, most),
        "number": "{:,}".format,
        "duration": duration,
        "latency": wording.latency,
        "moment": wording.moment,
        "exit": wording.exit_meaning,
        "code": wording.code_meaning,
        "state": _,
        "event": lambda kind: _(wording.EVENT_LABELS[kind]),
        "command": wording.command_name,
        "typed": wording.typed,
        "advice": advice.advise,
    }
    environment.globals |= {"_": _, "proportion": proportion, "count": count, "most_lines": MOST_LINES}
    return environment
