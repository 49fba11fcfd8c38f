import pytest

from batch_alias.errors import ExitCode
from batch_alias.model import Failure
from batch_alias.reports.wording import code_meaning, exit_meaning, flags, latency
from batch_alias.rongcloud.codes import CODES, FAILURES
from batch_alias.text import proportion


@pytest.mark.parametrize(
    ("label", "meaning"),
    [
        ("1005", CODES[1005].meaning),
        ("timeout", FAILURES[Failure.TIMEOUT].meaning),
        ("4711", "a code that RongCloud does not document"),
        ("HTTP 502", "Bad Gateway, from a gateway: without RongCloud's code"),
        ("HTTP 799", "a response, from a gateway: without RongCloud's code"),
        ("from-a-later-version", ""),
    ],
)
def test_the_meaning_of_a_response(label, meaning):
    assert code_meaning(label) == meaning


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (None, "killed, or still running"),
        (ExitCode.NOT_ALL_ACCEPTED, "not all accepted (exit code 1)"),
        (130, "interrupted (exit code 130)"),
        (99, "ended (exit code 99)"),
    ],
)
def test_how_a_run_ended(code, meaning):
    assert exit_meaning(code) == meaning


def test_how_a_verification_ended():
    assert exit_meaning(1, "verify") == "not all as sent (exit code 1)"
    assert exit_meaning(0, "verify") == exit_meaning(0)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_in_flight": 512, "rate": 100}, ["--max-in-flight 512", "--rate 100"]),
        ({"max_changes": 0.3, "compare": True, "members": None}, ["--max-changes 30%", "--compare"]),
        ({"max_rejected": 0.05, "max_failed": 0.125}, ["--max-rejected 5%", "--max-failed 12.5%"]),
        ({"timeout": 10.0, "patience": 1800.0}, ["--timeout 10s", "--patience 30m"]),
        ({"timeout": 0.5, "patience": 7200}, ["--timeout 0.5s", "--patience 2h"]),
        ({"patience": 0.0}, ["--patience 0s"]),
        ({"strict": True, "no_header": False, "limit": None, "accept": []}, ["--strict"]),
        ({"user_column": "my id", "sheet": "$x"}, ["--user-column 'my id'", "--sheet '$x'"]),
        ({"accept": ["number-format", "decimal-in-id"]}, ["--accept number-format", "--accept decimal-in-id"]),
        ({"from_a_later_version": 0.5}, ["--from-a-later-version 0.5"]),
    ],
)
def test_settings_are_written_as_flags(settings, expected):
    assert flags(settings) == expected


@pytest.mark.parametrize(("milliseconds", "text"), [(0.84, "0.84 ms"), (43.2, "43 ms"), (1234.5, "1.23 s")])
def test_a_latency_has_a_unit_of_its_size(milliseconds, text):
    assert latency(milliseconds) == text


@pytest.mark.parametrize(
    ("part", "text"), [(0, "0%"), (1, "< 0.1%"), (123_400, "12.3%"), (999_999, "> 99.9%"), (1_000_000, "100%")]
)
def test_a_proportion_is_0_or_100_percent_only_when_it_is_exactly_that(part, text):
    assert proportion(part, 1_000_000).replace("\N{NO-BREAK SPACE}", " ") == text
