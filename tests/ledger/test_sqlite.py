import json
import subprocess
import sys

import pytest

from batch_alias.errors import LedgerError
from batch_alias.ledger import LEDGER, LedgerReader, Ledger
from batch_alias.model import State
from batch_alias.records import Event, EventKind, Second, StateCounts


@pytest.fixture
def second():
    def make(at: int = 100) -> Second:
        return Second(
            at=at,
            requests=7,
            retries=2,
            refusals=1,
            settled={"accepted": 4},
            codes={"200": 4, "HTTP 502": 2, "timeout": 1},
            latencies={80: 6, 190: 1},
        )

    return make


def test_an_outcome_is_kept_in_full(staged, outcome):
    folder = staged(2, 3)
    with Ledger(folder) as ledger:
        ledger.record(
            outcome(3, State.FAILED, code=1005, message="too long", attempts=2, request_id="r-9", finished_at=12.25)
        )
        two, three = ledger.entries()
    assert (three.state, three.code, three.message, three.attempts) == ("failed", 1005, "too long", 2)
    assert (three.request_id, three.finished_at) == ("r-9", 12.25)
    assert (two.state, two.code, two.finished_at) == ("pending", None, None)


def test_attempts_add_up_over_runs_and_the_last_outcome_counts(staged, outcome):
    folder = staged(2)
    for attempts, state in ((6, State.UNKNOWN), (3, State.ACCEPTED)):
        with Ledger(folder) as ledger:
            ledger.record(outcome(2, state, attempts=attempts))
    with LedgerReader(folder) as accounts:
        (entry,) = accounts.entries()
    assert (entry.state, entry.attempts) == ("accepted", 9)


def test_the_states_always_add_up(staged, outcome):
    folder = staged(
        2, 3, 4, 5, {"number": 6, "reason": "bad"}, {"number": 7, "user_id": "u2", "remark": "supersedes row 2"}
    )
    with Ledger(folder) as ledger:
        assert ledger.tally() == StateCounts(pending=4, rejected=1, superseded=1)
        for row, state in ((3, State.ACCEPTED), (4, State.FAILED), (5, State.UNKNOWN)):
            ledger.record(outcome(row, state))
            assert ledger.tally().rows == 6
        tally = ledger.tally()
    assert tally == StateCounts(rejected=1, superseded=1, pending=1, accepted=1, failed=1, unknown=1)
    assert tally.unfinished == 2
    assert not tally.all_done


def test_rows_to_send_are_paged_by_their_number(staged, outcome):
    folder = staged(*range(2, 12))
    with Ledger(folder) as ledger:
        for row in (3, 4, 8):
            ledger.record(outcome(row))
        ledger.record(outcome(6, State.UNKNOWN))
        ledger.record(outcome(7, State.FAILED))
        pages, after = [], 0
        while page := ledger.pending(after=after, most=2):
            pages.append([row.number for row in page])
            after = page[-1].number
    assert pages == [[2, 5], [6, 9], [10, 11]]


def test_the_opening_rows_are_from_the_beginning_the_end_and_the_middle(staged, outcome):
    folder = staged(*range(2, 103))
    with Ledger(folder) as ledger:
        assert [row.number for row in ledger.opening_rows(3)] == [2, 102, 53]
        assert [row.number for row in ledger.opening_rows(1)] == [2]
        for row in (2, 102, 53):
            ledger.record(outcome(row))
        assert [row.number for row in ledger.opening_rows(3)] == [3, 101, 54]


@pytest.mark.parametrize(("rows", "opening"), [([5], [5]), ([5, 9], [5, 9]), ([5, 6, 7], [5, 7])])
def test_few_rows_have_few_opening_rows(rows, opening, staged):
    with Ledger(staged(*rows)) as ledger:
        found = [row.number for row in ledger.opening_rows(3)]
    assert found[: len(opening)] == opening
    assert len(found) == len(set(found))


def test_failed_rows_are_reopened_and_unknown_ones_are_sent_anyway(staged, outcome):
    folder = staged(2, 3, 4, 5)
    with Ledger(folder) as ledger:
        for row, state in ((2, State.FAILED), (3, State.UNKNOWN), (4, State.ACCEPTED)):
            ledger.record(outcome(row, state))
        assert ledger.reopen_failed() == 1
        assert [row.number for row in ledger.pending(after=0, most=10)] == [2, 3, 5]


def test_it_can_be_read_while_it_is_written(staged, outcome):
    folder = staged(*range(2, 52))
    with Ledger(folder) as ledger, LedgerReader(folder) as accounts:
        for row in range(2, 52):
            ledger.record(outcome(row))
            assert accounts.tally().accepted == row - 1
        walk = accounts.entries()
        first = next(walk)
        ledger.record(outcome(51, State.FAILED))
        assert (first.number, sum(1 for _ in walk)) == (2, 49)


def test_who_only_reads_cannot_write(staged):
    folder = staged(2)
    with LedgerReader(folder) as accounts, pytest.raises(Exception, match="readonly"):
        accounts._db.execute("DELETE FROM rows")


