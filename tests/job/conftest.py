"""Jobs whose aliases are read before and after they are set."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from batch_alias import commands
from batch_alias.ledger import LedgerReader
from batch_alias.settings import Output, Settings

Key = tuple[str, str]


@pytest.fixture
def do() -> Callable[..., int]:
    """Run a command of ``batch_alias.commands`` without output; its exit code."""

    def run(command: str, settings: Settings, **more: object) -> int:
        return getattr(commands, command)(settings, Output(yes=True, quiet=True), **more)

    return run


@pytest.fixture
def rows() -> Callable[[Path], list[dict[str, str]]]:
    """The lines of a CSV report, by column."""

    def read(path: Path) -> list[dict[str, str]]:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture
def ledger_of() -> Callable[[Settings], LedgerReader]:
    """The ledger of a job, to read from."""
    return lambda settings: LedgerReader(settings.job_folder)
