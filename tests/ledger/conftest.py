"""Checked rows as the sources hand them on, and a job's folder staged with them."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from batch_alias.ledger import stage
from batch_alias.model import Outcome, State
from batch_alias.records import JobInfo


def frame_of(*rows: dict) -> pd.DataFrame:
    columns = ("number", "user_id", "group_id", "remark", "reason", "message", "warning", "cells")
    blank = {"remark": "r", "reason": "", "message": "", "warning": "", "cells": None, "group_id": "g"}
    return pd.DataFrame([blank | {"user_id": f"u{row['number']}"} | row for row in rows], columns=columns, dtype=object)


@pytest.fixture(scope="session")
def frame() -> Callable[..., pd.DataFrame]:
    """A frame of rows; what a row does not say is in order."""
    return frame_of


@pytest.fixture(scope="session")
def info() -> JobInfo:
    return JobInfo(
        source="nicknames.csv",
        sha256="ab" * 32,
        description="CSV, UTF-8",
        header=("userId", "groupId", "备注"),
        columns=(0, 1, 2),
        blank_rows=3,
        reading={},
        staged_at=1_800_000_000.0,
        version="0.1.0",
    )


@pytest.fixture
def staged(tmp_path: Path, info) -> Callable[..., Path]:
    """Stage some rows; the job's folder."""

    def fill(*rows: dict | int) -> Path:
        folder = tmp_path / "job"
        folder.mkdir(exist_ok=True)
        stage(folder, [frame_of(*({"number": row} if isinstance(row, int) else row for row in rows))], lambda: info)
        return folder

    return fill


@pytest.fixture(scope="session")
def outcome() -> Callable[..., Outcome]:
    def make(row: int, state: State = State.ACCEPTED, **more) -> Outcome:
        known = {"code": 200, "message": "accepted", "attempts": 1, "request_id": "r-1", "finished_at": 1.5}
        return Outcome(row=row, state=state, **known | more)

    return make
