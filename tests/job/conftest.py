"""Jobs whose aliases are read before and after they are set."""

from collections.abc import Callable

import pytest

from batch_alias.ledger import LedgerReader
from batch_alias.ledger.sqlite import SqliteReader
from batch_alias.settings import Settings


@pytest.fixture
def ledger_of() -> Callable[[Settings], LedgerReader]:
    """The ledger of a job, to read from."""
    return lambda settings: SqliteReader(settings.job_folder)
