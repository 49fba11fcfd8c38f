"""Why rows were not accepted: the rows counted by cause, and the first of them."""

from collections.abc import Iterable
from dataclasses import dataclass

from batch_alias.model import State
from batch_alias.records import RowRecord
from batch_alias.reports.advice import advise
from batch_alias.reports.wording import code_in_words

MOST_CAUSES = 200
"""Causes that are told apart: a service that invents a code for every row must not fill the memory."""


@dataclass(slots=True, kw_only=True)
class Cause:
    """One reason why rows were not accepted.

    Attributes:
        state: The state of its rows.
        name: The kind of problem, the code with its meaning, or what failed.
        example: The first of its rows.
        advice: What to do about it.
        rows: How many rows have it.
    """

    state: State
    name: str
    example: RowRecord
    advice: str
    rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAccepted:
    """The rows that were not accepted.

    Attributes:
        causes: Why, most frequent first.
        first: The first of them, in the source's order.
    """

    causes: list[Cause]
    first: list[RowRecord]


def read_not_accepted(entries: Iterable[RowRecord], most: int) -> NotAccepted:
    """Go once through the rows that were not accepted, in bounded memory.

    Args:
        entries: Those rows and no others.
        most: How many of them to keep.
    """
    causes: dict[tuple[str, str], Cause] = {}
    first: list[RowRecord] = []
    for entry in entries:
        if len(first) < most:
            first.append(entry)
        key = entry.state, name(entry)
        if key not in causes and len(causes) >= MOST_CAUSES:
            key = entry.state, "of other kinds"
        cause = causes.get(key)
        if cause is None:
            cause = Cause(state=State(entry.state), name=key[1], example=entry, advice=advise(entry))
            causes[key] = cause
        cause.rows += 1
    return NotAccepted(causes=sorted(causes.values(), key=lambda cause: -cause.rows), first=first)


def name(entry: RowRecord) -> str:
    """A short name for why a row was not accepted, of which there are few whatever the service says in its messages."""
    if entry.state == State.PENDING:
        return "not sent yet"
    if entry.reason:
        return entry.reason
    if entry.code is not None:
        return f"{entry.code} {code_in_words(str(entry.code))}"
    return entry.message.partition(":")[0]
