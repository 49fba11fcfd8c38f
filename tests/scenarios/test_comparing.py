"""Reads beside writes over a socket: nothing is lost, whatever the paths share and whichever reads fail."""

import pytest

from batch_alias.errors import ExitCode
from batch_alias.ledger.sqlite import SqliteReader
from batch_alias.model import State
from batch_alias.sandbox import Faults, Rules
from batch_alias.sandbox.emulator import READ
from batch_alias.settings import Comparing
from tests.support.faults import OnPath

ROWS = 150
KEPT, THEIRS = 50, 25
"""Rows whose alias is right already, and rows that have another one."""


@pytest.fixture
def held():
    """The aliases before the run: some are those of ``write_csv(ROWS)``."""
    aliases = {(f"g{n % 7}", f"u{n}"): f"alias {n} 老王 R&D 50%+" for n in range(KEPT)}
    return aliases | {(f"g{n % 7}", f"u{n}"): "theirs" for n in range(KEPT, KEPT + THEIRS)}


def test_nothing_is_lost_when_all_paths_share_one_limit_and_reads_fail_now_and_then(
    held, run, sandbox, settings_for, write_csv, results, tmp_path
):
    stray = Faults(errors=0.03, drops=0.03, pages=0.03, refusals=0.03, seed=1)
    served = sandbox(OnPath(READ, stray), rules=Rules(rate=200, shared_limit=True), aliases=held)
    comparing = Comparing(compare=True, verify=True)
    summary = run(settings_for(write_csv(ROWS), served, rate=200, comparing=comparing))
    assert summary.exit_code == ExitCode.DONE
    assert results().states == {State.UNCHANGED: KEPT, State.ACCEPTED: ROWS - KEPT}
    assert served.aliases().items() >= results().accepted.items()
    assert served.stats().sets == ROWS - KEPT
    with SqliteReader(tmp_path / "job") as ledger:
        for row in ledger.rows():
            assert row.before == held.get((row.group_id, row.user_id), "")
            assert row.found == (row.remark if row.state == State.ACCEPTED else None)


def test_only_where_no_alias_is_set_leaves_others_alone(held, run, sandbox, settings_for, write_csv, results):
    served = sandbox(Faults(errors=0.05, drops=0.05, seed=4), aliases=held)
    summary = run(settings_for(write_csv(ROWS), served, comparing=Comparing(only_absent=True)))
    assert summary.exit_code == ExitCode.NOT_ALL_ACCEPTED
    assert results().states == {
        State.UNCHANGED: KEPT,
        State.CONFLICT: THEIRS,
        State.ACCEPTED: ROWS - KEPT - THEIRS,
    }
    assert served.aliases() == held | results().accepted
