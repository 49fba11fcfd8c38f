"""Responses made to do harm: a bounded read, a classification, an excerpt in the report, no crash."""

import pytest

from batch_alias.errors import ExitCode
from batch_alias.model import State
from tests.support.faults import ENDLESS_BODY, GZIP_BOMB, HOSTILE, HUGE_BODY, INVALID_UTF8, Script, coded, on_writes

REFUSED = [fault for fault in HOSTILE if fault is not INVALID_UTF8]
"""Those that are no success: invalid UTF-8 beside code 200 is one, since RongCloud's code is what counts."""


@pytest.mark.parametrize("fault", HOSTILE, ids=lambda fault: fault.name)
def test_a_hostile_response_now_and_then_costs_no_row(fault, run, sandbox, settings_for, write_csv, results):
    served = sandbox(Script(lambda number: fault if number % 4 == 2 else None))
    summary = run(settings_for(write_csv(30), served, attempts=30))
    assert summary.exit_code == ExitCode.DONE, summary.stopped
    assert results().states == {State.ACCEPTED: 30}
    assert served.aliases() == results().accepted
    assert (summary.retries > 0) is (fault in REFUSED)


def test_a_row_without_another_response_that_is_not_read_back_is_unknown_and_the_report_quotes_it(
    run, sandbox, settings_for, write_csv, results
):
    hostile = on_writes(lambda number: REFUSED[number // 4 % len(REFUSED)] if number % 4 == 2 else None, coded(1005))
    served = sandbox(hostile)
    summary = run(settings_for(write_csv(80), served, attempts=1))
    assert summary.exit_code == ExitCode.NOT_ALL_ACCEPTED
    unknown = results().of(State.UNKNOWN)
    assert len(unknown) == 20
    assert len({row["message"] for row in unknown}) >= len(REFUSED) - 2
    assert all(20 < len(row["message"]) < 300 for row in unknown)
    assert all(character.isprintable() for row in unknown for character in row["message"])


PEAK_BEFORE_REPORTS = """
import resource, sys
def print_peak(event, arguments):
    if event == "open" and "summary.json" in str(arguments[0]):
        print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.addaudithook(print_peak)
"""
"""The reports take more memory than sending, so the peak is taken before them, in KiB."""


def test_large_bodies_are_not_kept_in_memory(command, sandbox, write_csv):
    flood = {2: HUGE_BODY, 5: GZIP_BOMB, 8: ENDLESS_BODY}
    scripts = {"without": lambda _number: None, "with": lambda number: flood.get(number % 10) if number < 30 else None}
    source, peaks = write_csv(50), []
    started = [
        command("run", source, "--job", name, "--rate", 200, to=sandbox(Script(script)), before=PEAK_BEFORE_REPORTS)
        for name, script in scripts.items()
    ]
    for ended in [one.end() for one in started]:
        assert ended.code == ExitCode.DONE, ended.err
        peaks.append(next(int(line.split()[1]) for line in ended.err.splitlines() if line.startswith("peak")))
    without, with_flood = peaks
    assert with_flood - without < 8 * 1024
