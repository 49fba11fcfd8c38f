import os
import sqlite3
import stat
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_alias.errors import LedgerError, SourceError
from batch_alias.ledger import LEDGER, LedgerReader, Ledger, locked, stage
from batch_alias.ledger.staging import TWINS
from batch_alias.model import State
from batch_alias.records import Repeat, StateCounts


def states(folder) -> dict[int, str]:
    with LedgerReader(folder) as accounts:
        return {entry.number: entry.state for entry in accounts.entries()}


def test_rows_are_kept_as_they_are(staged, info):
    nasty = "R&D '50%'; DROP TABLE rows; -- 老王 🐉\u2028\ttab"
    folder = staged({"number": 7, "user_id": "u", "group_id": "g", "remark": nasty, "warning": "odd", "cells": '["x"]'})
    with LedgerReader(folder) as accounts:
        (entry,) = accounts.entries()
        assert (entry.number, entry.user_id, entry.group_id, entry.remark) == (7, "u", "g", nasty)
        assert (entry.state, entry.warning, entry.cells, entry.attempts) == ("pending", "odd", '["x"]', 0)
        assert accounts.info() == info


def test_a_row_with_a_reason_is_rejected_and_says_why(staged):
    folder = staged(2, {"number": 3, "reason": "empty-user-id", "message": "The userId is empty."})
    with LedgerReader(folder) as accounts:
        (entry,) = accounts.entries(State.REJECTED)
    assert (entry.number, entry.reason, entry.message) == (3, "empty-user-id", "The userId is empty.")


def test_the_last_row_of_a_group_and_user_wins(staged):
    folder = staged(
        {"number": 2, "user_id": "u", "remark": "first"},
        {"number": 3, "user_id": "other"},
        {"number": 4, "user_id": "u", "remark": "last"},
        {"number": 5, "user_id": "u", "remark": "elsewhere", "group_id": "h"},
        {"number": 6, "user_id": "u", "remark": "last"},
    )
    assert states(folder) == {2: "superseded", 3: "pending", 4: "superseded", 5: "pending", 6: "pending"}
    with LedgerReader(folder) as accounts:
        assert accounts.repeats() == (1, 1, [Repeat(row=2, by=6, same=False), Repeat(row=4, by=6, same=True)])
        assert "row 6" in next(iter(accounts.entries(State.SUPERSEDED))).message


def test_a_rejected_row_supersedes_nothing_and_is_not_superseded(staged):
    folder = staged(
        {"number": 2, "user_id": "u", "reason": "bad"},
        {"number": 3, "user_id": "u"},
        {"number": 4, "user_id": "u", "reason": "bad"},
    )
    assert states(folder) == {2: "rejected", 3: "pending", 4: "rejected"}


def test_keys_are_case_sensitive_and_compared_byte_by_byte(staged):
    users = ["user", "USER", "user ", "us\u0065\u0301r", "us\u00e9r"]
    folder = staged(*({"number": 2 + n, "user_id": user} for n, user in enumerate(users)))
    assert set(states(folder).values()) == {"pending"}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("gh"), st.booleans()), min_size=1, max_size=30))
def test_whatever_repeats_each_key_is_sent_once_with_its_last_value(staged, rows):
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
    with Ledger(folder) as ledger:
        pending = ledger.pending(after=0, most=100)
        tally = ledger.tally()
    assert {row.key: int(row.remark) for row in pending} == expected
    assert tally.rows == len(rows)
    assert tally.rejected == sum(bad for *_, bad in rows)
    assert tally.superseded == len(rows) - tally.rejected - len(expected)


def test_batches_are_one_source(tmp_path, frame, info):
    batches = (frame(*({"number": number, "user_id": "same"} for number in part)) for part in ([2, 3], [4], [5, 6]))
    stage(tmp_path, batches, lambda: info)
    assert states(tmp_path) == {2: "superseded", 3: "superseded", 4: "superseded", 5: "superseded", 6: "pending"}


def test_the_ledger_and_its_companions_are_for_their_owner_only(staged, outcome):
    old = os.umask(0)
    try:
        folder = staged(2)
        with Ledger(folder) as ledger:
            ledger.record(outcome(2))
            found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob(f"{LEDGER}*")}
    finally:
        os.umask(old)
    assert f"{LEDGER}-wal" in found
    assert set(found.values()) == {0o600}


