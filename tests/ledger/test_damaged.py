"""A file that is not a ledger, or not a complete one, is named and not changed."""

import sqlite3
from contextlib import closing

import pytest

from batch_alias.errors import ExitCode, LedgerError
from batch_alias.ledger import LEDGER, create
from batch_alias.ledger.sqlite import SqliteLedger, SqliteReader
from tests.support.damage import DAMAGES, PAGE, overwrite


@pytest.mark.parametrize("kind", [SqliteReader, SqliteLedger])
@pytest.mark.parametrize(("damage", "problem"), DAMAGES.values(), ids=DAMAGES)
def test_a_file_that_cannot_be_used_is_named_and_not_changed(damage, problem, kind, staged):
    path = staged(*range(2, 2000)) / LEDGER
    damage(path)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=problem) as raised, kind(path.parent) as ledger:
        ledger.counts()
    assert str(path) in raised.value.problem
    assert raised.value.exit_code == ExitCode.LEDGER
    assert raised.value.advice
    assert path.read_bytes() == before


def test_after_an_unclean_end_the_whole_file_is_checked(staged):
    path = staged(*range(2, 2000)) / LEDGER
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE last (value)")
        db.execute("INSERT INTO last VALUES (zeroblob(?))", (20 * PAGE,))
    with SqliteLedger(path.parent) as ledger:
        ledger.begin_run("run", target="h", version="v", settings={})
        size = path.stat().st_size
    overwrite(path, size - 10 * PAGE, b"\xff" * PAGE)
    with pytest.raises(LedgerError, match="damaged"):
        SqliteLedger(path.parent)
    with SqliteReader(path.parent) as reader:
        assert reader.counts().pending == 1998


def test_texts_and_states_that_cannot_be_are_damage(staged):
    path = staged(2, 3) / LEDGER
    for value, problem in (("CAST(x'ff' AS TEXT)", "UTF-8"), ("'sent'", "no state")):
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("PRAGMA ignore_check_constraints = ON")
            db.execute(f"UPDATE rows SET state = {value}")
        with SqliteReader(path.parent) as reader, pytest.raises(LedgerError, match=f"damaged.*{problem}"):
            reader.counts()


@pytest.mark.parametrize("kind", [SqliteReader, SqliteLedger])
def test_no_ledger_is_made_where_there_is_none(kind, tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(LedgerError, match="no ledger"):
            kind(folder)
    (tmp_path / LEDGER).mkdir()
    with pytest.raises(LedgerError, match="no ledger"):
        kind(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [LEDGER]


def test_a_folder_may_have_characters_that_mean_something_in_a_url(tmp_path, frame, info):
    folder = tmp_path / "100% of #1; 老王 & co"
    folder.mkdir()
    create(folder, [frame({"number": 2})], lambda: info)
    with SqliteLedger(folder) as ledger:
        assert ledger.counts().pending == 1
