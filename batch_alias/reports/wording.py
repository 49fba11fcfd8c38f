"""The reports in words: the result, what to do next, why rows were not accepted, and what names and numbers mean."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Literal, NamedTuple

from batch_alias import problems
from batch_alias.errors import ExitCode
from batch_alias.ledger import JobInfo, RowRecord, RunRecord
from batch_alias.model import Failure, State
from batch_alias.reports.rows import CHANGES, why
from batch_alias.reports.summary import Summary
from batch_alias.rongcloud.codes import CODES, FAILURES, UNKNOWN_CODE
from batch_alias.settings import Comparing, Reading, Sending, Settings
from batch_alias.settings.options import as_typed, flag, options
from batch_alias.text import N_, count

MOST_CAUSES = 200
"""Causes that are counted separately: a service that invents a code for every row must not fill the memory."""
STATE_LABELS: Mapping[State, str] = {
    State.ACCEPTED: N_("accepted"),
    State.UNCHANGED: N_("unchanged"),
    State.SUPERSEDED: N_("superseded"),
    State.REJECTED: N_("rejected"),
    State.CONFLICT: N_("conflict"),
    State.FAILED: N_("failed"),
    State.UNKNOWN: N_("unknown"),
    State.PENDING: N_("pending"),
}
"""What people call the states, in the order in which they are shown; ``_`` translates it."""
STATE_MEANINGS: Mapping[State, str] = {
    State.ACCEPTED: N_("RongCloud accepted the alias"),
    State.UNCHANGED: N_("not sent: the alias was so already"),
    State.SUPERSEDED: N_("a later row sets the same user and group"),
    State.REJECTED: N_("not sent: something is wrong with the row"),
    State.CONFLICT: N_("not sent: the alias is not the one that may be replaced"),
    State.FAILED: N_("refused by the service, or never reached it"),
    State.UNKNOWN: N_("sent, but not confirmed: it may or may not be set"),
    State.PENDING: N_("not sent yet"),
}
"""What they mean, in the same order; ``_`` translates it."""

_GROUPS = (Reading, Sending, Comparing, Settings)
_UNITS = {setting.name: setting.option.unit for kind in _GROUPS for setting in options(kind)}
_DONE_WITH = {"run": "Sent with", "plan": "Planned with", "verify": "Verified with"}


class Conclusion(NamedTuple):
    """The result of a job in a sentence, with a detail that may be empty; the tone is the page's class for it."""

    tone: Literal["good", "warning", "bad"]
    sentence: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something to do next."""

    text: str
    command: str = ""  # that does it, if there is one
    note: str = ""  # what has to be added to the command
    is_same: bool = False  # whether the command that was run does it, which only the terminal knows


class Cause(NamedTuple):
    """A reason why rows were not accepted: a problem, a code with its meaning, or what failed; and the first row."""

    name: str
    rows: int
    example: RowRecord


def conclude(summary: Summary) -> Conclusion:
    """The result of a job."""
    found = _conclude(summary)
    if not summary.left_out:
        return found
    are, their = ("is", "its") if summary.left_out == 1 else ("are", "their")
    left_out = f"{count(summary.left_out, 'row')} of the job {are} left out: {their} alias before was not read."
    return found._replace(detail=f"{found.detail} {left_out}".strip())


def _conclude(summary: Summary) -> Conclusion:
    states = summary.states
    done = states[State.ACCEPTED] + states[State.UNCHANGED]
    left = summary.rows - done - states[State.SUPERSEDED]
    so_far = f"{done:,} of {count(summary.rows, 'row')} {'done' if states[State.UNCHANGED] else 'accepted'}"
    if not left:
        return _all_done(summary)
    if summary.exit_code == ExitCode.STOPPED:
        return Conclusion("bad", f"Stopped by the service: {so_far}.", summary.stopped)
    if not summary.runs or summary.exit_code == ExitCode.SOURCE:
        detail = "Too many rows are rejected." if summary.exit_code == ExitCode.SOURCE else ""
        return Conclusion("warning", "Nothing has been sent.", detail)
    if summary.exit_code == ExitCode.INTERRUPTED:
        return Conclusion("warning", f"Interrupted: {so_far}.")
    if summary.exit_code is None:
        return Conclusion("warning", f"Not finished: {so_far}.", "The last run was killed, or is still running.")
    if left == states[State.PENDING]:
        if not done:
            detail = f"The aliases of {count(sum(summary.changes.values()), 'row')} were read."
            return Conclusion("warning", "Nothing has been sent.", detail if summary.changes else "")
        return Conclusion("warning", f"{so_far}; {left:,} not sent yet.")
    were = "was" if left == 1 else "were"
    conflicts = count(states[State.CONFLICT], "conflict")
    detail = f"{conflicts}: {CHANGES[State.CONFLICT]}." if states[State.CONFLICT] else ""
    return Conclusion("warning", f"{left:,} of {count(summary.rows, 'row')} {were} not accepted.", detail)


def _all_done(summary: Summary) -> Conclusion:
    accepted, unchanged = summary.states[State.ACCEPTED], summary.states[State.UNCHANGED]
    result, aliases = "so already" if unchanged else "accepted", accepted + unchanged
    sentence = f"The alias was {result}." if aliases == 1 else f"All {aliases:,} aliases were {result}."
    if accepted and unchanged:
        were = "was" if unchanged == 1 else "were"
        sentence = f"All {aliases:,} aliases are set: {accepted:,} accepted, {unchanged:,} {were} so already."
    details = []
    if summary.differs:
        details.append(sentence)
        sentence = f"{summary.differs:,} of {count(accepted, 'accepted row')} not as sent when read back."
    if summary.verified:
        details.append(f"Read back and as sent: {count(summary.verified, 'row')}.")
    if superseded := summary.states[State.SUPERSEDED]:
        details.append(f"{count(superseded, 'row')} not sent: {STATE_MEANINGS[State.SUPERSEDED]}.")
    return Conclusion("warning" if summary.differs or summary.left_out else "good", sentence, " ".join(details))


def next_steps(summary: Summary, folder: Path, info: JobInfo) -> list[Step]:
    """What to do next about the job in a folder, in the order in which to do it; empty when every row is done.

    ``not-accepted.csv`` keeps the columns of the source below their names, so where they were named they are again;
    what an empty alias means is said again too. No flag reads a file verbatim: what is left of an undo is only retried.
    """
    states, steps, given, is_undo = summary.states, list[Step](), _given(info), _is_undo(info)
    note = "with the same --region, --url or --sandbox"
    retry = f"batch-alias retry {shlex.quote(str(folder))}"

    def run(name: str, settings: Mapping[str, object]) -> str:
        return " ".join(["batch-alias run", shlex.quote(str(folder / name)), *flags(settings)])

    if states[State.PENDING]:
        text = f"Send {count(states[State.PENDING], 'row')} not sent yet: {_continuing(info)}"
        steps.append(Step(text=text, command=retry, note=note) if is_undo else Step(text=text, is_same=True))
    if unaccepted := states[State.FAILED] + states[State.UNKNOWN]:
        text = f"Send {count(unaccepted, 'failed or unknown row')} again: setting an alias twice does no harm."
        steps.append(Step(text=text, command=retry, note=note))
    if states[State.REJECTED] and not is_undo:
        text = f"Correct {count(states[State.REJECTED], 'rejected row')} in not-accepted.csv and run that file."
        columns = ("user_column", "group_column", "remark_column", "expect_column")
        names = dict(zip(columns, info.column_names.values(), strict=False))
        kept = {name: names.get(name, value) for name, value in given.items() if name in {*columns, "empty"}}
        steps.append(Step(text=text, command=run("not-accepted.csv", kept), note=note))
    if states[State.CONFLICT]:
        steps.append(Step(text=f"Decide about {count(states[State.CONFLICT], 'conflict')}. {_after_conflict(info)}"))
    if summary.differs:
        text = f"Look at {count(summary.differs, 'row')} in differs.csv"
        kept = {name: value for name, value in given.items() if name == "empty"}
        again = Step(text=f"{text}; to send them again, run that file.", command=run("differs.csv", kept), note=note)
        steps.append(Step(text=f"{text}.") if is_undo else again)
    return steps


def _is_undo(info: JobInfo) -> bool:
    """Whether a job takes another one back: only such a source is read verbatim."""
    return bool(info.reading.get("verbatim"))


def _continuing(info: JobInfo) -> str:
    how = "retry with the folder of the undo" if _is_undo(info) else "run with the same source"
    return f"batch-alias {how} continues where it ended."


def _after_conflict(info: JobInfo) -> str:
    if _is_undo(info):
        return "Look at the alias that is set: it was set since. To replace it, set it with a job of its own."
    guards = "--only-absent and --expect-column, or with the expected alias corrected, if it has one"
    return f"Look at the alias that is set. To replace it, run not-accepted.csv without {guards}."


def advise(row: RowRecord, info: JobInfo) -> str:
    """What to do about a row of a job that was not accepted."""
    correct = "Correct the row and run not-accepted.csv."
    match State(row.state), row.code:
        case State.REJECTED, _:
            return problems.advice(row.reason) or correct
        case State.CONFLICT, _:
            return _after_conflict(info)
        case State.FAILED, None if row.message.startswith("HTTP "):
            return "A gateway refuses this row: look for characters such as < and > in its alias."
        case State.FAILED, None:
            return "Send it again with batch-alias retry when the service works."
        case State.FAILED, int(code) if code in CODES:
            return CODES[code].row_advice or correct
        case State.FAILED, _:
            return correct
        case State.UNKNOWN, _:
            return "Send it again with batch-alias retry: setting an alias twice does no harm."
        case State.PENDING, _:
            return f"Send it: {_continuing(info)}"
        case _:
            return ""


def causes(rows: Iterable[RowRecord]) -> list[Cause]:
    """Count rows that were not accepted by state and cause, in bounded memory, the most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], RowRecord] = {}
    for row in rows:
        key = row.state, _cause(row)
        if key not in counts and len(counts) >= MOST_CAUSES:
            key = row.state, "other causes"
        counts[key] += 1
        examples.setdefault(key, row)
    return [Cause(key[1], number, examples[key]) for key, number in counts.most_common()]


