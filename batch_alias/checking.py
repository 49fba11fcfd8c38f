"""What a run would do with a source, without sending anything."""

import asyncio
import tempfile
from pathlib import Path

from batch_alias.errors import UsageError
from batch_alias.model import State
from batch_alias.records import Check
from batch_alias.sending.throttle import LEAK
from batch_alias.settings import Settings
from batch_alias.staging import staged

EXAMPLES = 5
"""Repeated pairs that are shown."""


def check_file(settings: Settings) -> Check:
    """Stage a source in a folder that is thrown away, and say what was found.

    Args:
        settings: The source and how to read it; no service is needed.

    Raises:
        SourceError: The source cannot be read at all.
    """
    if settings.source is None:
        raise UsageError("No source was named.", "Name the file to check.")
    with (
        tempfile.TemporaryDirectory(prefix="batch-alias-") as folder,
        staged(settings.source, settings.reading, Path(folder)) as ledger,
    ):
        tally = ledger.tally()
        users, groups = ledger.users_and_groups()
        return Check(
            info=ledger.info(),
            tally=tally,
            problems=ledger.reasons(State.REJECTED),
            duplicates=ledger.duplicates(EXAMPLES),
            users=users,
            groups=groups,
            rate=settings.rate,
            seconds=tally.pending / (settings.rate * LEAK),
            too_many=tally.too_many_rejected(settings.max_rejected),
        )


async def check_source(settings: Settings) -> Check:
    """What ``batch-alias check`` does: see ``check_file``, which this runs without blocking the event loop."""
    return await asyncio.to_thread(check_file, settings)
