"""What the result of a job is, why rows were not accepted, and what to do about it."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

from batch_alias import problems
from batch_alias.errors import ExitCode
from batch_alias.ledger import JobInfo, RowRecord
from batch_alias.model import State
from batch_alias.reports.summary import Summary
from batch_alias.reports.wording import code_meaning, flags
from batch_alias.text import count

MOST_CAUSES = 200
"""Causes that are counted separately: a service that invents a code for every row must not fill the memory."""

_CORRECT = "Correct the row and run not-accepted.csv."


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """The result of a job.

    Attributes:
        tone: How good it is; the page's class for it.
        sentence: The result.
        detail: More about it; may be empty.
    """

    tone: Literal["good", "warning", "bad"]
    sentence: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something to do next.

    Attributes:
        text: What to do.
        command: The command that does it; empty for the command that was run, which only the terminal knows.
        note: What has to be added to the command; may be empty.
    """

    text: str
    command: str = ""
    note: str = ""


@dataclass(slots=True, kw_only=True)
class Cause:
    """A reason why rows were not accepted.

    Attributes:
        state: The state of its rows.
        name: The kind of problem, the code with its meaning, or what failed.
        example: The first of its rows.
        rows: How many rows have it.
    """

    state: State
    name: str
    example: RowRecord
    rows: int = 0


def conclude(summary: Summary) -> Conclusion:
    """The result of a job in a sentence."""
    accepted, superseded = summary.states[State.ACCEPTED], summary.states[State.SUPERSEDED]
    left = summary.rows - accepted - superseded
    so_far = f"{accepted:,} of {count(summary.rows, 'row')} accepted"
    if not left:
        sentence = "The alias was accepted." if accepted == 1 else f"All {accepted:,} aliases were accepted."
        detail = f"{count(superseded, 'row')} not sent: a later row sets the same user and group."
        return Conclusion(tone="good", sentence=sentence, detail=detail if superseded else "")
    if summary.exit_code == ExitCode.STOPPED:
        return Conclusion(tone="bad", sentence=f"Stopped by the service: {so_far}.", detail=summary.stopped)
    if not summary.runs:
        detail = "Too many rows are rejected." if summary.exit_code == ExitCode.SOURCE else ""
        return Conclusion(tone="warning", sentence="Nothing has been sent.", detail=detail)
    if summary.exit_code == ExitCode.INTERRUPTED:
        return Conclusion(tone="warning", sentence=f"Interrupted: {so_far}.")
    if summary.exit_code is None:
        detail = "The last run was killed, or is still running."
        return Conclusion(tone="warning", sentence=f"Not finished: {so_far}.", detail=detail)
    if left == summary.states[State.PENDING]:
        return Conclusion(tone="warning", sentence=f"{so_far}; {left:,} not sent yet.")
    were = "was" if left == 1 else "were"
    return Conclusion(tone="warning", sentence=f"{left:,} of {count(summary.rows, 'row')} {were} not accepted.")


def next_steps(summary: Summary, folder: Path, info: JobInfo) -> list[Step]:
    """What to do next, in the order in which to do it; empty when every row is done.

    Args:
        summary: The job in numbers.
        folder: The job's folder.
        info: What the job is; ``not-accepted.csv`` keeps its columns, so it is read with the same column flags.
    """
    states, steps = summary.states, []
    note = "with the same --region, --url or --sandbox"
    if states[State.PENDING]:
        rows = count(states[State.PENDING], "row")
        steps.append(Step(text=f"Run the same command again to send {rows} not sent yet: it continues where it ended."))
    again = states[State.FAILED] + states[State.UNKNOWN]
    if again:
        text = f"Send {count(again, 'failed or unknown row')} again: setting an alias twice does no harm."
        steps.append(Step(text=text, command=f"batch-alias retry {shlex.quote(str(folder))}", note=note))
    if states[State.REJECTED]:
        text = f"Correct {count(states[State.REJECTED], 'rejected row')} in not-accepted.csv and run that file."
        columns = {name: info.reading.get(name) for name in ("user_column", "group_column", "remark_column")}
        command = ["batch-alias run", shlex.quote(str(folder / "not-accepted.csv")), *flags(columns)]
        steps.append(Step(text=text, command=" ".join(command), note=note))
    return steps


def advise(row: RowRecord) -> str:
    """What to do about a row that was not accepted."""
    state = State(row.state)
    match state:
        case State.REJECTED:
            return problems.advice(row.reason) or _CORRECT
        case State.FAILED:
            return _failed_advice(row.code)
        case State.UNKNOWN:
            return "Send it again with batch-alias retry: setting an alias twice does no harm."
        case State.PENDING:
            return "Run the same command again: it continues where it ended."
        case State.ACCEPTED | State.SUPERSEDED:
            return ""
    assert_never(state)


def _failed_advice(code: int | None) -> str:
    match code:
        case None | 1000 | 1003 | 1050:  # no response, or nothing is wrong with the row
            return "Send it again with batch-alias retry when the service works."
        case 1002:
            return "Check the ids of this row: RongCloud does not accept them."
        case 1005:
            return "Shorten the value that is too long and run not-accepted.csv."
        case _:
            return _CORRECT


def causes(rows: Iterable[RowRecord]) -> list[Cause]:
    """Count rows that were not accepted by cause, in bounded memory, the most frequent cause first."""
    found: dict[tuple[str, str], Cause] = {}
    for row in rows:
        key = row.state, _cause(row)
        if key not in found and len(found) >= MOST_CAUSES:
            key = row.state, "other causes"
        if key not in found:
            found[key] = Cause(state=State(row.state), name=key[1], example=row)
        found[key].rows += 1
    return sorted(found.values(), key=lambda cause: -cause.rows)


def _cause(row: RowRecord) -> str:
    """A short name of which there are few, whatever the service says in its messages."""
    if row.state == State.PENDING:
        return "not sent yet"
    if row.reason:
        return row.reason
    if row.code is not None:
        return f"{row.code} {code_meaning(str(row.code))}"
    return row.message.partition(":")[0]
