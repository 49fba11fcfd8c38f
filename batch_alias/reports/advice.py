"""What became of a job, in a sentence, and what to do about it (pure)."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import assert_never

from batch_alias.errors import ExitCode
from batch_alias.model import State
from batch_alias.records import RowRecord
from batch_alias.reports.summary import Summary
from batch_alias.reports.wording import count

_AS_TEXT = "Keep the ids as text in the program that writes the file, and fill the id in again from where it came."
_ACCEPT = " If it is what was meant, --accept {reason} lets it through."
_FILL_IN = "Fill it in, or delete the row."
_WIDTH = "Put the value that has a separator or a line break in it in quotes."

REJECTED: Mapping[str, str] = MappingProxyType(
    {
        "too-few-fields": _WIDTH,
        "too-many-fields": _WIDTH,
        "misplaced-quote": "Close the quote; double a quote that belongs to the value.",
        "not-an-object": "Write one JSON object a line.",
        "not-text": "Put the value in quotes.",
        "surrogate-character": "Write the value again; half of a character is missing.",
        "nul-character": "Take the NUL character out.",
        "error-cell": "Mend the formula, or type the value.",
        "boolean-in-id": _AS_TEXT,
        "date-in-id": _AS_TEXT,
        "date-in-remark": "Format the cell as text and type the alias again.",
        "empty-user-id": _FILL_IN,
        "empty-group-id": _FILL_IN,
        "empty-remark": _FILL_IN,
        "user-id-too-long": "RongCloud takes at most 64 bytes: look whether the columns are the right ones.",
        "group-id-too-long": "RongCloud takes at most 64 characters: look whether the columns are the right ones.",
        "control-character-in-id": "Take the control character out." + _ACCEPT,
        "invisible-character-in-id": "Type the id again: it holds a character that is not seen." + _ACCEPT,
        "full-width-character-in-id": "Type the id again in half-width characters." + _ACCEPT,
        "scientific-notation-in-id": _AS_TEXT + _ACCEPT,
        "decimal-in-id": _AS_TEXT + _ACCEPT,
        "error-value-in-id": "Mend the formula that gave it." + _ACCEPT,
        "number-too-long": _AS_TEXT + _ACCEPT,
        "number-format": _AS_TEXT + _ACCEPT,
    }
)
"""What to do about a rejected row, by its kind of problem."""

_CORRECT = "Correct the row and run not-accepted.csv."
_LATER = "Send it again with batch-alias retry when the service is well."
FAILED: Mapping[int, str] = MappingProxyType(
    {
        1000: _LATER,
        1002: "Look at this row's ids: RongCloud does not take them as they are.",
        1003: _LATER,
        1005: "Shorten the value that is too long and run not-accepted.csv.",
        1050: _LATER,
    }
)
"""What to do about a failed row, by RongCloud's code."""


class Tone(StrEnum):
    """How good the news is."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What became of the job.

    Attributes:
        tone: How good the news is.
        sentence: The news.
        detail: What else belongs to it; may be empty.
    """

    tone: Tone
    sentence: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something to do next.

    Attributes:
        text: What to do.
        command: The command that does it; may be empty.
        note: What the command needs besides; may be empty.
    """

    text: str
    command: str = ""
    note: str = ""


def conclude(totals: Summary) -> Conclusion:
    """What became of the job, in a sentence."""
    accepted, superseded = totals.states[State.ACCEPTED], totals.states[State.SUPERSEDED]
    left = totals.rows - accepted - superseded
    so_far = f"{accepted:,} of {count(totals.rows, 'row')} accepted"
    if not left:
        detail = f"{count(superseded, 'row')} more had a later row for the same user and group; only that was sent."
        sentence = "The alias was accepted." if accepted == 1 else f"All {accepted:,} aliases were accepted."
        return Conclusion(tone=Tone.GOOD, sentence=sentence, detail=detail if superseded else "")
    if totals.exit_code == ExitCode.STOPPED:
        return Conclusion(tone=Tone.BAD, sentence=f"Stopped by the service: {so_far}.", detail=totals.stopped)
    if not totals.runs:
        refused = "Too many of its rows are rejected." if totals.exit_code == ExitCode.SOURCE else ""
        return Conclusion(tone=Tone.WARNING, sentence="Nothing has been sent.", detail=refused)
    if totals.exit_code == ExitCode.INTERRUPTED:
        return Conclusion(tone=Tone.WARNING, sentence=f"Interrupted: {so_far}.")
    if totals.exit_code is None:
        detail = "The last run was cut off, or is still under way."
        return Conclusion(tone=Tone.WARNING, sentence=f"Not ended: {so_far}.", detail=detail)
    if left == totals.states[State.PENDING]:
        return Conclusion(tone=Tone.WARNING, sentence=f"{so_far[0].upper()}{so_far[1:]}; {left:,} not sent yet.")
    were = "was" if left == 1 else "were"
    return Conclusion(tone=Tone.WARNING, sentence=f"{left:,} of {count(totals.rows, 'row')} {were} not accepted.")


def next_steps(totals: Summary, folder: Path, reading: Mapping[str, object]) -> list[Step]:
    """What to do next, in the order in which to do it; empty when nothing is left.

    Args:
        totals: The job in numbers.
        folder: The job's folder.
        reading: How the source was read, as the ledger has it. not-accepted.csv keeps its header, so it is read with the same column flags.
    """
    states, steps = totals.states, []
    if states[State.PENDING]:
        rows = count(states[State.PENDING], "row")
        steps.append(Step(text=f"Run the same command again for {rows} not sent yet: it goes on where it ended."))
    again = states[State.FAILED] + states[State.UNKNOWN]
    if again:
        steps.append(
            Step(
                text=f"Send {count(again, 'row')} that failed or are unknown again; sending twice does no harm.",
                command=shlex.join(["batch-alias", "retry", str(folder)]),
                note="with the same --region or --url",
            )
        )
    if states[State.REJECTED]:
        steps.append(
            Step(
                text=f"Correct {count(states[State.REJECTED], 'rejected row')} in not-accepted.csv and run that file.",
                command=shlex.join(["batch-alias", "run", str(folder / "not-accepted.csv"), *_column_flags(reading)]),
                note="with the same --region or --url",
            )
        )
    return steps


def _column_flags(reading: Mapping[str, object]) -> list[str]:
    flags = ("--user-column", "--group-column", "--remark-column")
    named = ((flag, reading.get(flag.removeprefix("--").replace("-", "_"))) for flag in flags)
    return [part for flag, name in named if name is not None for part in (flag, str(name))]


def advise(entry: RowRecord) -> str:
    """What to do about a row that was not accepted."""
    state = State(entry.state)
    match state:
        case State.REJECTED:
            return REJECTED.get(entry.reason, _CORRECT).format(reason=entry.reason)
        case State.FAILED:
            return _LATER if entry.code is None else FAILED.get(entry.code, _CORRECT)
        case State.UNKNOWN:
            return "Send it again with batch-alias retry: setting the same alias twice does no harm."
        case State.PENDING:
            return "Run the same command again: it goes on where it ended."
        case State.ACCEPTED | State.SUPERSEDED:
            return ""
    assert_never(state)
