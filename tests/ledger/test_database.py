"""What is not a ledger, or not a whole one, is recognised, named, and left as it is."""

import os
import sqlite3
from contextlib import closing

import pytest

from batch_alias.errors import LedgerError
from batch_alias.ledger import LEDGER, LedgerReader, Ledger


def foreign(path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "CREATE TABLE rows (number INTEGER); CREATE TABLE meta (key, value); INSERT INTO rows VALUES (1)"
        )


def change(path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def newer(path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


DAMAGES = {
    "not SQLite": (lambda path: path.write_text("number,user\n1,2\n"), "damaged"),
    "empty": (lambda path: path.write_bytes(b""), "not a ledger"),
    "of another program": (lambda path: (path.unlink(), foreign(path)), "not a ledger"),
    "of another version": (newer, "format 99"),
    "its beginning overwritten": (lambda path: change(path, 0, b"\0" * 4096), "damaged"),
    "its middle overwritten": (
        lambda path: change(path, path.stat().st_size // 2 // 4096 * 4096, b"\xff" * 4096),
        "damaged",
    ),
    "cut in half": (lambda path: os.truncate(path, path.stat().st_size // 2), "damaged"),
}


@pytest.mark.parametrize("kind", [LedgerReader, Ledger])
@pytest.mark.parametrize(("damage", "named"), DAMAGES.values(), ids=DAMAGES)
def test_it_is_named_and_not_touched(damage, named, kind, staged):
    folder = staged(*range(2, 2000))
    path = folder / LEDGER
    damage(path)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=named) as refused:
        kind(folder)
    assert str(path) in refused.value.problem
    assert refused.value.exit_code == 5
    assert refused.value.advice
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", [LedgerReader, Ledger])
def test_a_folder_without_one_is_named_and_stays_without_one(kind, tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(LedgerError, match="no ledger"):
            kind(folder)
    (tmp_path / LEDGER).mkdir()
    with pytest.raises(LedgerError, match="no ledger"):
        kind(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [LEDGER]


def test_names_that_mean_something_in_a_url_are_just_names(tmp_path, frame, info):
    from batch_alias.ledger import stage

    folder = tmp_path / "100% of #1? 老王 & co"
    folder.mkdir()
    stage(folder, [frame({"number": 2})], lambda: info)
    with Ledger(folder) as ledger:
        assert ledger.tally().pending == 1


def test_a_finished_ledger_is_one_file_that_can_be_read_where_nothing_may_be_written(staged):
    folder = staged(2)
    with Ledger(folder) as ledger:
        ledger.set_meta("target", "x")
    assert [path.name for path in folder.glob(f"{LEDGER}*")] == [LEDGER]


def test_it_is_in_wal_mode_while_it_is_written(staged):
    folder = staged(2)
    with Ledger(folder) as ledger:
        assert ledger._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
