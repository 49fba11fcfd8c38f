import asyncio
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing

import pytest

from batch_alias.errors import ExitCode, LedgerError
from batch_alias.ledger import LEDGER, Ledger, Plan, ReadBack
from batch_alias.ledger.sqlite import SqliteLedger, SqliteReader
from batch_alias.model import Event, EventKind, State, StateCounts
from tests.support.processes import run_python, started

MIXED = {
    "retries": 2,
    "refusals": 1,
    "settled": Counter({State.ACCEPTED: 4}),
    "codes": Counter({"200": 4, "HTTP 502": 2, "timeout": 1}),
    "latencies": Counter({80: 6, 190: 1}),
}
"""A second in which everything was counted."""


def pending(ledger: Ledger, *, after: int = 0, most: int = 100) -> list[int]:
    return [row.number for row in asyncio.run(ledger.pending(after=after, most=most))]


def opening_rows(ledger: Ledger, most: int = 3) -> list[int]:
    return [row.number for row in asyncio.run(ledger.opening_rows(most))]


def test_an_outcome_is_recorded_with_all_its_values(staged, outcome):
    with SqliteLedger(staged(2, 3)) as ledger:
        ledger.record(
            outcome(3, State.FAILED, code=1005, message="too long", attempts=2, request_id="r-9", finished_at=12.25)
        )
        two, three = ledger.rows()
    assert (three.state, three.code, three.message, three.attempts) == ("failed", 1005, "too long", 2)
    assert (three.request_id, three.finished_at) == ("r-9", 12.25)
    assert (two.state, two.code, two.finished_at) == ("pending", None, None)


def test_attempts_add_up_over_runs_and_the_last_outcome_counts(staged, outcome):
    folder = staged(2)
    for attempts, state in ((6, State.UNKNOWN), (3, State.ACCEPTED)):
        with SqliteLedger(folder) as ledger:
            ledger.record(outcome(2, state, attempts=attempts))
    with SqliteReader(folder) as reader:
        (row,) = reader.rows()
    assert (row.state, row.attempts) == ("accepted", 9)


def test_pending_and_unknown_rows_are_paged_by_number(staged, outcome):
    with SqliteLedger(staged(*range(2, 12))) as ledger:
        for row in (3, 4, 8):
            ledger.record(outcome(row))
        ledger.record(outcome(6, State.UNKNOWN))
        ledger.record(outcome(7, State.FAILED))
        pages, after = [], 0
        while page := pending(ledger, after=after, most=2):
            pages.append(page)
            after = page[-1]
    assert pages == [[2, 5], [6, 9], [10, 11]]


def test_the_opening_rows_are_the_first_the_last_and_a_middle_one(staged, outcome):
    with SqliteLedger(staged(*range(2, 103))) as ledger:
        assert opening_rows(ledger) == [2, 102, 53]
        assert opening_rows(ledger, most=1) == [2]
        for row in (2, 102, 53):
            ledger.record(outcome(row))
        assert opening_rows(ledger) == [3, 101, 54]


@pytest.mark.parametrize(("rows", "opening"), [([], []), ([5], [5]), ([5, 9], [5, 9]), ([5, 6, 7], [5, 7])])
def test_few_rows_have_few_opening_rows(rows, opening, staged):
    with SqliteLedger(staged(*rows)) as ledger:
        found = opening_rows(ledger)
    assert found[: len(opening)] == opening
    assert len(found) == len(set(found)) <= len(rows)


def test_failed_rows_can_be_sent_again_and_remain_failed_until_then(staged, outcome):
    with SqliteLedger(staged(2, 3, 4, 5)) as ledger:
        for row, state in ((2, State.FAILED), (3, State.UNKNOWN), (4, State.ACCEPTED)):
            ledger.record(outcome(row, state))
        assert pending(ledger) == [3, 5]
        ledger.select_to_send(failed=True)
        assert pending(ledger) == [2, 3, 5]
        assert ledger.counts().failed == 1
        ledger.select_to_send(failed=False)
        assert pending(ledger) == [3, 5]


