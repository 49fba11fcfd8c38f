"""What a run would do with a source, without sending anything."""

import asyncio
import csv
import tempfile
from pathlib import Path

from batch_alias.errors import ReportError, UsageError
from batch_alias.ledger import LedgerReader
from batch_alias.model import State
from batch_alias.records import Check
from batch_alias.sending.limiter import LEAK
from batch_alias.settings import Settings
from batch_alias.staging import OnRead, explained, staged

SAMPLE = 3
"""Rows that are shown as they would be sent."""


def check_file(
    settings: Settings, *, problems: Path | None = None, reading: OnRead = lambda _done, _total: None
) -> Check:
    """Stage a source in a folder that is thrown away, and say what was found.

    Args:
        settings: The source and how to read it; no service is needed.
        problems: A CSV file to write every problem to: row, kind, reason, message, userId, groupId, remark.
        reading: Called while the source is read, with the bytes read and the bytes in all.

    Raises:
        SourceError: The source cannot be read at all.
        ReportError: The problems cannot be written.
    """
    if settings.source is None:
        raise UsageError("No source was named.", "Name the file to check.")
    with (
        tempfile.TemporaryDirectory(prefix="batch-alias-") as folder,
        staged(settings.source, settings.reading, Path(folder), reading) as ledger,
    ):
        if problems is not None:
            _write_problems(problems, ledger)
        tally = ledger.tally()
        same, conflicting, repeats = ledger.repeats()
        users, groups = ledger.users_and_groups()
        return Check(
            info=ledger.info(),
            tally=tally,
            problems=ledger.problems(State.REJECTED),
            warnings=explained(ledger.warnings()),
            same=same,
            conflicting=conflicting,
            repeats=repeats,
            sample=ledger.pending(after=0, most=SAMPLE),
            users=users,
            groups=groups,
            rate=settings.rate,
            seconds=tally.pending / (settings.rate * LEAK),
            too_many=tally.too_many_rejected(settings.max_rejected),
        )


def _write_problems(path: Path, ledger: LedgerReader) -> None:
    try:
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("row", "kind", "reason", "message", "userId", "groupId", "remark"))
            for entry in ledger.entries():
                values = (entry.user_id, entry.group_id, entry.remark)
                if entry.state != State.PENDING:
                    reason = entry.reason or "repeated"
                    writer.writerow((entry.number, entry.state, reason, entry.message, *values))
                for warning in filter(None, entry.warning.split(",")):
                    writer.writerow((entry.number, "warning", warning, "", *values))
    except OSError as error:
        raise ReportError(f"The problems cannot be written to {path}: {error.strerror or error}.") from error


async def check_source(settings: Settings) -> Check:
    """What ``batch-alias check`` does: see ``check_file``, which this runs without blocking the event loop."""
    return await asyncio.to_thread(check_file, settings)
