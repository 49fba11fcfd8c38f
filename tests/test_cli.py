"""The command line as scripts depend on it: exit codes, what goes to which stream, flags and environment."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import click
import pytest

from batch_alias.cli import cli, main
from batch_alias.errors import ExitCode
from batch_alias.flagtypes import Duration, Flag, Share
from batch_alias.ledger import locked
from batch_alias.rongcloud.regions import REGIONS
from batch_alias.sandbox.app import Sandbox
from batch_alias.sandbox.emulator import Rules
from batch_alias.sandbox.server import serve

Ended = namedtuple("Ended", "code out err")
GIVE_UP = 30.0
"""Seconds after which a condition that does not come true fails the test."""


@pytest.fixture(scope="module")
def rongcloud():
    with serve(Sandbox(Rules(rate=10_000))) as running:
        yield running


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    """Every command is run in an empty folder and an empty environment."""
    for name in list(os.environ):
        if name.startswith(("BATCH_ALIAS_", "RONGCLOUD_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def credentials(monkeypatch, rongcloud):
    """The environment of someone who has set everything up."""
    values = {
        "RONGCLOUD_APP_KEY": rongcloud.app_key,
        "RONGCLOUD_APP_SECRET": rongcloud.app_secret.reveal(),
        "RONGCLOUD_URL": rongcloud.url,
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


@pytest.fixture
def batch_alias(monkeypatch, capfd):
    """Run the command in this process."""

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["batch-alias", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Ended(ended.value.code, *capfd.readouterr())

    return run


@pytest.fixture
def source(tmp_path):
    def write(*lines: str, rows: int = 5) -> Path:
        path = tmp_path / "names.csv"
        text = ["userId,groupId,remark", *(f"u{n},g,name {n}" for n in range(rows)), *lines]
        path.write_text("\n".join(text) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def parsed():
    """What a command is given to work with, for some arguments and the environment."""
    return lambda command, *arguments: cli.commands[command].make_context(command, list(arguments)).params


def test_0_every_row_is_accepted(batch_alias, source, credentials, rongcloud):
    ended = batch_alias("run", source(), "--rate", "1000", "--json")
    assert ended.code == ExitCode.DONE
    summary = json.loads(ended.out)
    assert summary["states"]["accepted"] == summary["rows"] == 5
    assert summary["exit_code"] == 0
    assert rongcloud.aliases()["g", "u3"] == "name 3"
    assert "accepted" in ended.err
    again = batch_alias("run", source(), "--rate", "1000", "--json")
    assert (again.code, json.loads(again.out)["runs"]) == (ExitCode.DONE, 1)


def test_1_some_rows_are_not_accepted(batch_alias, source, credentials):
    path = source("u9,,no group")
    assert batch_alias("check", path, "--max-rejected", "50%").code == ExitCode.NOT_ALL_ACCEPTED
    assert batch_alias("run", path, "--max-rejected", "50%").code == ExitCode.NOT_ALL_ACCEPTED


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["run"],
        ["fly", "names.csv"],
        ["run", "names.csv"],
        ["run", "names.csv", "--sandbox", "--fast"],
        ["run", "names.csv", "--sandbox", "--rate", "many"],
        ["run", "names.csv", "--sandbox", "--rate", "0"],
        ["run", "names.csv", "--sandbox", "--max-rejected", "120%"],
        ["run", "names.csv", "--sandbox", "--timeout", "soon"],
        ["run", "names.csv", "--region", "mars"],
        ["run", "names.csv", "--region", "beijing"],
        ["run", "names.csv", "--region", "beijing", "--url", "https://api.example.com"],
        ["retry", "job"],
        ["sandbox", "--port", "70000"],
    ],
)
def test_2_wrong_usage(arguments, batch_alias, source):
    source()
    ended = batch_alias(*arguments)
    assert ended.code == ExitCode.USAGE
    assert ended.out == ""
    assert ended.err
    assert "Traceback" not in ended.err


def test_3_a_source_that_cannot_be_used(batch_alias, source, credentials, rongcloud):
    before = rongcloud.stats().requests
    assert batch_alias("run", "missing.csv").code == ExitCode.SOURCE
    path = source("u9,,no group")
    ended = batch_alias("run", path, "--max-rejected", "0%")
    assert ended.code == ExitCode.SOURCE
    assert "1 of 6" in ended.err
    assert batch_alias("check", path, "--max-rejected", "0%").code == ExitCode.SOURCE
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    ended = batch_alias("check", path)
    assert ended.code == ExitCode.SOURCE
    assert "a, b" in ended.err.replace("'", "").replace('"', "")
    assert rongcloud.stats().requests == before


def test_4_the_service_stops_the_run(batch_alias, source, credentials, rongcloud, monkeypatch):
    monkeypatch.setenv("RONGCLOUD_APP_SECRET", "not-the-secret")
    before = rongcloud.stats().requests
    ended = batch_alias("run", source(rows=50), "--json")
    assert ended.code == ExitCode.STOPPED
    assert rongcloud.stats().requests - before <= 2
    summary = json.loads(ended.out)
    assert summary["states"]["pending"] == 50
    assert "1004" in summary["stopped"]
    assert "RONGCLOUD_APP_SECRET" in ended.err
    for hidden in ("not-the-secret", credentials["RONGCLOUD_APP_SECRET"]):
        assert hidden not in ended.err + ended.out


def test_5_the_ledger_cannot_be_used(batch_alias, source, credentials, tmp_path):
    path = source()
    with locked(tmp_path / "names.aliases"):
        ended = batch_alias("run", path)
    assert ended.code == ExitCode.LEDGER
    assert "locked" in ended.err
    for command in ("report", "status"):
        assert batch_alias(command, "nothing.aliases").code == ExitCode.LEDGER
    assert batch_alias("retry", "nothing.aliases").code == ExitCode.LEDGER
    assert not (tmp_path / "nothing.aliases").exists()


def test_6_a_report_could_not_be_written(batch_alias, source, credentials, tmp_path):
    (tmp_path / "names.aliases" / "results.csv").mkdir(parents=True)
    ended = batch_alias("run", source())
    assert ended.code == ExitCode.REPORT
    assert "results.csv" in ended.err
    assert (tmp_path / "names.aliases" / "summary.json").is_file()
    (tmp_path / "names.aliases" / "results.csv").rmdir()
    assert batch_alias("report", "names.aliases").code == ExitCode.DONE
    assert (tmp_path / "names.aliases" / "results.csv").is_file()


def test_130_interrupted_and_the_same_command_goes_on(source, credentials, rongcloud, batch_alias):
    path = source(rows=300)
    before = rongcloud.stats().requests
    command = [sys.executable, "-m", "batch_alias", "run", str(path), "--rate", "50", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        give_up = time.monotonic() + GIVE_UP
        while rongcloud.stats().requests < before + 10:
            assert process.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=GIVE_UP)
    assert process.returncode == ExitCode.INTERRUPTED
    states = json.loads(out)["states"]
    assert states["accepted"] >= 9
    assert states["accepted"] + states["pending"] == 300
    assert "batch-alias run" in err
    assert batch_alias("run", path, "--rate", "10000").code == ExitCode.DONE
    assert rongcloud.stats().requests == before + 300


@pytest.mark.parametrize("command", ["run", "check"])
def test_standard_output_carries_nothing_but_what_json_asks_for(command, batch_alias, source, credentials):
    quiet = batch_alias(command, source())
    assert (quiet.code, quiet.out) == (0, "")
    assert quiet.err
    told = batch_alias(command, source(), "--json")
    assert isinstance(json.loads(told.out), dict)


def test_a_quiet_run_in_which_all_goes_well_says_nothing(batch_alias, source, credentials):
    assert batch_alias("run", source(), "--quiet") == (0, "", "")


def test_without_a_terminal_nobody_is_asked(batch_alias, source, credentials):
    assert batch_alias("run", source()).code == ExitCode.DONE


def test_every_flag_can_be_set_by_the_environment_and_the_secret_has_none():
    options = {
        (name, option)
        for name, command in cli.commands.items()
        for option in command.params
        if option.opts[0][0] == "-"
    }
    assert len(options) > 50
    for name, option in options:
        assert isinstance(option, Flag), f"{name} {option.opts}"
        assert not {word for opt in option.opts for word in ("secret", "key") if word in opt}


@pytest.mark.parametrize(
    ("variable", "value", "flag", "expected"),
    [
        ("BATCH_ALIAS_RATE", "40", "rate", 40),
        ("BATCH_ALIAS_MAX_IN_FLIGHT", "8", "max_in_flight", 8),
        ("BATCH_ALIAS_MAX_REJECTED", "12%", "max_rejected", 0.12),
        ("BATCH_ALIAS_MAX_FAILED", "0.5", "max_failed", 0.5),
        ("BATCH_ALIAS_PATIENCE", "2h", "patience", 7200.0),
        ("BATCH_ALIAS_TIMEOUT", "90s", "timeout", 90.0),
        ("BATCH_ALIAS_LIMIT", "7", "limit", 7),
        ("BATCH_ALIAS_JOB", "elsewhere", "job", Path("elsewhere")),
        ("BATCH_ALIAS_USER_COLUMN", "用户", "user_column", "用户"),
        ("BATCH_ALIAS_SANDBOX", "1", "sandbox", True),
        ("BATCH_ALIAS_YES", "true", "yes", True),
        ("BATCH_ALIAS_JSON", "1", "json", True),
        ("BATCH_ALIAS_NO_PROXY", "1", "no_proxy", True),
        ("BATCH_ALIAS_NO_HEADER", "1", "no_header", True),
        ("BATCH_ALIAS_REGION", "singapore", "region", "singapore"),
        ("RONGCLOUD_REGION", "singapore", "region", "singapore"),
        ("RONGCLOUD_URL", "https://a.example", "url", "https://a.example"),
        ("BATCH_ALIAS_URL", "https://a.example", "url", "https://a.example"),
    ],
)
def test_a_variable_sets_its_flag(variable, value, flag, expected, parsed, monkeypatch):
    assert parsed("run", "x.csv")[flag] != expected
    monkeypatch.setenv(variable, value)
    assert parsed("run", "x.csv")[flag] == expected


@pytest.mark.parametrize("variable", ["BATCH_ALIAS_SANDBOX", "BATCH_ALIAS_YES", "BATCH_ALIAS_NO_PROXY"])
@pytest.mark.parametrize("value", ["0", "false", "no"])
def test_a_variable_that_says_no_sets_nothing(variable, value, parsed, monkeypatch):
    without = parsed("run", "x.csv")
    monkeypatch.setenv(variable, value)
    assert parsed("run", "x.csv") == without


def test_a_flag_wins_over_its_variable(parsed, monkeypatch):
    monkeypatch.setenv("BATCH_ALIAS_RATE", "40")
    monkeypatch.setenv("RONGCLOUD_REGION", "singapore")
    given = parsed("run", "x.csv", "--rate", "60", "--region", "beijing")
    assert (given["rate"], given["region"]) == (60, "beijing")


def test_a_wrong_variable_is_wrong_usage(batch_alias, source, monkeypatch):
    monkeypatch.setenv("BATCH_ALIAS_RATE", "many")
    assert batch_alias("check", source()).code == ExitCode.USAGE


def test_the_url_on_the_command_line_wins_over_the_region_of_the_environment(
    batch_alias, source, credentials, rongcloud, monkeypatch
):
    monkeypatch.setenv("RONGCLOUD_REGION", "beijing")
    monkeypatch.delenv("RONGCLOUD_URL")
    assert batch_alias("run", source(), "--url", rongcloud.url).code == ExitCode.DONE


def test_every_region_is_a_choice(parsed):
    for name in REGIONS:
        assert parsed("run", "x.csv", "--region", name)["region"] == name


HELP = """
import sys
from batch_alias.cli import cli
for arguments in (["--help"], ["run", "--help"], ["--version"]):
    cli.main(arguments, standalone_mode=False)
