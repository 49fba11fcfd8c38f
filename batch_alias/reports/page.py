"""``report.html``: the job on one page without scripts or other files, for desktop, phone and paper.

Every value from the source is text to the template, which escapes it; long values are cut, and characters that a
browser would not show are made visible.
"""

from functools import cache
from itertools import islice
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from batch_alias.ledger import FIRST_ROWS, LedgerReader
from batch_alias.model import State
from batch_alias.problems import PROBLEMS
from batch_alias.reports import wording
from batch_alias.reports.charts import draw
from batch_alias.reports.rows import CHANGES, NOT_DONE, why
from batch_alias.reports.summary import Summary
from batch_alias.reports.timeline import Timeline
from batch_alias.text import count, duration, excerpt, proportion

MOST_ROWS = 1000
"""Rows that were not accepted and are shown; ``not-accepted.csv`` has all."""
MOST_LINES = 100
"""Lines of every other table."""
MOST_TEXT = 160


def write(path: Path, folder: Path, ledger: LedgerReader, summary: Summary) -> None:
    """Write the page; the commands that it names are for the job in ``folder``."""
    info, runs = ledger.info(), ledger.runs()
    warnings = [(each, PROBLEMS[each.name].sentence if each.name in PROBLEMS else "") for each in ledger.warnings()]
    template = _environment().get_template("report.html")
    page = template.render(
        info=info,
        summary=summary,
        runs=runs,
        conclusion=wording.conclude(summary),
        steps=wording.next_steps(summary, folder, info),
        states=_states(summary),
        causes=wording.causes(ledger.rows(*NOT_DONE)),
        warnings=warnings,
        changes=_changes(ledger),
        change_meanings=CHANGES,
        charts=draw(Timeline(ledger)) if summary.requests or summary.reads else [],
        events=ledger.events(),
        facts=wording.facts(info, runs),
        differing=list(islice(ledger.differing(), MOST_LINES)),
        not_accepted=list(islice(ledger.rows(*NOT_DONE), MOST_ROWS)),
        left=sum(summary.states[state] for state in NOT_DONE),
    )
    path.write_text(page, encoding="utf-8")


def _states(summary: Summary) -> list[tuple[State, int, str]]:
    counts = [(state, summary.states[state], meaning) for state, meaning in wording.STATE_MEANINGS.items()]
    # No row can be in these unless aliases were read first.
    compared = {State.UNCHANGED, State.CONFLICT}
    return [count for count in counts if count[0] not in compared or count[1] or summary.changes]


def _changes(ledger: LedgerReader) -> list[dict[str, object]]:
    found = ledger.changes()
    return [
        {
            "name": name,
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
        "advice": wording.advise,
        "why": why,
    }
    environment.globals |= {"proportion": proportion, "count": count, "most_lines": MOST_LINES}
    return environment
