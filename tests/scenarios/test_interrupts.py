"""SIGINT and SIGTERM: the first one lets the requests in flight end, the second one ends the run at once."""

import json
import signal

import pytest

from batch_alias.errors import ExitCode
from batch_alias.ledger.sqlite import SqliteReader
from batch_alias.model import State
from batch_alias.sandbox import Faults
from batch_alias.sandbox.faults import HANG_AFTER
from batch_alias.sending import Timing
from tests.support.faults import Script
from tests.support.processes import DEADLINE

HANGING = Script(lambda number: HANG_AFTER if number >= 20 else None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_the_requests_in_flight_end_the_reports_are_written_and_the_same_command_goes_on(
    number, command, run, sandbox, settings_for, write_csv, results, at_request
):
    rows = 300
    served = sandbox()
    served.faults = at_request(10, lambda: started.signal(number), Faults(latency=0.1))
    source = write_csv(rows)
    started = command("run", source, "--job", "job", "--json", to=served)
    ended = started.end()
    assert ended.code == ExitCode.INTERRUPTED, ended.err
    found, stats = results(), served.stats()
    assert stats.requests > 10, "some were in flight"
    assert found.states == {State.ACCEPTED: stats.requests, State.PENDING: rows - stats.requests}
    assert stats.sets == stats.requests
    assert found.summary["exit_code"] == ExitCode.INTERRUPTED
    assert json.loads(ended.out) == found.summary
    assert "batch-alias run" in ended.err
    assert "Traceback" not in ended.err
    served.faults = Faults()
    assert run(settings_for(source, served)).exit_code == ExitCode.DONE
    assert served.stats().requests == rows


def test_after_a_second_signal_no_report_is_written_and_the_same_command_resumes(
    command, run, sandbox, settings_for, write_csv, results, until, tmp_path
):
    served = sandbox(HANGING)
    source = write_csv(100)
    started = command("run", source, "--job", "job", "--timeout", 60, to=served)
    until(lambda: served.stats().in_flight >= 10, started)
    started.signal(signal.SIGTERM)
    started.read_until("Once more ends at once")
    started.signal(signal.SIGINT)
    ended = started.end()
    assert ended.code == ExitCode.INTERRUPTED, ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "job" / "report.html").exists()
    served.faults = Faults()
    assert run(settings_for(source, served)).exit_code == ExitCode.DONE
    assert results().states == {State.ACCEPTED: 100}
    assert served.aliases() == results().accepted


def test_requests_without_a_response_are_cut_off_after_the_grace(run, sandbox, settings_for, write_csv, results, until):
    served = sandbox(HANGING)

    def stop(job):
        with SqliteReader(job.folder) as ledger:
            until(lambda: ledger.counts().accepted == 20 and served.stats().in_flight >= 10)
        assert job.stop()

    settings = settings_for(write_csv(100), served, max_in_flight=32)
    timing = Timing(first_timeout=DEADLINE, grace=0.1, tick=0.1)
    summary = run(settings, timing=timing, beside=stop)
    assert summary.exit_code == ExitCode.INTERRUPTED
    found = results()
    unknown = found.states[State.UNKNOWN]
    assert unknown == served.stats().requests - 20
    assert found.states == {State.ACCEPTED: 20, State.UNKNOWN: unknown, State.PENDING: 80 - unknown}
    assert found.accepted.items() <= served.aliases().items()


@pytest.mark.parametrize(
    "moment", [("sqlite3.connect", "ledger.new"), ("os.rename", "ledger.new")], ids=["begin", "end"]
)
def test_after_a_signal_while_the_source_is_staged_nothing_is_sent(
    moment, command, sandbox, write_csv, signal_at, tmp_path
):
    served = sandbox()
    source = write_csv(50)
    ended = command("run", source, "--job", "job", to=served, before=signal_at(signal.SIGTERM, *moment)).end()
    assert ended.code == ExitCode.INTERRUPTED, ended.err
    assert "Traceback" not in ended.err
    assert served.stats().requests == 0


def test_after_a_signal_while_the_reports_are_written_the_same_command_writes_them(
    command, sandbox, write_csv, results, signal_at
):
    served = sandbox()
    source = write_csv(50)
    signalled = signal_at(signal.SIGTERM, "os.rename", ".results.csv-")
    ended = command("run", source, "--job", "job", to=served, before=signalled).end()
    assert ended.code == ExitCode.INTERRUPTED, ended.err
    assert "Traceback" not in ended.err
    assert command("run", source, "--job", "job", to=served).end().code == ExitCode.DONE
    assert results().states == {State.ACCEPTED: 50}
    assert served.stats().requests == 50


HANGING_DNS = """
import pathlib, socket, time
def hang(*_given, **_more):
    pathlib.Path("asked").touch()
    time.sleep(3600)
socket.getaddrinfo = hang
"""


@pytest.mark.parametrize("proxy", [{}, {"HTTPS_PROXY": "http://proxy.example:3128"}], ids=["direct", "proxy"])
def test_signals_while_dns_does_not_respond_end_the_run(proxy, command, sandbox, write_csv, until, tmp_path):
    url = ("--url", "https://service.example") if proxy else ()
    started = command("run", write_csv(20), "--job", "job", *url, to=sandbox(), before=HANGING_DNS, **proxy)
    until((tmp_path / "asked").exists, started)
    started.signal(signal.SIGTERM)
    started.read_until("Once more ends at once")  # and not after the grace
    started.signal(signal.SIGTERM)
    ended = started.end()
    assert ended.code == ExitCode.INTERRUPTED, ended.err
    assert "Traceback" not in ended.err