def _cause(row: RowRecord) -> str:
    """A short name of which there are few, whatever the service says in its messages."""
    if row.state == State.PENDING:
        return why(row)
    if row.reason:
        return row.reason
    if row.code is not None:
        return f"{row.code} {code_meaning(str(row.code))}"
    if row.state == State.CONFLICT and row.message.startswith("expected "):  # what follows are two aliases
        return "not the expected alias"
    return row.message.partition(":")[0]


def code_meaning(label: str) -> str:
    """What a response means that was counted as a code of RongCloud, ``HTTP nnn``, or a ``Failure``."""
    if label.isdecimal():
        known = CODES.get(int(label))
        return known.meaning if known else UNKNOWN_CODE
    if label in set(Failure):
        return FAILURES[Failure(label)].meaning
    found = re.fullmatch(r"HTTP (\d{3})", label)
    if found is None:
        return ""
    status = int(found[1])
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "a response"
    return f"{phrase}, from a gateway: without RongCloud's code"


def exit_meaning(code: int | None, command: str = "run") -> str:
    """How a run of a command ended; ``None`` where the ledger has no end of it."""
    if code is None:
        return "killed, or still running"
    if command == "verify" and code == ExitCode.NOT_ALL_ACCEPTED:
        return f"not all as sent (exit code {code})"
    name = ExitCode(code).name.lower().replace("_", " ") if code in set(ExitCode) else "ended"
    return f"{name} (exit code {code})"


