"""``report.html``: the job on one page that stands by itself, to be read on a desk, on a phone and on paper.

It has no script and fetches nothing. Every value from the file is text to the template, which escapes it; what a
browser would draw oddly (control characters, very long values) is made visible or short before.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from batch_alias.records import JobInfo, Event, EventKind, ProblemCount, RunRecord
from batch_alias.reports import advice, wording
from batch_alias.reports.causes import NotAccepted
from batch_alias.reports.not_accepted import STATES, said
from batch_alias.reports.summary import Summary

if TYPE_CHECKING:
    from batch_alias.reports.timeline import Timeline

MOST_ROWS = 1000
"""Rows that were not accepted and are shown; ``not-accepted.csv`` has all."""
MOST_LINES = 100
"""Lines of every other table."""
MOST_ID = 64
MOST_TEXT = 160

KINDS: Mapping[EventKind, str] = {
    EventKind.OUTAGE_BEGAN: "outage began",
    EventKind.OUTAGE_ENDED: "outage ended",
    EventKind.PACE_LOWERED: "pace lowered",
    EventKind.HOST_SWITCHED: "host switched",
}
SETTINGS: Mapping[str, str] = {
    "rate": "requests per second, at most",
    "max_in_flight": "requests in flight, at most",
    "attempts": "attempts for a row, at most",
    "timeout": "seconds for an attempt, at most",
    "max_rejected": "share of rejected rows permitted",
    "max_failed": "share of failed rows permitted",
    "patience": "seconds without progress permitted",
    "limit": "rows to send in the run, at most",
}
"""The settings that a run notes, in words; any other is shown by its own name."""
SHARES = frozenset({"max_rejected", "max_failed"})
"""Those among them that are shown in per cent."""
MASKED_KEY = "masked_key"
"""The setting under which a run notes the App Key with its middle hidden."""


def _id(value: str) -> str:
    return wording.visible(value, MOST_ID)


def _text(value: str) -> str:
    return wording.visible(value, MOST_TEXT)


FILTERS: Mapping[str, Callable[..., str]] = {
    "id": _id,
    "text": _text,
    "number": "{:,}".format,
    "duration": wording.duration,
    "latency": wording.latency,
    "moment": wording.moment,
    "exit": wording.exit_in_words,
}
"""What the template may do with a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart.

    Attributes:
        title: What it shows.
        describes: The same for who cannot see it.
        drawings: The drawing for each layout, as SVG.
        key: What the colours mean: (colour, shape, words).
    """

    title: str
    describes: str
    drawings: Mapping[str, Markup]
    key: Sequence[tuple[str, str, str]] = ()


def write(
    path: Path,
    *,
    folder: Path,
    info: JobInfo,
    totals: Summary,
    runs: Sequence[RunRecord],
    events: Sequence[Event],
    warnings: Sequence[ProblemCount],
    timeline: "Timeline | None",
    not_accepted: NotAccepted,
) -> None:
    """Write the page.

    Args:
        path: Where to.
        folder: The job's folder, for the commands that it names.
        info: What the job is.
        totals: The job in numbers.
        runs: What is noted of each run.
        events: What was worth knowing.
        warnings: What is odd about rows that may be sent all the same.
        timeline: The job over time; ``None`` when nothing was sent.
        not_accepted: The rows that were not accepted.
    """
    template = _environment().get_template("report.html")
    page = template.render(
        info=info,
        totals=totals,
        conclusion=advice.conclude(totals),
        steps=advice.next_steps(totals, folder, info.reading),
        states=[(state, totals.states[state], meaning) for state, meaning in wording.STATES.items()],
        runs=runs,
        rate=runs[-1].settings.get("rate") if runs else None,
        asked=_asked(info, runs),
        events=[(event.at, event.kind, KINDS[event.kind], event.text) for event in events],
        warnings=warnings,
        charts=_charts(timeline, totals),
        codes=[(code, wording.code_in_words(code), count) for code, count in totals.codes.items()],
        answers=sum(totals.codes.values()),
        left=sum(totals.states[state] for state in STATES),
        not_accepted=not_accepted,
        advise=advice.advise,
        said=said,
        share=wording.share,
        count=wording.count,
        most_lines=MOST_LINES,
    )
    path.write_text(page, encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("batch_alias.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    environment.globals |= {
        "advise": advice.advise,
        "said": said,
        "share": wording.share,
        "count": wording.count,
        "most_lines": MOST_LINES,
    }
    return environment


def _asked(info: JobInfo, runs: Sequence[RunRecord]) -> list[tuple[str, str]]:
    """What was asked: names and values."""
    roles = ("user id", "group id", "alias")
    asked = [
        ("source", info.source),
        ("taken for", info.description),
        ("SHA-256", info.sha256),
        *((f"column of the {role}", info.header[at]) for role, at in zip(roles, info.columns, strict=True)),
        ("read at", f"{wording.moment(info.staged_at)} UTC, batch-alias {info.version}"),
    ]
    if not runs:
        return asked
    last = runs[-1]
    asked.append(("sent to", last.host))
    if last.settings.get(MASKED_KEY):
        asked.append(("App Key", str(last.settings[MASKED_KEY])))
    for name, value in last.settings.items():
        if name != MASKED_KEY:
            asked.append((SETTINGS.get(name, name), _setting(name, value)))
    return asked


def _setting(name: str, value: object) -> str:
    match value:
        case None:
            return "no limit"
        case float() if name in SHARES:
            return f"{100 * value:g} %"
        case int() | float():
            return f"{value:,g}"
        case _:
            return str(value)


def _charts(timeline: "Timeline | None", totals: Summary) -> list[Chart]:
    if timeline is None:
        return []
    # It warns, while it is imported, where its cache cannot be kept (a home that is read-only): no news to our readers.
    logging.getLogger("matplotlib").addHandler(logging.NullHandler())
    from batch_alias.reports import charts  # matplotlib takes half a second to import

    def drawn(draw: "Iterable[tuple[charts.Layout, str]]") -> Mapping[str, Markup]:
        # The drawing is matplotlib's, of numbers and times alone: nothing from the file is in it.
        return {layout.name: Markup(svg) for layout, svg in draw}  # noqa: S704 - see above

    over = f"over {wording.duration(timeline.clock.total)} of sending"
    found = [
        Chart(
            title="Requests per second",
            describes=f"Requests per second {over}: {totals.mean_rate:g} on average.",
            drawings=drawn((layout, charts.draw_rates(timeline, layout)) for layout in charts.LAYOUTS),
            key=_rates_key(timeline),
        )
    ]
    if totals.latency_ms:
        middle, slow = (wording.latency(totals.latency_ms[name]) for name in ("p50", "p99"))
        found += [
            Chart(
                title="Time to an answer",
                describes=f"Latency {over}: half of the attempts took up to {middle}, 99 of 100 up to {slow}.",
                drawings=drawn((layout, charts.draw_latencies(timeline, layout)) for layout in charts.LAYOUTS),
                key=[("blue", "line", "half are faster (p50)"), ("violet", "line", "99 of 100 are faster (p99)")],
            ),
            Chart(
                title="How many attempts took how long",
                describes=f"Attempts by latency: half took up to {middle}, 99 of 100 up to {slow}.",
                drawings=drawn(
                    (layout, charts.draw_distribution(timeline.histogram, totals.latency_ms, layout))
                    for layout in charts.LAYOUTS
                ),
            ),
        ]
    return found


def _rates_key(timeline: "Timeline") -> list[tuple[str, str, str]]:
    key = [("amber", "dashes", "limit"), ("blue", "area", "requests a second")]
    if timeline.width > 1:
        key[1] = ("blue", "area", f"mean of {wording.duration(timeline.width)}")
        key.append(("blue", "line", "its busiest second"))
    if timeline.rates["refused"].any():
        key.append(("red", "area", "refused by the limit"))
    if timeline.outages:
        key.append(("red", "pale", "outage: sending on hold"))
    if timeline.marks[EventKind.PACE_LOWERED]:
        key.append(("amber", "triangle", "pace lowered"))
    if timeline.marks[EventKind.HOST_SWITCHED]:
        key.append(("violet", "diamond", "host switched"))
    return key
