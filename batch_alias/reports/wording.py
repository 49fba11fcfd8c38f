"""What states, codes, exit codes and settings are called in the reports."""

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from types import MappingProxyType

from batch_alias.errors import ExitCode
from batch_alias.ledger import JobInfo, RunRecord
from batch_alias.model import Failure, State
from batch_alias.rongcloud.codes import CODES, FAILURES
from batch_alias.settings import Reading, Sending, Settings, as_typed, options

STATE_MEANINGS: Mapping[State, str] = MappingProxyType(
    {
        State.ACCEPTED: "RongCloud accepted the alias",
        State.SUPERSEDED: "a later row sets the same user and group",
        State.REJECTED: "not sent: something is wrong with the row",
        State.FAILED: "refused by the service, or never reached it",
        State.UNKNOWN: "sent, but not confirmed: it may or may not be set",
        State.PENDING: "not sent yet",
    }
)
"""In the order in which the states are shown."""

_MASKED_KEY = "masked_key"
"""The setting under which a run notes the App Key with its middle hidden."""
_UNITS = {setting.name: setting.option.unit for kind in (Reading, Sending, Settings) for setting in options(kind)}


def exit_meaning(code: int | None) -> str:
    """How a run ended; ``None`` where the ledger has no end of it."""
    if code is None:
        return "killed, or still running"
    name = ExitCode(code).name.lower().replace("_", " ") if code in set(ExitCode) else "ended"
    return f"{name} (exit code {code})"


def code_meaning(label: str) -> str:
    """What a response means.

    Args:
        label: Under which it was counted: RongCloud's code, ``HTTP nnn``, or a ``Failure``.
    """
    if label.isdecimal():
        known = CODES.get(int(label))
        return known.meaning if known else "a code that RongCloud does not document"
    if label in set(Failure):
        return FAILURES[Failure(label)].meaning
    found = re.fullmatch(r"HTTP (\d{3})", label)
    if found is None:
        return ""
    status = int(found[1])
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "a response"
    return f"{phrase}, from a gateway: without RongCloud's code"


def latency(milliseconds: float) -> str:
    """A latency: ``0.8 ms``, ``43 ms``, ``1.2 s``."""
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.3g} s"
    return f"{milliseconds:.2g} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


def moment(seconds: float | None) -> str:
    """A time since the epoch, UTC, to the second; empty for ``None``."""
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def facts(info: JobInfo, runs: Sequence[RunRecord]) -> dict[str, list[str]]:
    """What the job is and with which flags it was run last: values by name, none of them empty."""
    found = {
        "Source": [info.source],
        "Read as": [info.description],
        "SHA-256": [info.sha256],
        **{f"Column of {field}": [column] for field, column in info.column_names.items()},
        "Read with": flags(info.reading),
        "Read at": [f"{moment(info.staged_at)} UTC, by batch-alias {info.version}"],
    }
    if runs:
        settings = dict(runs[-1].settings)
        key = settings.pop(_MASKED_KEY, None)
        found |= {"Sent to": [runs[-1].target], "App Key": [str(key)] if key else [], "Sent with": flags(settings)}
    return {name: values for name, values in found.items() if values}


def flags(settings: Mapping[str, object]) -> list[str]:
    """Settings as flags of the command line, quoted for a shell; those that are not set are left out."""
    found = []
    for name, value in settings.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            found.append(flag)
        elif value is not None and value is not False:
            values = value if isinstance(value, list | tuple) else [value]
            found += [f"{flag} {shlex.quote(as_typed(each, _UNITS.get(name)))}" for each in values]
    return found