def latency(milliseconds: float) -> str:
    """A latency: ``0.8 ms``, ``43 ms``, ``1.2 s``."""
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.3g} s"
    return f"{milliseconds:.2g} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


def moment(seconds: float | None) -> str:
    """A time since the epoch, UTC, to the second; empty for ``None``."""
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def facts(info: JobInfo, runs: Sequence[RunRecord]) -> dict[str, list[str]]:
    """What the job is and with which flags each command was run last: values by name, none of them empty."""
    found = {
        "Source": [info.source],
        "Read as": [info.description],
        "SHA-256": [info.sha256],
        **{f"Column of {field}": [column] for field, column in info.column_names.items()},
        "Read with": flags(_given(info)),
        "Read at": [f"{moment(info.staged_at)} UTC, by batch-alias {info.version}"],
    }
    for run in runs:
        settings = dict(run.settings)
        key = settings.pop("masked_key", None)  # no flag: the App Key with its middle hidden
        found["Sent to"] = [run.target]
        if key:
            found["App Key"] = [str(key)]
        seed = settings.pop("seed", None)  # no flag either, and used for a sample only
        sampled = [] if seed is None or settings.get("sample") is None else [f"seed {seed}"]
        found[_DONE_WITH.get(run.command, run.command)] = flags(settings) + sampled
    return {name: values for name, values in found.items() if values}


def _given(info: JobInfo) -> dict[str, object]:
    """The settings with which a source was read, where they are not the usual ones."""
    usual = {setting.name: setting.default for setting in options(Reading)}
    return {name: value for name, value in info.reading.items() if name in usual and value != usual[name]}


def flags(settings: Mapping[str, object]) -> list[str]:
    """Settings as flags of the command line, quoted for a shell; those that are not set are left out."""
    found = []
    for name, value in settings.items():
        if value is True:
            found.append(flag(name))
        elif value is not None and value is not False:
            values = value if isinstance(value, list | tuple) else [value]
            found += [f"{flag(name)} {shlex.quote(as_typed(each, _UNITS.get(name)))}" for each in values]
    return found