def test_runs_with_their_seconds_and_events_are_kept_in_order(staged, second):
    folder = staged(2)
    seconds = [second(at, 7, **MIXED) for at in (100, 101, 102)]
    outage = Event(at=100.5, kind=EventKind.OUTAGE_BEGAN, values={"detail": "停了"})
    lowered = Event(at=101.5, kind=EventKind.RATE_LOWERED, values={"rate": 40.5})
    with SqliteLedger(folder) as ledger:
        ledger.begin_run(
            "run", target="one.example", version="0.1.0", settings={"rate": 100, "timeout": 1.5, "limit": None}
        )
        asyncio.run(ledger.record_metrics(seconds[:1], [outage], busiest=7))
        asyncio.run(ledger.record_metrics(seconds[1:], [], busiest=9))
        ledger.end_run(exit_code=4, host_switches=2, stopped="The service has been down.")
        ledger.begin_run("run", target="two.example", version="0.1.0", settings={})
        asyncio.run(ledger.record_metrics([], [lowered], busiest=0))
    with SqliteReader(folder) as reader:
        first, other = reader.runs()
        assert (first.target, first.version, first.busiest_second) == ("one.example", "0.1.0", 9)
        assert first.settings == {"rate": 100, "timeout": 1.5, "limit": None}
        assert (first.exit_code, first.host_switches, first.stopped) == (4, 2, "The service has been down.")
        assert first.started_at <= first.ended_at
        assert (other.target, other.ended_at, other.exit_code, other.busiest_second) == ("two.example", None, None, 0)
        assert list(reader.seconds()) == seconds
        assert reader.events() == [outage, lowered]


def test_a_fact_is_kept_and_can_be_replaced(staged):
    folder = staged(2)
    with SqliteLedger(folder) as ledger:
        assert ledger.meta("target") is None
        ledger.set_meta("target", "one")
        ledger.set_meta("target", "two")
    with SqliteReader(folder) as reader:
        assert reader.meta("target") == "two"


def test_a_closed_ledger_is_one_file(staged):
    folder = staged(2)
    with SqliteLedger(folder) as ledger:
        ledger.set_meta("target", "x")
        assert (folder / f"{LEDGER}-wal").exists()
    assert [path.name for path in folder.iterdir()] == [LEDGER]


def test_beside_a_reader_a_ledger_is_opened_written_and_closed_and_the_file_alone_has_everything(staged, tmp_path):
    folder = staged(2)
    with closing(sqlite3.connect(folder / LEDGER)) as reader:
        for value in ("one", "two"):
            with SqliteLedger(folder) as ledger:
                ledger.set_meta("target", value)
            reader.execute("SELECT count(*) FROM meta").fetchall()
        copy = tmp_path / "copy"
        copy.mkdir()
        (copy / LEDGER).write_bytes((folder / LEDGER).read_bytes())
        reader.execute("BEGIN")
        assert reader.execute("SELECT value FROM meta WHERE key = 'target'").fetchone() == ("two",)
        with SqliteLedger(folder) as ledger:
            ledger.set_meta("target", "three")
    for place, value in ((copy, "two"), (folder, "three")):
        with SqliteReader(place) as ledger:
            assert ledger.meta("target") == value
        assert [path.name for path in place.iterdir()] == [LEDGER]


RECORDING = """
import sys
from pathlib import Path
from batch_alias.ledger import Ledger
from batch_alias.model import Outcome, State
ledger = SqliteLedger(Path(sys.argv[1]))
for row in range(2, 1002):
    ledger.record(
        Outcome(row=row, state=State.ACCEPTED, code=200, message="", attempts=1, request_id="", finished_at=1.0)
    )
print("recorded", flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_a_killed_process_loses_no_outcome(staged):
    folder = staged(*range(2, 2002))
    command = [sys.executable, "-c", RECORDING, str(folder)]
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as recording:
        assert recording.stdout.readline() == "recorded\n"
    with SqliteReader(folder) as reader:
        assert reader.counts() == StateCounts(accepted=1000, pending=1000)
    with SqliteLedger(folder) as ledger:
        assert pending(ledger, most=1) == [1002]


@pytest.mark.posix_only
def test_a_deleted_ledger_is_noticed_with_the_next_metrics(staged, second):
    folder = staged(2, 3)
    with SqliteLedger(folder) as ledger:
        ledger.begin_run("run", target="h", version="v", settings={})
        (folder / LEDGER).unlink()
        with pytest.raises(LedgerError) as raised:
            asyncio.run(ledger.record_metrics([second()], [], busiest=1))
    assert str(folder) in raised.value.problem


@pytest.mark.posix_only
def test_a_replaced_ledger_is_noticed_with_the_next_metrics(staged, second):
    folder = staged(2, 3)
    with SqliteLedger(folder) as ledger:
        ledger.begin_run("run", target="h", version="v", settings={})
        copy = folder / "copy"
        copy.write_bytes((folder / LEDGER).read_bytes())
        copy.replace(folder / LEDGER)
        with pytest.raises(LedgerError, match="replaced"):
            asyncio.run(ledger.record_metrics([second()], [], busiest=1))


# To the process a limit on the size of its files is what a full disk is.
FILLING = """
import resource, sys
from pathlib import Path
from batch_alias.errors import LedgerError
from batch_alias.ledger import LEDGER, Ledger
from batch_alias.model import Outcome, State
folder = Path(sys.argv[1])
ledger = SqliteLedger(folder)
most = (folder / LEDGER).stat().st_size + 200_000
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
message = "x" * 10_000
try:
    for row in range(2, 300):
        ledger.record(
            Outcome(row=row, state=State.FAILED, code=1, message=message, attempts=1, request_id="", finished_at=1.0)
        )
        print(row)