KILLED = """
import os, signal, sys
from pathlib import Path
from batch_alias.ledger import Ledger
from batch_alias.model import Outcome, State
ledger = Ledger(Path(sys.argv[1]))
for row in range(2, 1002):
    outcome = Outcome(
        row=row, state=State.ACCEPTED, code=200, message="", attempts=1, request_id="", finished_at=1.0
    )
    ledger.record(outcome)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_no_outcome(staged):
    folder = staged(*range(2, 2002))
    assert subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False).returncode == -9
    with LedgerReader(folder) as accounts:
        assert accounts.tally() == StateCounts(accepted=1000, pending=1000)
    with Ledger(folder) as ledger:
        assert ledger.pending(after=0, most=1)[0].number == 1002


def test_runs_seconds_and_notices_are_kept_in_their_order(staged, second):
    folder = staged(2)
    with Ledger(folder) as ledger:
        ledger.begin_run(host="one.example", version="0.1.0", settings={"rate": 100})
        ledger.record_second(second(100), busiest=7)
        ledger.record_second(second(101), busiest=9)
        ledger.record_event(Event(at=100.5, kind=EventKind.OUTAGE_BEGAN, text="停了"))
        ledger.end_run(exit_code=4, host_switches=2)
        ledger.begin_run(host="two.example", version="0.1.0", settings={"rate": 50})
    with LedgerReader(folder) as accounts:
        first, other = accounts.runs()
        assert (first.host, first.settings, first.busiest_second) == ("one.example", {"rate": 100}, 9)
        assert (first.exit_code, first.host_switches) == (4, 2)
        assert first.started_at <= first.ended_at
        assert (other.ended_at, other.exit_code, other.busiest_second) == (None, None, 0)
        assert list(accounts.seconds()) == [second(100), second(101)]
        assert accounts.events() == [Event(at=100.5, kind=EventKind.OUTAGE_BEGAN, text="停了")]


def test_a_fact_is_kept_and_may_be_changed(staged):
    folder = staged(2)
    with Ledger(folder) as ledger:
        assert ledger.meta("target") is None
        ledger.set_meta("target", "one")
        ledger.set_meta("target", "two")
    with LedgerReader(folder) as accounts:
        assert accounts.meta("target") == "two"


def test_problems_are_told_by_kind_the_most_frequent_first(staged, outcome):
    folder = staged(
        2,
        *({"number": row, "reason": "empty-user-id", "message": f"row {row}"} for row in range(3, 11)),
        {"number": 11, "reason": "user-id-too-long", "message": "65 bytes"},
        *range(12, 15),
    )
    with Ledger(folder) as ledger:
        for row in (12, 13, 14):
            ledger.record(outcome(row, State.FAILED, message="code 1999" if row < 14 else "parameter too long"))
        found = ledger.problems(State.REJECTED, State.FAILED)
        assert ledger.problems(State.UNKNOWN) == []
    told = [(problem.name, problem.message, problem.count, problem.rows[0]) for problem in found]
    assert told == [
        ("empty-user-id", "row 3", 8, 3),
        ("", "code 1999", 2, 12),
        ("user-id-too-long", "65 bytes", 1, 11),
        ("", "parameter too long", 1, 14),
    ]
    assert found[0].rows == (3, 4, 5, 6, 7)


def test_warnings_are_counted_one_by_one_and_not_for_rejected_rows(staged):
    folder = staged(
        {"number": 2, "warning": "long-remark,odd-id"},
        {"number": 3, "warning": "odd-id"},
        {"number": 4, "warning": "odd-id", "reason": "bad"},
    )
    with LedgerReader(folder) as accounts:
        assert [(found.name, found.count, found.rows) for found in accounts.warnings()] == [
            ("odd-id", 2, (2, 3)),
            ("long-remark", 1, (2,)),
        ]


def test_users_and_groups_are_those_of_the_rows_to_send(staged):
    folder = staged(
        {"number": 2, "user_id": "a"},
        {"number": 3, "user_id": "a", "group_id": "h"},
        {"number": 4, "user_id": "b", "reason": "bad"},
        {"number": 5, "user_id": "c"},
    )
    with LedgerReader(folder) as accounts:
        assert accounts.users_and_groups() == (2, 2)


def test_a_ledger_deleted_under_the_run_is_noticed_within_a_second(staged, outcome, second):
    folder = staged(2, 3)
    with Ledger(folder) as ledger:
        ledger.begin_run(host="h", version="v", settings={})
        (folder / LEDGER).unlink()
        with pytest.raises(LedgerError) as noticed:
            ledger.record_second(second(), busiest=1)
    assert noticed.value.exit_code == 5
    assert str(folder) in noticed.value.problem


def test_so_is_one_that_was_replaced(staged, second):
    folder = staged(2, 3)
    with Ledger(folder) as ledger:
        ledger.begin_run(host="h", version="v", settings={})
        copy = (folder / LEDGER).read_bytes()
        (folder / "other").write_bytes(copy)
        (folder / "other").replace(folder / LEDGER)
        with pytest.raises(LedgerError, match="replaced"):
            ledger.record_second(second(), busiest=1)


def test_a_disk_that_is_full_ends_the_run_with_a_sentence(staged, outcome):
    folder = staged(*range(2, 300))
    with Ledger(folder) as ledger:
        (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
        ledger._db.execute(f"PRAGMA max_page_count = {pages}")

        def fill() -> None:
            for row in range(2, 300):
                ledger.record(outcome(row, message="x" * 10_000))
                kept.append(row)

        kept: list[int] = []
        with pytest.raises(LedgerError, match="full") as full:
            fill()
        assert full.value.exit_code == 5
        assert "again" in full.value.advice
    with LedgerReader(folder) as accounts:
        assert [entry.number for entry in accounts.entries(State.ACCEPTED)] == kept


def test_settings_of_a_run_are_json(staged):
    folder = staged(2)
    with Ledger(folder) as ledger:
        ledger.begin_run(host="h", version="v", settings={"limit": None, "timeout": 1.5})
        (kept,) = ledger._db.execute("SELECT settings FROM runs").fetchone()
    assert json.loads(kept) == {"limit": None, "timeout": 1.5}
