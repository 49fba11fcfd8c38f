"""What names, numbers and messages in the reports mean to people, and for what causes rows were not accepted."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from string import Formatter

from batch_alias.errors import ExitCode
from batch_alias.ledger import JobInfo, RowRecord, RunRecord
from batch_alias.model import EventKind, Failure, State
from batch_alias.rongcloud.codes import CODES, FAILURES, UNKNOWN_CODE
from batch_alias.settings import Comparing, Reading, Sending, Settings
from batch_alias.settings.options import as_typed, flag, options
from batch_alias.text import N_, Message, _, quoted

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
"""What the states mean, in the order in which they are shown; ``_`` translates it, and the states."""

EVENT_LABELS: Mapping[EventKind, str] = {
    EventKind.OUTAGE_BEGAN: N_("outage began"),
    EventKind.OUTAGE_ENDED: N_("outage ended"),
    EventKind.RATE_LOWERED: N_("rate lowered"),
    EventKind.ASKED_TO_WAIT: N_("asked to wait"),
    EventKind.HOST_SWITCHED: N_("host switched"),
    EventKind.DATABASE_AWAY: N_("database away"),
}
_EXITS: Mapping[int, str] = {
    ExitCode.DONE: N_("done (exit code {code})"),
    ExitCode.NOT_ALL_ACCEPTED: N_("not all accepted (exit code {code})"),
    ExitCode.SOURCE: N_("source refused (exit code {code})"),
    ExitCode.STOPPED: N_("stopped by the service (exit code {code})"),
    ExitCode.LEDGER: N_("ledger cannot be used (exit code {code})"),
    ExitCode.INTERNAL: N_("a defect of batch-alias (exit code {code})"),
    ExitCode.INTERRUPTED: N_("interrupted (exit code {code})"),
}
MOST_CAUSES = 200
"""Causes that are counted separately: a service that invents a code for every row must not fill the memory."""

Kind = tuple[str, ...]
"""The state of a row, and what tells causes apart, in no language."""
_OTHERS = N_("other causes")
_GROUPS = (Reading, Sending, Comparing, Settings)
_UNITS = {setting.name: setting.option.unit for kind in _GROUPS for setting in options(kind)}
_DONE_WITH = {"run": N_("Sent with"), "plan": N_("Planned with"), "verify": N_("Verified with")}
_MONTHS = (
    *(N_("Jan"), N_("Feb"), N_("Mar"), N_("Apr"), N_("May"), N_("Jun")),
    *(N_("Jul"), N_("Aug"), N_("Sep"), N_("Oct"), N_("Nov"), N_("Dec")),
)
_NOTED = ("masked_key", "seed", "argv")
"""What is kept with a run beside its settings, and is no flag."""


def code_meaning(label: str) -> str:
    """What a response means that was counted as a code of RongCloud, ``HTTP nnn``, or a ``Failure``."""
    if label.isdecimal():
        known = CODES.get(int(label))
        return _(known.meaning if known else UNKNOWN_CODE)
    if label in set(Failure):
        return _(FAILURES[Failure(label)].meaning)
    found = re.fullmatch(r"HTTP (\d{3})", label)
    if found is None:
        return ""
    status = int(found[1])
    if status not in set(HTTPStatus):
        return _("a response, from a gateway: without RongCloud's code")
    return _("{phrase}, from a gateway: without RongCloud's code", phrase=HTTPStatus(status).phrase)


def exit_meaning(code: int | None, command: str = "run") -> str:
    """How a run of a command ended; ``None`` where the ledger has no end of it."""
    if code is None:
        return _("killed, or still running")
    if command == "verify" and code == ExitCode.NOT_ALL_ACCEPTED:
        return _("not all as sent (exit code {code})", code=code)
    return _(_EXITS.get(code, N_("ended (exit code {code})")), code=code)


def latency(milliseconds: float) -> str:
    """A latency: ``0.8 ms``, ``43 ms``, ``1.2 s``."""
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.3g} s"
    return f"{milliseconds:.2g} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


def moment(seconds: float | None) -> str:
    """A time since the epoch, UTC, to the second; empty for ``None``."""
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def day(seconds: float) -> str:
    """The day of a time since the epoch, UTC, without its year."""
    found = datetime.fromtimestamp(seconds, UTC)
    return _("{day} {month}", day=f"{found.day:02}", month=_(_MONTHS[found.month - 1]))


def facts(info: JobInfo, runs: Sequence[RunRecord]) -> dict[str, list[str]]:
    """What the job is and with which flags each command was run last: values by name, none of them empty."""
    found: dict[str, list[str]] = {
        _("Source"): [info.source],
        _("Read as"): [info.description],
        "SHA-256": [info.sha256],
        **{_("Column of {field}", field=field): [column] for field, column in info.column_names.items()},
        _("Read with"): flags(given(info)),
        _("Read at"): [_("{time} UTC, by batch-alias {version}", time=moment(info.staged_at), version=info.version)],
    }
    for run in runs:
        settings = {name: value for name, value in run.settings.items() if name not in _NOTED}
        seed = run.settings.get("seed")  # used for a sample only
        sampled = [] if seed is None or settings.get("sample") is None else [_("seed {seed}", seed=seed)]
        found[_("Sent to")] = [run.target]
        found["App Key"] = [str(run.settings.get("masked_key") or "")]
        found[_(_DONE_WITH.get(run.command, run.command))] = [*flags(settings), *sampled]
    return {name: values for name, values in found.items() if any(values)}


def command_name(run: RunRecord) -> str:
    """The command that a run is of, as it is typed; looking up members is none, but a part of others."""
    return run.command if run.command == "members" or not run.argv else run.argv[0]


def typed(run: RunRecord) -> str:
    """The command line of a run; from Python, its command and flags."""
    if run.argv:
        return shlex.join(["batch-alias", *run.argv])
    return " ".join([run.command, *flags({name: value for name, value in run.settings.items() if name not in _NOTED})])


def given(info: JobInfo) -> dict[str, object]:
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


class _Differing(str):
    """Stands in a sentence for values that are not the same in every row."""

    def __format__(self, _form: str) -> str:
        return "…"


_DIFFERING = _Differing("…")


@dataclass(slots=True)
class Cause:
    """A reason why rows were not accepted: a problem, a code with its meaning, or what failed; and the first row."""

    example: RowRecord
    message: Message  # why, with "…" for what differs between the rows; empty for several causes
    rows: int = 0

    @property
    def name(self) -> str:
        """The problem, or the code with its meaning, or in short what failed."""
        row = self.example
        if not self.message:
            return _(_OTHERS)
        if row.reason:
            return row.reason
        return meaning(self.message) if row.code is None else f"{row.code} {code_meaning(str(row.code))}"

    def add(self, row: RowRecord) -> None:
        """Count a row."""
        self.rows += 1
        message = message_of(row)
        if meaning(message).template != meaning(self.message).template:
            self.message = Message("")
            return
        old, new = self.message.values, message.values
        differing = [name for name, value in old.items() if value is not _DIFFERING and value != new.get(name)]
        if differing:
            values = {**old, **dict.fromkeys(differing, _DIFFERING)}
            self.message = Message(message.template, message.many, **values)

    def details(self, row: RowRecord) -> str:
        """What the sentence leaves out of a row, as far as its ids and alias do not show it."""
        if not self.message.values:  # a text of the service may have braces
            return ""
        names = dict.fromkeys(name for _text, name, *_form in Formatter().parse(self.message.template) if name)
        values = [str(message_of(row).values[name]) for name in names if self.message.values[name] is _DIFFERING]
        shown = {quoted(value) for value in (row.user_id, row.group_id, row.remark)}
        return ", ".join(value for value in values if value not in shown)


def causes(rows: Iterable[RowRecord]) -> dict[Kind, Cause]:
    """Count rows that were not accepted by cause, in bounded memory, the most frequent first."""
    found: dict[Kind, Cause] = {}
    for row in rows:
        kind = kind_of(row, found)
        if kind not in found:
            if len(found) >= MOST_CAUSES:
                kind = (row.state, _OTHERS)
            found.setdefault(kind, Cause(row, Message("") if kind[1] == _OTHERS else message_of(row)))
        found[kind].add(row)
    return dict(sorted(found.items(), key=lambda item: -item[1].rows))


def kind_of(row: RowRecord, found: Mapping[Kind, Cause]) -> Kind:
    """What tells the cause of a row apart from others, of which there are few whatever the service says."""
    kind: Kind
    if row.reason:
        kind = (row.state, row.reason, str(message_of(row).values.get("column", "")))
    else:
        kind = (row.state, str(row.code or meaning(message_of(row)).template))
    others = (row.state, _OTHERS)
    return others if kind not in found and others in found else kind


def message_of(row: RowRecord) -> Message:
    """Why a row stands where it does."""
    return row.message if isinstance(row.message, Message) else Message(row.message)


def meaning(message: Message) -> Message:
    """Why a row was not accepted, without what the service adds to it."""
    found = message.values.get("meaning")
    return found if isinstance(found, Message) else message
