"""What the reports conclude: the result of a job, what to do next, and what to do about rows that were not accepted."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from batch_alias import problems
from batch_alias.errors import ExitCode
from batch_alias.ledger import ADDRESS, REFUSED, JobInfo, LedgerReader, RowRecord
from batch_alias.model import State
from batch_alias.reports.rows import CHANGES, NOT_ACCEPTED
from batch_alias.reports.summary import Summary
from batch_alias.reports.wording import STATE_MEANINGS, flags, given, meaning, message_of
from batch_alias.rongcloud.codes import CODES
from batch_alias.text import N_, _, count, from_json, percent, writable

_CORRECT = N_("Correct the row and run not-accepted.csv.")
_SEND_AGAIN = N_("Send it again with batch-alias retry: setting an alias twice does no harm.")
_COLUMNS = ("user_column", "group_column", "remark_column", "expect_column")


class Conclusion(NamedTuple):
    """The result of a job in a sentence, with a detail that may be empty; the tone is the page's class for it."""

    tone: Literal["good", "warning", "bad"]
    sentence: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something to do next."""

    text: str
    command: str = ""  # that does it, if there is one and it is known


def conclude(summary: Summary) -> Conclusion:
    """The result of a job."""
    found = _conclude(summary)
    if not summary.left_out:
        return found
    left_out = _(
        "{number:,} row of the job is left out: its alias before was not read.",
        "{number:,} rows of the job are left out: their alias before was not read.",
        number=summary.left_out,
    )
    detail = _("{first} {second}", first=found.detail, second=left_out) if found.detail else left_out
    return found._replace(detail=detail)


def _conclude(summary: Summary) -> Conclusion:
    states, rows = summary.states, count(summary.rows, "row")
    done = states[State.ACCEPTED] + states[State.UNCHANGED]
    not_accepted = sum(states[state] for state in NOT_ACCEPTED)
    so_far = _("{done:,} of {rows} accepted", done=done, rows=rows)
    if states[State.UNCHANGED]:
        so_far = _("{done:,} of {rows} done", done=done, rows=rows)
    if not not_accepted + states[State.PENDING]:
        return _all_done(summary)
    if summary.exit_code == ExitCode.STOPPED:
        return Conclusion("bad", _("Stopped by the service: {so_far}.", so_far=so_far), summary.stopped)
    if not summary.runs or summary.exit_code == ExitCode.SOURCE:
        detail = _("Too many rows are rejected.") if summary.exit_code == ExitCode.SOURCE else ""
        return Conclusion("warning", _("Nothing has been sent."), detail)
    if summary.exit_code == ExitCode.INTERRUPTED:
        return Conclusion("warning", _("Interrupted: {so_far}.", so_far=so_far))
    if summary.exit_code is None:
        killed = _("The last run was killed, or is still running.")
        return Conclusion("warning", _("Not finished: {so_far}.", so_far=so_far), killed)
    if not not_accepted and not done:
        detail = _("The aliases of {rows} were read.", rows=count(sum(summary.changes.values()), "row"))
        return Conclusion("warning", _("Nothing has been sent."), detail if summary.changes else "")
    pending = states[State.PENDING]
    if not not_accepted:
        return Conclusion("warning", _("{so_far}; {pending:,} not sent yet.", so_far=so_far, pending=pending))
    sentence = _(
        "{number:,} of {rows} was not accepted.",
        "{number:,} of {rows} were not accepted.",
        number=not_accepted,
        rows=rows,
    )
    details = []
    if conflicts := states[State.CONFLICT]:
        meaning = _(CHANGES[State.CONFLICT])
        details.append(_("{conflicts}: {meaning}.", conflicts=count(conflicts, "conflict"), meaning=meaning))
    if pending:
        details.append(_("{rows} not sent yet.", rows=count(pending, "row")))
    return Conclusion("warning", sentence, " ".join(details))


def _all_done(summary: Summary) -> Conclusion:
    accepted, unchanged = summary.states[State.ACCEPTED], summary.states[State.UNCHANGED]
    if not unchanged:
        sentence = _("The alias was accepted.", "All {number:,} aliases were accepted.", number=accepted)
    elif not accepted:
        sentence = _("The alias was so already.", "All {number:,} aliases were so already.", number=unchanged)
    else:
        sentence = _(
            "All {aliases:,} aliases are set: {accepted:,} accepted, {number:,} was so already.",
            "All {aliases:,} aliases are set: {accepted:,} accepted, {number:,} were so already.",
            number=unchanged,
            accepted=accepted,
            aliases=accepted + unchanged,
        )
    details = []
    if summary.differs:
        details.append(sentence)
        rows = count(accepted, "accepted row")
        sentence = _("{differs:,} of {rows} not as sent when read back.", differs=summary.differs, rows=rows)
    if summary.verified:
        details.append(_("Read back and as sent: {rows}.", rows=count(summary.verified, "row")))
    if superseded := summary.states[State.SUPERSEDED]:
        meaning = _(STATE_MEANINGS[State.SUPERSEDED])
        details.append(_("{rows} not sent: {meaning}.", rows=count(superseded, "row"), meaning=meaning))
    return Conclusion("warning" if summary.differs or summary.left_out else "good", sentence, " ".join(details))


def next_steps(summary: Summary, folder: Path, info: JobInfo, ledger: LedgerReader) -> list[Step]:
    """What to do next about the job in a folder, in the order in which to do it; empty when every row is done.

    ``not-accepted.csv`` keeps the columns of the source below their names, so where they were named they are again;
    what an empty alias means is said again too. No flag reads a file verbatim: what is left of an undo is only retried.
    """
    folder = Path(writable(str(folder)))
    states, steps, is_undo, same = summary.states, list[Step](), _is_undo(info), _same_command(ledger)
    address = from_json(ledger.meta(ADDRESS) or "{}")
    # It knows where the job was sent to; the sandbox has ended with the command.
    retry = " ".join([on_job("retry", folder, ledger), *flags({"sandbox": address.get("sandbox")})])
    address = {**address, "ledger": ledger.url}
    if states[State.REJECTED] and not is_undo and not _has_begun(summary):
        return [Step(text=_correct_source(summary), command=same)]
    if states[State.PENDING]:
        rows = count(states[State.PENDING], "row")
        if is_undo:
            text = _("Send {rows} not sent yet: batch-alias retry continues where it ended.", rows=rows)
            steps.append(Step(text=text, command=retry))
        else:
            text = _("Send {rows} not sent yet: the same command continues where it ended.", rows=rows)
            steps.append(Step(text=text, command=same))
    failed, unknown = states[State.FAILED], 0 if states[State.PENDING] else states[State.UNKNOWN]  # sent with those
    if failed + unknown:
        rows = count(failed, "failed row") if failed else count(unknown, "unknown row")
        if failed and unknown:
            rows = count(failed + unknown, "failed or unknown row")
        text = _("Send {rows} again: setting an alias twice does no harm.", rows=rows)
        steps.append(Step(text=text, command=retry))
    kept = {name: value for name, value in given(info).items() if name in {*_COLUMNS, "empty"}}
    if (states[State.REJECTED] or failed) and not is_undo:
        names = dict(zip(_COLUMNS, info.column_names.values(), strict=False))
        columns = {name: names.get(name, value) for name, value in kept.items()}
        # Otherwise the conflicts in that file would be settled by it too.
        columns |= {"only_absent": ledger.meta("only_absent") is not None}
        # Its columns are named 1, 2, 3, and so may be the number of its first row.
        columns |= {"header_row": 1} if info.reading.get("no_header") else {}
        again = _run(folder / "not-accepted.csv", {**columns, **address})
        steps.append(Step(text=_correct_copy(states[State.REJECTED], failed), command=again))
    if states[State.CONFLICT]:
        conflicts = count(states[State.CONFLICT], "conflict")
        steps.append(Step(text=f"{_('Decide about {conflicts}.', conflicts=conflicts)} {_after_conflict(info)}"))
    if summary.differs and is_undo:
        steps.append(Step(text=_("Look at {rows} in differs.csv.", rows=count(summary.differs, "row"))))
    elif summary.differs:
        rows = count(summary.differs, "row")
        text = _("Look at {rows} in differs.csv; to send them again, run that file.", rows=rows)
        empty = {name: value for name, value in kept.items() if name == "empty"}
        steps.append(Step(text=text, command=_run(folder / "differs.csv", {**empty, **address})))
    return steps


def on_job(command: str, folder: Path, ledger: LedgerReader) -> str:
    """The command line of a command on the job with a folder."""
    job = str(folder) if ledger.url is None else folder.name.removesuffix(".aliases")
    return " ".join(["batch-alias", command, shlex.quote(job), *flags({"ledger": ledger.url})])


def _run(source: Path, settings: Mapping[str, object]) -> str:
    # A folder beside it: the usual one is named after the file only, as it would be for every job's.
    job = source.with_suffix(".aliases")
    if settings.get("ledger") is not None:  # all jobs in the database have different names
        job = source.with_name(f"{source.parent.stem}.{source.stem}")
    return " ".join(["batch-alias run", shlex.quote(str(source)), *flags({"job": job, **settings})])


def _same_command(ledger: LedgerReader) -> str:
    """The command that was run last and sends rows, or would have after a plan; empty if it is not known."""
    used = [from_json(ledger.meta(REFUSED) or "[]"), *(run.argv for run in ledger.runs())]
    found = [argv for argv in used if argv and argv[0] in {"run", "retry", "plan"}]
    if not found:
        return ""
    name, *more = found[-1]
    return shlex.join(["batch-alias", "run" if name == "plan" else name, *more])


def _has_begun(summary: Summary) -> bool:
    """Whether a row has an outcome, so that the source must stay as it is."""
    untouched = (State.REJECTED, State.PENDING, State.SUPERSEDED)
    return summary.rows > sum(summary.states[state] for state in untouched)


def _correct_source(summary: Summary) -> str:
    rejected, others = summary.states[State.REJECTED], summary.states[State.PENDING]
    rows = count(rejected, "rejected row")
    text = _("Correct {rows} in {source} and run the same command again.", rows=rows, source=summary.source)
    if not others or summary.exit_code != ExitCode.SOURCE:
        return text
    share = percent(-(-100 * rejected // summary.rows) / 100)
    without = _("To send the others without them, add --max-rejected {share}.", share=share)
    return _("{first} {second}", first=text, second=without)


def _correct_copy(rejected: int, failed: int) -> str:
    if rejected:
        rows = count(rejected + failed, "rejected or failed row") if failed else count(rejected, "rejected row")
        return _("Correct {rows} in not-accepted.csv and run that file.", rows=rows)
    rows = count(failed, "failed row")
    return _("If that does not help, correct {rows} in not-accepted.csv and run that file.", rows=rows)


def _is_undo(info: JobInfo) -> bool:
    """Whether a job takes another one back: only such a source is read verbatim."""
    return bool(info.reading.get("verbatim"))


def _after_conflict(info: JobInfo) -> str:
    if _is_undo(info):
        return _("Look at the alias that is set: it was set since. To replace it, set it with a job of its own.")
    return _(
        "Look at the alias that is set. To replace it, run not-accepted.csv without --only-absent and --expect-column,"
        " or with the expected alias corrected, if it has one."
    )


def advise(row: RowRecord, info: JobInfo) -> str:
    """What to do about a row of a job that was not accepted."""
    match State(row.state), row.code:
        case State.REJECTED, _:
            is_lost = bool(message_of(row).values.get("final"))
            return problems.advice(row.reason, is_lost=is_lost) or _(_CORRECT)
        case State.CONFLICT, _:
            return _after_conflict(info)
        case State.FAILED, None if meaning(message_of(row)).template.startswith("HTTP "):
            return _("A gateway refuses this row: look for characters such as < and > in its alias.")
        case State.FAILED, None:
            return _("Send it again with batch-alias retry when the service works.")
        case State.FAILED, int(code) if code in CODES and CODES[code].row_advice:
            return _(CODES[code].row_advice)
        case State.FAILED, _:
            return _(_CORRECT)
        case State.UNKNOWN, _:
            return _(_SEND_AGAIN)
        case _:
            return ""
