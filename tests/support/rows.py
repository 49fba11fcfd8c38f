"""Rows as a ledger has them."""

from batch_alias.ledger import RowRecord
from batch_alias.model import State
from batch_alias.text import Message, _


def a_row(state: State, **values: object) -> RowRecord:
    """A row in a state; it only has what differs from a plain one."""
    row = RowRecord(
        number=2,
        user_id="u",
        group_id="g",
        remark="a",
        state=state,
        reason="",
        message="",
        code=None,
        attempts=0,
        request_id="",
        finished_at=None,
        warning="",
        cells=None,
        before=None,
        found=None,
        verified_at=None,
        expected=None,
        change="",
    )
    return row._replace(**values)


def described(meaning: str, message: str, **values: object) -> Message:
    """A message that the service adds something to."""
    return _("{meaning}: {message}", meaning=_(meaning, **values), message=message)
