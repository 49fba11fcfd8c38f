"""Reads beside writes over a socket: nothing is lost, whatever the paths share and whichever reads fail."""

import pytest

from batch_alias.errors import ExitCode
from batch_alias.ledger import LedgerReader
from batch_alias.model import State
from batch_alias.sandbox import Faults, Rules
from batch_alias.sandbox.emulator import READ, SET
from batch_alias.settings import Comparing
from tests.support.faults import OnPath

ROWS = 300
KEPT, THEIRS = 100, 50
"""Rows whose alias is right already, and rows that have another one."""


@pytest.fixture
def held():
    """The aliases before the run: some are those of ``write_csv(ROWS)``."""
    aliases = {(f"g{n % 7}", f"u{n}"): f"alias {n} 老王 R&D 50%+" for n in range(KEPT)}
    return aliases | {(f"g{n % 7}", f"u{n}"): "theirs" for n in range(KEPT, KEPT + THEIRS)}


@pytest.mark.parametrize("verify", [False, True])
def test_nothing_is_lost_when_all_paths_share_one_limit(
    verify, held, run, sandbox, settings_for, write_csv, results, tmp_path
):
    served = sandbox(rules=Rules(rate=300, shared_limit=True), aliases=held)
    comparing = Comparing(compare=True, verify=verify)
    summary = run(settings_for(write_csv(ROWS), served, rate=300, comparing=comparing))
    assert summary.exit_code == ExitCode.DONE
    assert results().states == {State.UNCHANGED: KEPT, State.ACCEPTED: ROWS - KEPT}
    assert served.aliases().items() >= results().accepted.items()
    assert served.stats().sets == ROWS - KEPT
    with LedgerReader(tmp_path / "job") as ledger:
        for row in ledger.rows():
            assert row.before == held.get((row.group_id, row.user_id), "")
            assert row.found == (row.remark if verify and row.state == State.ACCEPTED else None)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stray_errors_on_reads_lose_nothing_and_call_nothing_different(
    seed, held, run, sandbox, settings_for, write_csv, results, tmp_path
):
    stray = Faults(errors=0.02, drops=0.02, pages=0.02, refusals=0.02, seed=seed)
    served = sandbox(OnPath(READ, stray), aliases=held)
    summary = run(settings_for(write_csv(ROWS), served, comparing=Comparing(compare=True, verify=True)))
    assert summary.exit_code == ExitCode.DONE
    assert results().states == {State.UNCHANGED: KEPT, State.ACCEPTED: ROWS - KEPT}
    assert served.stats().paths[SET].requests == ROWS - KEPT
    with LedgerReader(tmp_path / "job") as ledger:
        assert all(row.found == row.remark for row in ledger.rows(State.ACCEPTED))
        assert all(row.before == held.get((row.group_id, row.user_id), "") for row in ledger.rows())


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
