"""What the alias that was read means for its row: pure decisions, and their sentences.

RongCloud has no compare-and-set: between the read and the write another writer may change the alias.
"""

from dataclasses import dataclass
from typing import NamedTuple

from batch_alias.model import Row, State
from batch_alias.text import N_, Message, _, excerpt

FOUND_WHEN_READ_BACK = N_("found when read back")
NOT_EXPECTED = N_("expected {expected}, found {found}")
MOST_ALIAS = 80
"""Characters of an alias in a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What is done for each row: it is read, sent, and read back."""

    compare: bool = False
    only_absent: bool = False  # send it only where no alias is set
    write: bool = True
    verify: bool = False

    def is_guarded(self, row: Row) -> bool:
        """Whether a row may be sent only right after its alias was read."""
        return self.only_absent or row.expected is not None

    def is_read_first(self, row: Row) -> bool:
        """Whether a row's alias must be read before the row is sent."""
        return row.in_doubt or self.is_guarded(row) or (self.compare and row.before is None)


class Ended(NamedTuple):
    """How a row ends without being sent, and why."""

    state: State
    message: Message


def compare(row: Row, found: str | None, steps: Steps, *, in_doubt: bool, why: str = "") -> Ended | None:
    """How a row ends now that its alias was read; ``None`` when it is to be sent.

    Args:
        row: The row.
        found: Its alias at the service, "" where none is set; ``None`` when it could not be read.
        steps: What is done for each row.
        in_doubt: Whether the row was sent before without a confirmation.
        why: Why it could not be read, if that is known.
    """
    if found is None:
        if not steps.is_guarded(row):
            return None
        message = _("the alias could not be read before it was set")
        if why:
            message = _("the alias could not be read before it was set: {why}", why=why)
        return Ended(State.UNKNOWN if in_doubt else State.FAILED, message)
    if found == row.remark:
        if in_doubt:
            return Ended(State.ACCEPTED, _(FOUND_WHEN_READ_BACK))
        return Ended(State.UNCHANGED, _("it was so already"))
    if steps.only_absent and found:
        return Ended(State.CONFLICT, _("an alias is set: {alias}", alias=_shown(found)))
    if row.expected is not None and found != row.expected:
        return Ended(State.CONFLICT, _(NOT_EXPECTED, expected=_shown(row.expected), found=_shown(found)))
    return None


def _shown(alias: str) -> str:
    return excerpt(alias, MOST_ALIAS) if alias else _("no alias")
