"""Answers made to harm: a bounded read, a verdict, an excerpt in the report, no crash."""

import pytest

from batch_alias.errors import ExitCode
from batch_alias.model import State
from batch_alias.sandbox.faults import HOSTILE, Faults, Trouble

HARMLESS = {Trouble.INVALID_UTF8}
"""It says code 200 all the same, and RongCloud's code is what counts."""


@pytest.mark.parametrize("trouble", HOSTILE)
def test_a_hostile_answer_now_and_then_costs_no_row(trouble, run, sandbox, settings_for, write_csv, accounts):
    running = sandbox(Faults(shares={trouble: 0.25}, seed=17))
    summary = run(settings_for(write_csv(40), running, attempts=30))
    assert summary.exit_code == ExitCode.DONE, summary
    assert accounts().states == {State.ACCEPTED: 40}
    assert running.aliases() == accounts().accepted
    assert (summary.retries > 0) is (trouble not in HARMLESS)


def test_a_row_that_gets_nothing_else_is_unknown_and_the_report_quotes_what_came(
    run, sandbox, settings_for, write_csv, accounts
):
    shares = {trouble: 0.04 for trouble in HOSTILE if trouble not in HARMLESS}
    running = sandbox(Faults(shares=shares, seed=17))
    summary = run(settings_for(write_csv(200), running, attempts=1))
    assert summary.exit_code == ExitCode.NOT_ALL_ACCEPTED
    unknown = accounts().of(State.UNKNOWN)
    assert len(unknown) > 30
    assert len({row["message"] for row in unknown}) >= len(shares) - 2
    assert all(20 < len(row["message"]) < 300 for row in unknown)
    assert all(ord(sign) >= 32 for row in unknown for sign in row["message"])


PEAK = """
import atexit, resource, sys
atexit.register(lambda: print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr))
"""


def test_megabytes_and_bombs_are_not_kept(command, sandbox, write_csv):
    flood = {Trouble.HUGE_BODY: 0.1, Trouble.GZIP_BOMB: 0.1, Trouble.ENDLESS_BODY: 0.1}
    source, peaks = write_csv(50), []
    for name, faults in (("calm", Faults()), ("flood", Faults(shares=flood, seed=6))):
        begin = ("run", source, "--job", name, "--rate", 200, "--attempts", 100)
        ended = command(*begin, to=sandbox(faults), after=PEAK).end()
        assert ended.code == ExitCode.DONE, ended.err
        peaks.append(int(ended.err.split()[-1]))
    calm, flooded = peaks
    assert flooded - calm < 20 * 1024