heavy = {"pandas", "numpy", "httpx", "starlette", "uvicorn", "matplotlib", "python_calamine", "jinja2"}
print("heavy:", sorted(heavy & set(sys.modules)))
"""


def test_help_imports_nothing_heavy():
    ended = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    assert "heavy: []" in ended.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], *([name, "--help"] for name in cli.commands)])
def test_help_and_version_go_to_standard_output(arguments, batch_alias):
    ended = batch_alias(*arguments)
    assert (ended.code, ended.err) == (0, "")
    assert "batch-alias" in ended.out


@pytest.mark.parametrize(
    ("text", "share"), [("5%", 0.05), (" 12.5% ", 0.125), ("0.05", 0.05), ("0", 0), ("1", 1), ("100%", 1)]
)
def test_a_share_is_a_percentage_or_a_number(text, share):
    assert Share().convert(text, None, None) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "%", "5 percent", "5", "101%", "-1%", "nan", "nan%", "inf"])
def test_anything_else_is_no_share(text):
    with pytest.raises(click.BadParameter):
        Share().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("0", 0), ("0.5", 0.5), ("1.5h", 5400)]
)
def test_a_duration_is_seconds_or_has_a_unit(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "s", "soon", "5d", "1h30m", "ten s"])
def test_anything_else_is_no_duration(text):
    with pytest.raises(click.BadParameter):
        Duration().convert(text, None, None)
