import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_alias.errors import ExitCode, LedgerError, SourceError
from batch_alias.ledger import LEDGER, create, locked
from batch_alias.ledger.sqlite import SqliteLedger, SqliteReader
from batch_alias.model import State
from batch_alias.problems import NOT_A_DATA_ROW, WARNINGS
from tests.support.processes import run_python, started

CASE = "ids-differ-only-in-case"


def states(folder) -> dict[int, str]:
    with SqliteReader(folder) as reader:
        return {row.number: row.state for row in reader.rows()}


def test_a_row_with_a_reason_is_rejected(staged):
    folder = staged(2, {"number": 3, "reason": "empty-user-id", "message": "The userId is empty."})
    with SqliteReader(folder) as reader:
        (row,) = reader.rows(State.REJECTED)
    assert (row.number, row.reason, row.message) == (3, "empty-user-id", "The userId is empty.")
    assert states(folder) == {2: "pending", 3: "rejected"}


def test_the_expected_alias_of_a_row_is_kept_beside_none_at_all(tmp_path, frame, info):
    batches = [
        frame({"number": 2}),
        frame({"number": 3, "expected": ""}, {"number": 4, "expected": "old", "reason": "bad"}),
    ]
    create(tmp_path, batches, lambda: info)
    with SqliteReader(tmp_path) as reader:
        assert [row.expected for row in reader.rows()] == [None, "", "old"]


NO_USER = {"user_id": "", "reason": "empty-user-id", "message": "no user"}
NO_GROUP = {"group_id": "", "reason": "empty-group-id", "message": "no group"}
SHORT = {"user_id": "a note", "group_id": "", "reason": "too-few-fields", "message": "two are missing"}


@pytest.mark.parametrize(
    ("rows", "notes"),
    [
        ([{}, NO_USER, {}, NO_GROUP, SHORT, NO_USER], {5, 6, 7}),
        ([{}, NO_USER, {}], set()),
        ([NO_USER, NO_GROUP], set()),
        ([{}, NO_USER, {"reason": "user-id-too-long"}], set()),
        ([{}, {**NO_USER, "reason": "misplaced-quote"}, NO_USER], {4}),
        ([{}, *[NO_USER] * 20], set(range(3, 23))),
        ([{}, *[NO_USER] * 21], set()),
    ],
)
def test_a_few_rows_below_the_last_one_with_both_ids_are_notes(rows, notes, staged):
    folder = staged(*({"number": number, **row} for number, row in enumerate(rows, start=2)))
    with SqliteReader(folder) as reader:
        found = {row.number for row in reader.rows(State.REJECTED) if row.reason == NOT_A_DATA_ROW}
        assert found == notes
        assert reader.counts().rejected == sum("reason" in row for row in rows)
        assert reader.too_many_rejected(0.0) is (sum("reason" in row for row in rows) > len(notes))


def test_the_last_row_of_a_group_and_user_wins(staged):
    folder = staged(
        {"number": 2, "user_id": "u", "remark": "first"},
        {"number": 3, "user_id": "other"},
        {"number": 4, "user_id": "u", "remark": "last"},
        {"number": 5, "user_id": "u", "remark": "elsewhere", "group_id": "h"},
        {"number": 6, "user_id": "u", "remark": "last"},
    )
    assert states(folder) == {2: "superseded", 3: "pending", 4: "superseded", 5: "pending", 6: "pending"}
    with SqliteReader(folder) as reader:
        assert all("row 6" in row.message for row in reader.rows(State.SUPERSEDED))


def test_a_rejected_row_supersedes_nothing_and_is_not_superseded(staged):
    folder = staged(
        {"number": 2, "user_id": "u", "reason": "bad"},
        {"number": 3, "user_id": "u"},
        {"number": 4, "user_id": "u", "reason": "bad"},
    )
    assert states(folder) == {2: "rejected", 3: "pending", 4: "rejected"}


def test_ids_are_compared_exactly(staged):
    users = ["user", "USER", "user ", "us\u0065\u0301r", "us\u00e9r"]
    folder = staged(*({"number": number, "user_id": user} for number, user in enumerate(users, start=2)))
    assert set(states(folder).values()) == {"pending"}


@settings(max_examples=min(30, settings().max_examples), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("gh"), st.booleans()), min_size=1, max_size=30))
def test_each_user_and_group_is_sent_once_with_its_last_value(staged, rows):
    folder = staged(
        *(
            {
                "number": number,
                "user_id": user,
                "group_id": group,
                "remark": str(number),
                "reason": "bad" if bad else "",
            }
            for number, (user, group, bad) in enumerate(rows, start=2)
        )
    )
    expected = {(group, user): number for number, (user, group, bad) in enumerate(rows, start=2) if not bad}
    with SqliteLedger(folder) as ledger:
        pending = asyncio.run(ledger.pending(after=0, most=100))
        counts = ledger.counts()
    assert {(row.group_id, row.user_id): int(row.remark) for row in pending} == expected
    assert counts.rows == len(rows)
    assert counts.rejected == sum(bad for *_, bad in rows)
    assert counts.superseded == len(rows) - counts.rejected - len(expected)