except LedgerError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@pytest.mark.slow
@pytest.mark.posix_only
def test_a_full_disk_ends_the_run_and_loses_no_outcome(staged):
    folder = staged(*range(2, 300))
    ended = run_python(FILLING, folder)
    assert ended.code == ExitCode.LEDGER, ended.err
    assert f"{folder / LEDGER} cannot be used" in ended.err
    assert "run the same command again" in ended.err
    recorded = [int(line) for line in ended.out.splitlines()]
    assert recorded
    with SqliteReader(folder) as reader:
        assert [row.number for row in reader.rows(State.FAILED)] == recorded


def test_a_plan_counts_pending_rows_by_what_they_would_change(staged, outcome):
    rows = {2: ("a", None), 3: ("a", ""), 4: ("a", "b"), 5: ("", "b"), 6: ("a", "a"), 7: ("", ""), 8: ("a", None)}
    expecting = [{"number": 9, "remark": "a", "expected": "b"}, {"number": 10, "remark": "a", "expected": ""}]
    folder = staged(*({"number": number, "remark": remark} for number, (remark, _) in rows.items()), *expecting)
    with SqliteLedger(folder) as ledger:
        for number, (_, before) in rows.items():
            if before is not None:
                ledger.record_before(number, before)
        ledger.record_unreadable(8, "no response in time")
        ledger.record_before(9, "b")
        ledger.record_before(10, "b")
        plan = Plan(first=1, replaced=2, cleared=1, unchanged=2, conflict=1, unreadable=1, unread=1)
        assert ledger.plan() == plan
        assert (plan.rows, plan.changes, plan.left) == (9, 3, 2)
        assert [row.number for row in ledger.planned_changes()] == [3, 4, 5, 9]
        ledger.set_meta("only_absent", "")
        assert (ledger.plan().replaced, ledger.plan().cleared, ledger.plan().conflict) == (0, 0, 4)
        ledger.record(outcome(3, State.ACCEPTED))
        assert ledger.plan().first == 0
        ledger.forget_before()
        assert ledger.plan() == Plan(first=0, replaced=0, cleared=0, unchanged=0, conflict=0, unreadable=0, unread=8)


def test_what_was_read_back_is_counted_since_a_time(staged, outcome):
    with SqliteLedger(staged(*range(2, 7))) as ledger:
        for number in range(2, 6):
            ledger.record(outcome(number, State.ACCEPTED, finished_at=10.0))
        ledger.record_found(2, "r", 20.0)
        ledger.record_found(3, "", 21.0)
        ledger.record_found(4, "r", 9.0)  # it was sent again after that
        assert ledger.read_back() == ReadBack(same=1, different=1, unread=2)
        assert ledger.read_back(since=20.5) == ReadBack(same=0, different=1, unread=3)
        assert [row.number for row in ledger.differing(since=20.5)] == [3]
        assert not list(ledger.differing(since=30.0))


def test_only_a_run_that_sends_rows_begins_a_job(staged, outcome):
    with SqliteLedger(staged(2)) as ledger:
        for command in ("plan", "verify"):
            ledger.begin_run(command, target="there", version="0", settings={})
        assert [ledger.was_run(), ledger.was_killed(), ledger.may_have_sent()] == [False, False, False]
        ledger.begin_run("run", target="there", version="0", settings={})
        assert [ledger.was_run(), ledger.was_killed(), ledger.may_have_sent()] == [True, True, True]
        ledger.end_run(exit_code=4, host_switches=0)
        assert [ledger.was_run(), ledger.was_killed(), ledger.may_have_sent()] == [True, False, False]
        ledger.record(outcome(2, State.FAILED))
        assert ledger.may_have_sent()
