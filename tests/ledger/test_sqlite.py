import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from batch_alias.errors import ExitCode, LedgerError
from batch_alias.ledger import LEDGER
from batch_alias.ledger.sqlite import SqliteLedger, SqliteReader
from batch_alias.model import State, StateCounts
from tests.ledger.conftest import pending
from tests.support.processes import run_python, started


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
from batch_alias.ledger.sqlite import SqliteLedger
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
from batch_alias.ledger import LEDGER
from batch_alias.ledger.sqlite import SqliteLedger
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