def test_duplicates_are_resolved_across_batches(tmp_path, frame, info):
    batches = (frame(*({"number": number, "user_id": "same"} for number in part)) for part in ([2, 3], [4], [5, 6]))
    create(tmp_path, batches, lambda: info)
    assert states(tmp_path) == {2: "superseded", 3: "superseded", 4: "superseded", 5: "superseded", 6: "pending"}


def test_a_source_without_rows_makes_an_empty_ledger(tmp_path, info):
    create(tmp_path, [], lambda: info)
    assert states(tmp_path) == {}


def test_ids_that_differ_only_in_case_are_marked_and_sent(staged):
    folder = staged(
        {"number": 2, "user_id": "Ann", "warning": "odd"},
        {"number": 3, "user_id": "ann", "group_id": "g"},
        {"number": 4, "user_id": "bob", "group_id": "G"},
        {"number": 5, "user_id": "bob2", "group_id": "other"},
    )
    with SqliteReader(folder) as reader:
        assert {row.number: row.warning for row in reader.rows()} == {2: f"odd,{CASE}", 3: CASE, 4: CASE, 5: ""}
        assert reader.counts().pending == 4


def test_ids_that_differ_only_in_case_are_rejected_if_strict(staged):
    folder = staged(
        {"number": 2, "user_id": "Ann"}, {"number": 3, "user_id": "ann"}, {"number": 4, "user_id": "bob"}, strict=True
    )
    with SqliteReader(folder) as reader:
        rejected = [(row.number, row.reason, row.message) for row in reader.rows(State.REJECTED)]
    assert rejected == [(2, CASE, WARNINGS[CASE].sentence), (3, CASE, WARNINGS[CASE].sentence)]
    assert states(folder)[4] == "pending"


@pytest.mark.posix_only
def test_the_ledger_and_its_companions_are_readable_by_their_owner_only(staged, outcome):
    old = os.umask(0)
    try:
        folder = staged(2)
        with SqliteLedger(folder) as ledger:
            ledger.record(outcome(2))
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob(f"{LEDGER}*")}
    finally:
        os.umask(old)
    assert f"{LEDGER}-wal" in modes
    assert set(modes.values()) == {0o600}


def test_the_file_can_be_recognised(staged):
    with closing(sqlite3.connect(staged(2) / LEDGER)) as db:
        assert db.execute("PRAGMA application_id").fetchone()[0].to_bytes(4, "big") == b"baLg"


def test_a_staging_that_fails_leaves_no_ledger(tmp_path, frame, info):
    def batches():
        yield frame({"number": 2})
        raise SourceError("The source is damaged.")

    with pytest.raises(SourceError):
        create(tmp_path, batches(), lambda: info)
    with pytest.raises(LedgerError, match="no ledger"):
        SqliteReader(tmp_path)


def test_a_staging_that_fails_at_its_end_leaves_the_ledger_that_was_there(staged, frame):
    folder = staged(2, 3)

    def changed():
        raise SourceError("The source changed while it was read.")

    with pytest.raises(SourceError):
        create(folder, [frame({"number": 9})], changed)
    assert states(folder) == {2: "pending", 3: "pending"}
    assert [path.name for path in folder.iterdir()] == [LEDGER]


def test_a_staging_removes_what_a_killed_one_left(staged, tmp_path):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "ledger.new").write_bytes(b"half a ledger")
    folder = staged(2)
    assert states(folder) == {2: "pending"}
    assert not (folder / "ledger.new").exists()


@pytest.mark.slow
def test_a_ledger_staged_again_has_nothing_of_a_run_that_was_killed(staged):
    folder = staged(2, 3)
    killed = """
import os, sys
from pathlib import Path
from batch_alias.ledger.sqlite import SqliteLedger
SqliteLedger(Path(sys.argv[1])).set_meta("target", "one")
os._exit(0)
"""
    assert run_python(killed, folder) == (0, "", "")
    assert (folder / f"{LEDGER}-wal").exists()
    assert states(staged(8)) == {8: "pending"}
    with SqliteReader(folder) as reader:
        assert reader.meta("target") is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path, frame, info):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="file"), locked(tmp_path / "file" / "job"):
        pass
    with pytest.raises(LedgerError, match="missing"):
        create(tmp_path / "missing", [frame({"number": 2})], lambda: info)


def test_a_row_number_that_occurs_twice_is_an_error(tmp_path, frame, info):
    with pytest.raises(LedgerError):
        create(tmp_path, [frame({"number": 2}, {"number": 2})], lambda: info)
    assert not (tmp_path / LEDGER).exists()


def test_a_job_is_locked_against_a_second_run_in_the_process(tmp_path):
    folder = tmp_path / "new" / "job"
    with locked(folder), pytest.raises(LedgerError, match="locked by another run"), locked(folder):
        pass
    with locked(folder):
        pass


HOLDER = """
import sys
from pathlib import Path
from batch_alias.ledger import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_job_is_locked_against_another_process_until_that_is_killed(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(LedgerError) as raised, locked(tmp_path):
            pass
        assert raised.value.exit_code == ExitCode.LEDGER
    with locked(tmp_path):
        pass