def test_a_staging_that_fails_leaves_no_ledger(tmp_path, frame, info):
    def batches():
        yield frame({"number": 2})
        raise SourceError("The source broke off.")

    with pytest.raises(SourceError):
        stage(tmp_path, batches(), lambda: info)
    assert not (tmp_path / LEDGER).exists()
    with pytest.raises(LedgerError, match="no ledger"):
        LedgerReader(tmp_path)


def test_a_staging_that_fails_at_the_very_end_leaves_the_ledger_before_it(staged, frame):
    folder = staged(2, 3)

    def changed():
        raise SourceError("The source changed while it was read.")

    with pytest.raises(SourceError):
        stage(folder, [frame({"number": 9})], changed)
    assert states(folder) == {2: "pending", 3: "pending"}


def test_what_a_killed_staging_left_behind_is_swept_away(staged, tmp_path):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "ledger.new").write_bytes(b"half a ledger")
    folder = staged(2)
    assert states(folder) == {2: "pending"}
    assert not (folder / "ledger.new").exists()


def test_a_ledger_staged_again_knows_nothing_of_the_one_before(staged, outcome):
    folder = staged(2, 3)
    with Ledger(folder) as ledger:
        ledger.record(outcome(2))
        folder = staged(8)
    assert states(folder) == {8: "pending"}


def test_a_folder_that_cannot_be_written_is_named(tmp_path, frame, info):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="file"), locked(tmp_path / "file" / "job"):
        pass
    with pytest.raises(LedgerError, match="missing"):
        stage(tmp_path / "missing", [frame({"number": 2})], lambda: info)


def test_a_number_twice_is_an_error_and_no_ledger(tmp_path, frame, info):
    with pytest.raises(LedgerError):
        stage(tmp_path, [frame({"number": 2}, {"number": 2})], lambda: info)
    assert not (tmp_path / LEDGER).exists()


def test_a_job_is_locked_against_a_second_handle_and_free_afterwards(tmp_path):
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
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_job_is_locked_against_a_second_process_and_free_once_that_is_killed(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LedgerError) as refused, locked(tmp_path):
            pass
        assert refused.value.exit_code == 5
        holder.kill()
        holder.wait()
    with locked(tmp_path):
        pass


def test_the_file_says_what_it_is(staged):
    folder = staged(2)
    db = sqlite3.connect(folder / LEDGER)
    try:
        assert db.execute("PRAGMA application_id").fetchone()[0].to_bytes(4, "big") == b"baLg"
        assert db.execute("PRAGMA user_version").fetchone()[0] > 0
    finally:
        db.close()


def test_the_tally_of_nothing_is_nothing(tmp_path, frame, info):
    stage(tmp_path, [], lambda: info)
    with Ledger(tmp_path) as ledger:
        assert ledger.tally() == StateCounts()
        assert ledger.pending(after=0, most=10) == []
        assert ledger.opening_rows(3) == []


def test_ids_that_differ_only_in_case_are_marked_and_sent(staged):
    folder = staged(
        {"number": 2, "user_id": "Ann", "warning": "odd"},
        {"number": 3, "user_id": "ann", "group_id": "g"},
        {"number": 4, "user_id": "bob", "group_id": "G"},
        {"number": 5, "user_id": "bob2", "group_id": "other"},
    )
    with LedgerReader(folder) as accounts:
        assert {entry.number: entry.warning for entry in accounts.entries()} == {
            2: f"odd,{TWINS}",
            3: TWINS,
            4: TWINS,
            5: "",
        }
        assert accounts.tally().pending == 4


def test_strict_rejects_ids_that_differ_only_in_case(tmp_path, frame, info):
    rows = frame({"number": 2, "user_id": "Ann"}, {"number": 3, "user_id": "ann"}, {"number": 4, "user_id": "bob"})
    stage(tmp_path, [rows], lambda: info, strict=True)
    assert states(tmp_path) == {2: "rejected", 3: "rejected", 4: "pending"}
