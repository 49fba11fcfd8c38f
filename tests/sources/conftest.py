from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from batch_alias.settings import Reading
from batch_alias.sources import open_source

Read = Callable[..., pd.DataFrame]


def read_all(path: Path, **reading) -> pd.DataFrame:
    with open_source(path, Reading(**reading)) as source:
        return pd.concat(source.batches(), ignore_index=True)


@pytest.fixture(scope="session")
def read() -> Read:
    """Read a whole source into one frame."""
    return read_all


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write text (or bytes) to a file and tell where it is."""

    def write(content: str | bytes, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
