"""Checked rows as the sources yield them, and a job staged with them, in SQLite or in PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from batch_alias.ledger import JobInfo, Ledger, Place, create
from batch_alias.ledger.blocks import BlockOfRun
from batch_alias.ledger.database import Connection
from batch_alias.model import Outcome, State
from tests.support.http import KEY
from tests.support.jobs import job_info


def frame_of(*rows: dict) -> pd.DataFrame:
    columns = ("number", "user_id", "group_id", "remark", "reason", "message", "warning", "cells", "expected")
    default = {
        "group_id": "g",
        "remark": "r",
        "reason": "",
        "message": "",
        "warning": "",
        "cells": None,
        "expected": None,
    }
    filled = [default | {"user_id": f"u{row['number']}"} | row for row in rows]
    return pd.DataFrame(filled, columns=columns, dtype=object)


@pytest.fixture(scope="session")
def frame() -> Callable[..., pd.DataFrame]:
    """A frame of rows, each given by the columns that matter; without a problem unless it names one."""
    return frame_of


@pytest.fixture(scope="session")
def info() -> JobInfo:
    return job_info(
        header=("no", "备注", "userId", "groupId"),
        columns=(2, 3, 1),
        why=("named so", "named so", "named so"),
        blank_rows=3,
        reading={"sheet": None, "accept": ["decimal-in-id"]},
    )


@pytest.fixture
def staged(tmp_path: Path, info) -> Callable[..., Path]:
    """Stage some rows, given by their numbers or by more; the job's folder."""

    def fill(*rows: dict | int, strict: bool = False) -> Path:
        folder = tmp_path / "job"
        folder.mkdir(exist_ok=True)
        batch = frame_of(*({"number": row} if isinstance(row, int) else row for row in rows))
        create(folder, [batch], lambda: info, strict=strict)
        return folder

    return fill


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a job is that is not staged yet: in its folder, and in a database."""
    if request.param == "sqlite":
        return Place(tmp_path / "job")
    return Place(tmp_path / "job.aliases", request.getfixturevalue("tables"))


@pytest.fixture
def job(place: Place, staged) -> Callable[..., Place]:
    """Stage some rows like ``staged``; where the job is."""

    def fill(*rows: dict | int, strict: bool = False) -> Place:
        folder = staged(*rows, strict=strict)
        if place.url is not None:
            place.fill(folder, KEY)
        return place

    return fill


@pytest.fixture
def staged_in_database(tables: str, staged, tmp_path: Path) -> Callable[..., Place]:
    """Stage some rows like ``staged`` as a job in a database; where it is."""

    def fill(*rows: dict | int, name: str = "job", app_key: str = KEY) -> Place:
        place = Place(tmp_path / f"{name}.aliases", tables)
        place.fill(staged(*rows), app_key)
        return place

    return fill


async def queue_nothing(_connection: Connection, _blocks: Sequence[BlockOfRun], _wait: float) -> None:
    """Instead of queueing blocks: the tests claim them."""


def recorded(ledger: Ledger, *records: Callable[[], Awaitable[object] | None]) -> None:
    """Call functions that record what happened, one after the other, and wait until that is in the ledger."""

    async def do() -> None:
        async with ledger.recording():
            for each in records:
                if (awaited := each()) is not None:
                    await awaited

    asyncio.run(do())


def record(ledger: Ledger, *outcomes: Outcome) -> None:
    """Record outcomes of rows."""
    recorded(ledger, *(partial(ledger.record, outcome) for outcome in outcomes))


def pending(ledger: Ledger, *, after: int = 0, most: int = 100) -> list[int]:
    """The numbers of the next rows to send."""
    return [row.number for row in asyncio.run(ledger.pending(after=after, most=most))]


@pytest.fixture(scope="session")
def outcome() -> Callable[..., Outcome]:
    def make(row: int, state: State = State.ACCEPTED, **more) -> Outcome:
        known = {"code": 200, "message": "accepted", "attempts": 1, "request_id": "r-1", "finished_at": 1.5}
        return Outcome(row=row, state=state, **known | more)

    return make
