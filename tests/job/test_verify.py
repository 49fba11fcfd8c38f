"""What was set is read back, and what differs is told."""

import asyncio
from dataclasses import replace

import pytest

from batch_alias import run_job, verify_job
from batch_alias.errors import ExitCode, LedgerError
from batch_alias.ledger import ReadBack
from tests.support.faults import Script, coded


@pytest.fixture
def sent(sandbox, settings_for, write_csv):
    """A sandbox, and the settings of a job of ten rows that were sent to it."""
    served = sandbox()
    given = settings_for(write_csv(10), served)
    asyncio.run(run_job(given))
    return served, given


def test_all_are_as_they_were_set(sent):
    _, given = sent
    found = asyncio.run(verify_job(given))
    assert (found.read_back, found.exit_code) == (ReadBack(same=10, different=0, unread=0), ExitCode.DONE)
    assert found.seed is None, "all are read"


def test_what_another_writer_changed_differs_and_stays_accepted(sent, ledger_of):
    served, given = sent
    served.set_alias("g3", "u3", "theirs")
    served.set_alias("g4", "u4", None)
    found = asyncio.run(verify_job(given))
    assert found.read_back == ReadBack(same=8, different=2, unread=0)
    assert [(row.number, row.found) for row in found.first] == [(5, "theirs"), (6, "")]
    assert found.exit_code == ExitCode.NOT_ALL_ACCEPTED
    with ledger_of(given) as ledger:
        assert ledger.counts().accepted == 10
        assert [run.command for run in ledger.runs()] == ["run", "verify"]
    served.set_alias("g3", "u3", found.first[0].remark)
    assert asyncio.run(verify_job(given)).read_back.different == 1, "a verification that has ended begins anew"


def test_a_sample_is_random_and_its_seed_is_kept(sent, ledger_of):
    _, given = sent
    found = asyncio.run(verify_job(given, sample=4))
    assert (found.read_back, found.sample) == (ReadBack(same=4, different=0, unread=0), 4)
    with ledger_of(given) as ledger:
        assert ledger.runs()[-1].settings["seed"] == found.seed
        assert ledger.read_back() == ReadBack(same=4, different=0, unread=6)


def test_what_cannot_be_read_back_is_counted(sent):
    served, given = sent
    served.faults = Script(lambda number: coded(1002) if number == 5 else None)
    found = asyncio.run(verify_job(given))
    assert (found.read_back, found.exit_code) == (ReadBack(same=9, different=0, unread=1), ExitCode.NOT_ALL_ACCEPTED)


def test_a_verification_elsewhere_is_refused(sent, sandbox, target_of):
    _, given = sent
    with pytest.raises(LedgerError, match="begun for"):
        asyncio.run(verify_job(replace(given, target=target_of(sandbox()))))
