"""The command line as scripts depend on it: exit codes, what goes to which stream, flags and environment."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from batch_alias import cli as command_line
from batch_alias.cli import cli
from batch_alias.errors import ExitCode, SourceError
from batch_alias.ledger import Place, locked
from batch_alias.sandbox import Faults
from batch_alias.sandbox.emulator import READ
from batch_alias.settings import Reading
from batch_alias.staging import staged
from batch_alias.text import use_language
from tests.support.faults import OnPath, Script, coded
from tests.support.processes import environment_of, finish, run_python, started

SNAPSHOTS = Path(__file__).parent / "snapshots"


pytestmark = pytest.mark.usefixtures("clean")


@pytest.fixture
def credentials(monkeypatch, served):
    """The environment with everything set up."""
    ours = environment_of(served)
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    return ours


@pytest.fixture
def source(tmp_path):
    def write(*lines: str, rows: int = 5) -> Path:
        path = tmp_path / "names.csv"
        text = ["userId,groupId,remark", *(f"u{n},g,name {n}" for n in range(rows)), *lines]
        path.write_text("\n".join(text) + "\n", encoding="utf-8")
        return path

    return write


@pytest.mark.posix_only
def test_names_that_are_not_utf_8_are_replaced_where_they_are_written(batch_alias, source, credentials):
    job = Path(os.fsdecode(b"\xc3\xfb.aliases"))  # GBK, as it comes out of many archives
    name = source("u9,g,").rename(os.fsdecode(b"\xc3\xfb.csv"))
    ended = batch_alias("run", name, "--job", job, "--max-rejected", "50%", "--xlsx", "--yes")
    assert ended.code == ExitCode.NOT_ALL_ACCEPTED, ended.err
    assert "batch-alias run '??.aliases/not-accepted.csv'" in ended.err
    assert "??.aliases/not-accepted.csv" in (job / "report.html").read_text(encoding="utf-8")
    assert json.loads((job / "summary.json").read_text(encoding="utf-8"))["source"] == "??.csv"
    assert batch_alias("run", name, "--job", job, "--yes").code == ExitCode.NOT_ALL_ACCEPTED


RUN_AND_STATUS = """
import sys
from batch_alias.__main__ import main
for arguments in (["run", "names.csv", "--yes"], ["status", "names.aliases"]):
    sys.argv = ["batch-alias", *arguments]
    try:
        main()
    except SystemExit as ended:
        if ended.code != 0:
            raise
"""


@pytest.mark.slow
@pytest.mark.posix_only
@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_stream_that_is_closed_ends_nothing(closed, source, credentials, environment, tmp_path):
    source()
    begin = f"import os, sys; os.close({closed}); os.execv(sys.executable, [sys.executable, '-c', {RUN_AND_STATUS!r}])"
    ended = finish([sys.executable, "-c", begin], cwd=tmp_path, env=environment() | credentials)
    assert ended.code == ExitCode.DONE, ended
    assert "5 accepted" in (ended.err if closed == 1 else ended.out)
    assert not list(tmp_path.glob("*.log"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_70_standard_output_that_cannot_be_written_is_one_sentence_with_json_too(source, environment, tmp_path):
    with (
        Path("/dev/full").open("w") as full,
        started(
            [sys.executable, "-m", "batch_alias", "check", str(source()), "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=environment(),
        ) as process,
    ):
        err = process.stderr.read()
    assert process.returncode == ExitCode.INTERNAL, err
    assert "No space left" in err
    assert "Traceback" not in err


def test_0_every_row_is_accepted(batch_alias, source, credentials, served):
    ended = batch_alias("run", source(), "--rate", "1000", "--json", "--yes")
    assert ended.code == ExitCode.DONE
    summary = json.loads(ended.out)
    assert summary["states"]["accepted"] == summary["rows"] == 5
    assert summary["exit_code"] == 0
    assert served.aliases()["g", "u3"] == "name 3"
    assert "accepted" in ended.err
    again = batch_alias("run", source(), "--rate", "1000", "--json", "--yes")
    assert (again.code, json.loads(again.out)["runs"]) == (ExitCode.DONE, 1)


def test_1_some_rows_are_not_accepted(batch_alias, source, credentials):
    path = source("u9,,no group")
    assert batch_alias("check", path, "--max-rejected", "50%").code == ExitCode.NOT_ALL_ACCEPTED
    assert batch_alias("run", path, "--max-rejected", "50%", "--yes").code == ExitCode.NOT_ALL_ACCEPTED


@pytest.mark.parametrize(
    "arguments",
    [
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
        ["sandbox", "--port", "70000"],
        ["sandbox", "--aliases", "missing.csv"],
        ["sandbox", "--no-alias", "sometimes"],
    ],
)
def test_2_wrong_usage_is_said_in_the_style_of_every_error(arguments, batch_alias, source):
    source()
    ended = batch_alias(*arguments)
    assert (ended.code, ended.out) == (ExitCode.USAGE, "")
    assert ended.err.startswith("batch-alias: ")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "names.csv", "--sandbox", "--timeout", "1h"], "--timeout is 1h.\n  It may be 0.1s to 10m.\n"),
        (
            ["run", "names.csv", "--sandbox", "--patience", "1w"],
            "--patience is '1w'.\n  Write it as 90s, 30m, 2h or 1d",
        ),
        (["run", "names.csv", "--sandbox", "--limit", "0"], "--limit is 0.\n  It may be 1 or more.\n"),
        (["run", "names.csv", "--sandbox", "--quiet", "--verbose"], "--quiet and --verbose cannot be combined.\n"),
        (["run", "names.csv", "--sandbox", "--region", "beijing"], "More than one target: --sandbox, --region.\n"),
        (["run", "names.csv", "--dry-run"], "There is no option --dry-run.\n  batch-alias check shows"),
        (["run", "names.csv", "--secret", "x"], "There is no flag for the App Secret"),
        (["run", "names.csv", "--lang", "fr"], "--lang is 'fr'.\n  It may be en, zh.\n"),
        (["run", "names.csv", "--members", "maybe"], "--members is 'maybe'.\n  It may be warn, reject.\n"),
        (["--"], "The command is missing.\n  See batch-alias --help.\n"),
        (["completion", "tcsh"], "SHELL may be bash, zsh, fish.\n  See batch-alias completion --help.\n"),
        (["run", "names.csv"], "No target: pass --region, --url or --sandbox.\n"),
        (["run"], "SOURCE is missing.\n  See batch-alias run --help.\n"),
        (["chek", "names.csv"], "There is no command chek.\n  Did you mean check? See batch-alias --help.\n"),
        (["check", "names.csv", "--encoding", "u\u200b1"], "There is no encoding 'u⟨U+200B⟩1'.\n"),
        (["check", "names.csv", "--delimiter", "\u200b\u200b"], "'⟨U+200B⟩⟨U+200B⟩' cannot separate fields.\n"),
        (["check", "names.csv", "--accept", "u\u200b1"], "--accept cannot let 'u⟨U+200B⟩1' through.\n"),
        (["doctor", "--url", "u\u200b1"], "'u⟨U+200B⟩1' is not the URL of a service.\n"),
        (["verify", "job", "--sample", "0"], "--sample is 0.\n  It may be 1 or more.\n"),
        (["sandbox", "--port", "70000"], "--port is 70000.\n  It may be 0 to 65535.\n"),
        (
            ["sandbox", "--outage", "5", "2"],
            "--outage is from 5 to 2.\n  It must begin at 0 or later, and end after that",
        ),
    ],
)
def test_2_what_is_wrong_and_what_is_right_are_said(arguments, said, batch_alias, source):
    source()
    ended = batch_alias(*arguments)
    assert ended.code == ExitCode.USAGE
    assert ended.err.startswith(f"batch-alias: {said}")


def test_2_a_command_without_arguments_shows_its_help(batch_alias):
    ended = batch_alias()
    assert ended.code == ExitCode.USAGE
    assert "Commands:" in ended.err + ended.out


def test_2_without_a_terminal_and_without_yes_nothing_is_sent_but_to_the_sandbox(
    batch_alias, source, credentials, served
):
    before = served.stats().requests
    ended = batch_alias("run", source())
    assert ended.code == ExitCode.USAGE
    assert "--yes" in ended.err
    assert served.stats().requests == before
    assert not Path("names.aliases").exists()
    assert batch_alias("run", source(), "--sandbox").code == ExitCode.DONE


def test_2_a_folder_of_something_else_is_not_filled(batch_alias, source, credentials, served, tmp_path):
    folder, before = tmp_path / "samples", served.stats().requests
    folder.mkdir()
    for number in range(5):
        (folder / f"photo {number}.jpg").touch()
    for command in ("run", "plan"):
        ended = batch_alias(command, source(), "--job", "samples", *["--yes"] * (command == "run"))
        assert ended.code == ExitCode.USAGE
        assert ended.err.splitlines() == [
            "batch-alias: The folder samples is not that of a job: it holds 'photo 0.jpg', 'photo 1.jpg',"
            " 'photo 2.jpg' and 2 more.",
            "  Nothing was written into it. Pass a folder that is new or empty: --job DIR",
        ]
    assert len(list(folder.iterdir())) == 5
    assert served.stats().requests == before


@pytest.mark.parametrize("left", [[], ["ledger.new", "ledger.lock", "reading.json"], [".DS_Store"]])
def test_a_folder_that_is_empty_or_was_left_by_a_killed_staging_is_filled(left, batch_alias, source, credentials):
    Path("job").mkdir()
    for name in left:
        Path("job", name).write_text("left")
    assert batch_alias("run", source(), "--job", "job", "--yes").code == ExitCode.DONE


def test_a_plan_prints_what_would_change_and_a_run_applies_it(batch_alias, source, credentials, served):
    for user in range(5):
        served.set_alias("g", f"u{user}", None if user < 2 else f"name {user}")
    served.set_alias("g", "u2", "before")
    ended = batch_alias("plan", source("u9,,no group"), "--max-rejected", "50%")
    assert ended.code == ExitCode.DONE, ended.err
    assert ended.out.splitlines() == [
        "Planned   2 set for the first time, 1 replaced, 2 unchanged",
        "          row 2  no alias → name 0",
        "          row 3  no alias → name 1",
        "          row 4  before → name 2",
        "Not sent  1 rejected, 0 superseded",
        "Written   names.aliases/plan.csv",
    ]
    assert "To read   5 rows from 127.0.0.1" in ended.err
    found = json.loads(batch_alias("plan", "names.csv", "--max-rejected", "50%", "--json").out)
    assert (found["plan"]["replaced"], found["states"]["rejected"], found["exit_code"]) == (1, 1, 0)
    assert found["changes"][2] == {"row": 4, "userId": "u2", "groupId": "g", "before": "before", "after": "name 2"}
    ended = batch_alias("run", "names.csv", "--max-rejected", "50%", "--max-changes", "10%", "--yes")
    assert ended.code == ExitCode.SOURCE
    assert (
        "1 of 5 rows would replace or clear an alias: more than --max-changes 10% permits. Nothing was sent."
        in ended.err
    )
    ended = batch_alias("run", "names.csv", "--max-rejected", "50%", "--max-changes", "20%", "--yes")
    assert "Planned   2 set for the first time, 1 replaced, 2 unchanged\n" in ended.err
    assert "3 accepted, 2 unchanged, 1 rejected of 6 rows\n" in ended.err


def test_max_changes_is_said_not_to_be_applied_once_rows_were_sent(batch_alias, source, credentials):
    batch_alias("run", source(), "--limit", "1", "--yes")
    ended = batch_alias("run", "names.csv", "--max-changes", "0%", "--quiet", "--yes")
    assert ended.code == ExitCode.DONE
    assert ended.err == "Warning   --max-changes is not applied: rows have been sent already\n"


def test_a_step_that_is_to_be_decided_names_no_command(batch_alias, source, credentials, served):
    served.set_alias("g", "u1", "theirs")
    ended = batch_alias("run", source(), "--only-absent", "--yes")
    assert ended.code == ExitCode.NOT_ALL_ACCEPTED
    assert ended.err.splitlines()[-1].startswith("Next      Decide about 1 conflict. ")


def test_what_is_left_is_sent_by_the_same_command(batch_alias, source, credentials):
    ended = batch_alias("run", source(), "--limit", "1", "--yes")
    assert ended.err.splitlines()[-1].startswith("          batch-alias run ")


@pytest.mark.slow
def test_a_run_that_reads_rows_back_and_a_verification_print_what_differs_and_what_could_not_be_read(
    batch_alias, source, credentials, served
):
    reads = count()

    def interfere(_number):
        for user in range(5):
            served.set_alias("g", f"u{user}", "theirs")
        return coded(1002) if next(reads) else None

    served.faults = OnPath(READ, Script(interfere))
    ended = batch_alias("run", source(), "--verify", "--yes")
    assert ended.code == ExitCode.NOT_ALL_ACCEPTED
    assert "Verified  0 as set, 1 different, 4 not read back\n          row " in ended.err
    _, _, steps = ended.err.partition("\nReports   ")
    assert steps.splitlines()[-1] == "Next      Read the others back: batch-alias verify names.aliases"

    served.faults = Faults()
    for user in range(5):
        served.set_alias("g", f"u{user}", f"name {user}")
    assert batch_alias("verify", "names.aliases").code == ExitCode.DONE
    ended = batch_alias("run", "names.csv", "--verify", "--yes")
    assert (ended.code, "Verified  5 as set, 0 different\n" in ended.err) == (ExitCode.DONE, True)

    served.set_alias("g", "u1", "theirs")
    served.set_alias("g", "u3", None)
    ended = batch_alias("verify", "names.aliases")
    assert ended.code == ExitCode.NOT_ALL_ACCEPTED
    assert ended.out.splitlines() == [
        "Verified  3 as set, 2 different",
        "          row 3  name 1 → theirs",
        "          row 5  name 3 → no alias",
        "Written   names.aliases: differs.csv and the other reports",
    ]
    assert Path("names.aliases/differs.csv").exists()
    assert batch_alias("run", "names.csv", "--verify", "--yes").code == ExitCode.NOT_ALL_ACCEPTED
    assert batch_alias("run", "names.csv", "--yes").code == ExitCode.DONE
    shown = batch_alias("verify", "names.aliases", "--sample", "5", "--json").out
    found = json.loads(shown)
    assert (found["same"], found["different"], found["sample"], found["exit_code"]) == (3, 2, 5, 1)
    assert batch_alias("verify", "names.aliases", "--sample", "0").code == ExitCode.USAGE
    assert "Sample    5 random rows, seed " in batch_alias("verify", "names.aliases", "--sample", "5").out


def test_an_undo_asks_and_names_what_it_leaves_out(batch_alias, source, credentials, served):
    for user in range(5):
        served.set_alias("g", f"u{user}", "before" if user == 1 else None)
    batch_alias("run", source(), "--limit", "1", "--yes")
    batch_alias("run", "names.csv", "--compare", "--yes")
    assert batch_alias("undo", "names.aliases").code == ExitCode.USAGE
    ended = batch_alias("undo", "names.aliases", "--yes")
    assert ended.code == ExitCode.NOT_ALL_ACCEPTED, ended.err
    assert "        1 × the alias before was not read (row 2)\n" in ended.err
    assert "To send   4 rows" in ended.err
    assert served.aliases()["g", "u1"] == "before"


def test_3_a_source_that_cannot_be_used(batch_alias, source, credentials, served, tmp_path):
    before = served.stats().requests
    for unusable in ("missing.csv", tmp_path):
        assert batch_alias("run", unusable, "--yes").code == ExitCode.SOURCE
        assert batch_alias("check", unusable).code == ExitCode.SOURCE
    ended = batch_alias("check", source(), "--sheet", "Sheet1")
    assert ended.code == ExitCode.SOURCE
    assert ended.err == "batch-alias: names.csv is not a workbook and has no sheets.\n  Leave out --sheet.\n"
    path = source("u9,,no group", "u10,g,after")
    ended = batch_alias("run", path, "--max-rejected", "0%", "--yes")
    assert ended.code == ExitCode.SOURCE
    assert "1 of 7" in ended.err
    assert batch_alias("check", path, "--max-rejected", "0%").code == ExitCode.SOURCE
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    ended = batch_alias("check", path)
    assert ended.code == ExitCode.SOURCE
    assert "row 1: A 'a', B 'b'" in ended.err
    assert served.stats().requests == before


@pytest.mark.parametrize("command", ["run", "plan"])
def test_3_a_missing_source_is_said_before_a_missing_target(command, batch_alias):
    ended = batch_alias(command, "u\u200b1.csv")
    assert ended.code == ExitCode.SOURCE
    assert ended.err.startswith("batch-alias: There is no file u⟨U+200B⟩1.csv.\n")


def test_4_the_service_stops_the_run(batch_alias, source, credentials, served, monkeypatch):
    monkeypatch.setenv("RONGCLOUD_APP_SECRET", "not-the-secret")
    before = served.stats().requests
    ended = batch_alias("run", source(rows=50), "--json", "--yes")
    assert ended.code == ExitCode.STOPPED
    assert served.stats().requests - before <= 2
    summary = json.loads(ended.out)
    assert summary["states"]["pending"] == 50
    assert "1004" in summary["stopped"]
    assert "RONGCLOUD_APP_SECRET" in ended.err
    for hidden in ("not-the-secret", credentials["RONGCLOUD_APP_SECRET"]):
        assert hidden not in ended.err + ended.out


def test_5_the_ledger_cannot_be_used(batch_alias, source, credentials, tmp_path, monkeypatch):
    path = source()
    with locked(tmp_path / "names.aliases"):
        ended = batch_alias("run", path, "--yes")
    assert ended.code == ExitCode.LEDGER
    assert "locked" in ended.err
    for name in credentials:
        monkeypatch.delenv(name)
    for arguments in (["report"], ["status"], ["retry", "--yes"], ["verify"], ["undo", "--yes"]):
        assert batch_alias(arguments[0], "nothing.aliases", *arguments[1:]).code == ExitCode.LEDGER
    assert not (tmp_path / "nothing.aliases").exists()


def test_6_a_report_could_not_be_written(batch_alias, source, credentials, tmp_path):
    batch_alias("run", source(), "--limit", "1", "--yes")
    (tmp_path / "names.aliases" / "results.csv").unlink()
    (tmp_path / "names.aliases" / "results.csv").mkdir()
    (tmp_path / "names.aliases" / "summary.json").unlink()
    ended = batch_alias("run", "names.csv", "--yes")
    assert ended.code == ExitCode.REPORT
    assert "results.csv" in ended.err
    assert (tmp_path / "names.aliases" / "summary.json").is_file()
    (tmp_path / "names.aliases" / "results.csv").rmdir()
    ended = batch_alias("report", "names.aliases")
    assert (ended.code, ended.err) == (ExitCode.DONE, "")
    assert "names.aliases" in ended.out
    assert (tmp_path / "names.aliases" / "results.csv").is_file()


def test_70_a_defect_is_one_sentence_and_a_file_with_the_traceback(batch_alias, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("an example")

    monkeypatch.setattr(command_line.cli, "main", broken)
    ended = batch_alias("status", "names.aliases", "--json")
    assert ended.code == ExitCode.INTERNAL
    assert "ZeroDivisionError: an example" in ended.err
    assert "Traceback" not in ended.err
    said = json.loads(ended.out)
    (path,) = [Path(word.rstrip(".")) for word in said["advice"].split() if word.endswith(".log.")]
    assert "in broken" in path.read_text()
    path.unlink()


def test_with_json_an_error_is_json_too(batch_alias):
    for arguments in (["check", "missing.csv"], ["run", "missing.csv", "--region", "mars"], ["status", "nothing"]):
        ended = batch_alias(*arguments, "--json")
        said = json.loads(ended.out)
        assert set(said) == {"error", "advice", "exit_code"}
        assert said["exit_code"] == ended.code
        assert said["error"] in ended.err


def test_what_was_asked_for_goes_to_standard_output(batch_alias, source, credentials):
    path = source()
    checked = batch_alias("check", path)
    assert (checked.code, checked.err) == (ExitCode.DONE, "")
    assert "every row may be sent" in checked.out
    examined = batch_alias("doctor", "--no-proxy")
    assert (examined.code, examined.err) == (ExitCode.DONE, "")
    assert "credentials accepted" in examined.out
    ran = batch_alias("run", path, "--yes")
    assert (ran.code, ran.out) == (ExitCode.DONE, "")
    shown = batch_alias("status", "names.aliases")
    assert (shown.code, shown.err) == (ExitCode.DONE, "")
    assert "5 accepted" in shown.out


def test_the_jobs_in_a_folder_are_listed(batch_alias, source, credentials):
    ended = batch_alias("jobs")
    assert (ended.code, ended.out, ended.err) == (ExitCode.DONE, f"There is no job in {Path.cwd()}.\n", "")
    assert batch_alias("jobs", "--json").out == "[]\n"
    batch_alias("run", source(), "--limit", "2", "--yes")
    listed = batch_alias("jobs")
    assert (listed.code, listed.err) == (ExitCode.DONE, "")
    head, job = listed.out.splitlines()
    assert head.split()[0] == "Job"
    assert job.startswith("names.aliases  ended, 3 pending     5             0  ")
    (found,) = json.loads(batch_alias("jobs", "names.aliases", "--json").out)
    assert (found["job"], found["states"]["accepted"]) == ("names.aliases", 2)
    assert batch_alias("jobs", "missing").code == ExitCode.USAGE


def test_a_job_that_has_ended_is_watched_for_one_look(batch_alias, source, credentials, monkeypatch):
    batch_alias("run", source(), "--yes")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 60)  # a job that has just ended may go on
    shown = batch_alias("status", "names.aliases", "--watch")
    assert shown == (ExitCode.DONE, "5 accepted of 5: ended with exit code 0\n", "")
    (line,) = batch_alias("status", "names.aliases", "--watch", "--json").out.splitlines()
    assert json.loads(line)["phase"] == "ended"
    assert batch_alias("status", "missing.aliases", "--watch").code == ExitCode.LEDGER


@pytest.mark.slow
@pytest.mark.posix_only
def test_watching_on_a_terminal_is_redrawn_until_it_is_interrupted(source, tmp_path, environment):
    import pty  # not on Windows

    screen, terminal = pty.openpty()
    hurried = "import time; sleep = time.sleep; time.sleep = lambda _seconds: sleep(0.05)"
    command = [
        sys.executable,
        "-c",
        f"{hurried}\nfrom batch_alias.__main__ import main; main()",
        "status",
        "job",
        "--watch",
    ]
    with (
        staged(source(), Reading(), Place(tmp_path / "job")),
        started(command, cwd=tmp_path, env=environment(), stdout=terminal) as process,
    ):
        os.close(terminal)
        shown = b""
        while b"\x1b[3A\x1b[J" not in shown:  # up to the first of three lines
            shown += os.read(screen, 65_536)
        process.send_signal(signal.SIGINT)
        assert process.wait() == ExitCode.INTERRUPTED
    os.close(screen)
    assert shown.startswith(b"Job       names.csv\r\n")


def test_the_sandbox_is_examined_too(batch_alias):
    examined = batch_alias("doctor", "--sandbox")
    assert (examined.code, examined.err) == (ExitCode.DONE, "")
    assert "credentials accepted" in examined.out


LOCALE = ("BATCH_ALIAS_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


@pytest.mark.parametrize(
    ("arguments", "variables", "language"),
    [
        (["check", "none.csv"], {}, "en"),
        (["check", "--lang", "zh", "none.csv"], {}, "zh"),
        (["check", "none.csv", "--lang", "zh"], {}, "zh"),
        (["check", "none.csv", "--lang=zh"], {}, "zh"),
        (["--lang", "zh", "check", "none.csv"], {}, "zh"),
        (["check", "none.csv", "--lang", "en"], {"LC_ALL": "zh_CN.UTF-8"}, "en"),
        (["check", "none.csv"], {"BATCH_ALIAS_LANG": "zh"}, "zh"),
        (["check", "none.csv"], {"BATCH_ALIAS_LANG": "en", "LC_ALL": "zh_CN.UTF-8"}, "en"),
        (["check", "none.csv"], {"LC_ALL": "zh_CN.UTF-8"}, "zh"),
        (["check", "none.csv"], {"LC_ALL": "de_DE.UTF-8", "LANG": "zh_CN.UTF-8"}, "en"),
    ],
)
def test_the_language_is_the_flag_the_variable_or_the_locale(arguments, variables, language, batch_alias, monkeypatch):
    for name in LOCALE:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"LANG": "C", **variables}.items():
        monkeypatch.setenv(name, value)
    ended = batch_alias(*arguments)
    use_language(language)
    expected = SourceError("There is no file {file}.", "Check its name and the current folder.", file="none.csv")
    assert (ended.code, ended.out) == (ExitCode.SOURCE, "")
    assert ended.err == f"batch-alias: {expected.problem}\n  {expected.advice}\n"


def test_the_command_that_goes_on_begins_with_its_name_wherever_the_language_was_named(
    batch_alias, source, credentials, tmp_path
):
    ended = batch_alias("--lang", "zh", "run", source(), "--limit", "1", "--yes")
    command = f"batch-alias run {tmp_path / 'names.csv'} --limit 1 --yes --lang zh"
    assert command in ended.err
    page = (tmp_path / "names.aliases" / "report.html").read_text(encoding="utf-8")
    assert "<b>run</b>" in page
    assert page.count(command) == 2  # to go on, and of the run


def test_the_help_is_english_in_every_language(batch_alias, monkeypatch):
    monkeypatch.setenv("BATCH_ALIAS_LANG", "zh")
    ended = batch_alias("check", "--help")
    assert ended.out == (SNAPSHOTS / "help-check.txt").read_text(encoding="utf-8")


def test_a_check_as_json_names_columns_and_has_no_json_inside_a_string(batch_alias, source):
    checked = json.loads(
        batch_alias("check", source("u9,,no group", "u1,g,again"), "--json", "--max-rejected", "50%").out
    )
    assert checked["columns"] == {"userId": "userId", "groupId": "groupId", "remark": "remark"}
    states = {state: count for state, count in checked["states"].items() if count}
    assert states == {"pending": 5, "rejected": 1, "superseded": 1}
    assert checked["rejections"] == [
        {"name": "empty-group-id", "message": "Column 'groupId' is empty.", "count": 1, "rows": [7]}
    ]
    assert checked["repeated"]["first"] == [{"row": 3, "superseded_by": 8, "same": False}]
    assert checked["sample"][0] == {"row": 2, "userId": "u0", "groupId": "g", "remark": "name 0"}
    assert checked["exit_code"] == 1


def test_a_check_shows_what_is_cleared_and_expected_and_what_to_do_about_a_rejection(batch_alias, source):
    shown = batch_alias("check", source("u9,g,"), "--max-rejected", "50%").out
    assert "Column 'remark' is empty; with --empty clear the alias is cleared.\n" in shown
    assert "Fill it in, or delete the row.\n" in shown
    Path("names.csv").write_text("userId,groupId,remark,was\nu1,g,,old\nu2,g,b,\n")
    flags = ("--empty", "clear", "--expect-column", "was")
    shown = batch_alias("check", "names.csv", *flags).out
    assert "remark from 'remark', expected from 'was'\n" in shown
    assert "          'was': named by --expect-column\n" in shown
    assert "user u1, group g: its alias is cleared, if it is now 'old'\n" in shown
    assert "user u2, group g: b, if it is now ''\n" in shown
    checked = json.loads(batch_alias("check", "names.csv", *flags, "--json").out)
    assert [row["expected"] for row in checked["sample"]] == ["old", ""]
    assert checked["columns"]["expected"] == "was"


def test_problems_are_written_as_csv(batch_alias, source):
    batch_alias("check", source("u9,,no group", "u1,g,again"), "--problems", "problems.csv")
    lines = Path("problems.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines == [
        "row,kind,reason,message,userId,groupId,remark",
        "3,superseded,repeated,row 8 sets the same user and group later,u1,g,name 1",
        "7,rejected,empty-group-id,Column 'groupId' is empty.,u9,,no group",
    ]


def test_a_quiet_run_in_which_every_row_is_accepted_prints_nothing(batch_alias, source, credentials):
    assert batch_alias("run", source(), "--quiet", "--yes") == (0, "", "")


def test_a_quiet_run_says_in_a_line_which_rows_were_not_accepted(batch_alias, source, credentials):
    path = source("u9,,no group", "u10,,no group")
    ended = batch_alias("run", path, "--max-rejected", "50%", "--quiet", "--yes")
    assert (ended.code, ended.out) == (ExitCode.NOT_ALL_ACCEPTED, "")
    assert ended.err == "2 of 7 rows were not accepted (2 rejected): names.aliases/not-accepted.csv\n"


def test_a_quiet_run_says_how_many_rows_are_left(batch_alias, source, credentials):
    ended = batch_alias("run", source(), "--limit", "4", "--quiet", "--yes")
    assert ended.err == "1 of 5 rows not sent yet\n"


def test_after_a_run_that_was_refused_no_row_is_called_done(batch_alias, source, credentials, monkeypatch):
    monkeypatch.setenv("RONGCLOUD_APP_SECRET", "not-the-secret")
    ended = batch_alias("run", source(), "--yes")
    assert "Result    No row was accepted: 5 pending of 5 rows\n" in ended.err
    assert "Done" not in ended.err


def test_rejected_rows_are_listed_once(batch_alias, source, credentials):
    path = source("u9,,no group")
    assert batch_alias("check", path, "--max-rejected", "50%").out.count("not-a-data-row") == 1
    assert batch_alias("run", path, "--max-rejected", "50%", "--yes").err.count("not-a-data-row") == 1


def test_a_check_says_only_of_columns_with_other_names_why_they_were_taken(batch_alias, source):
    assert "known name" not in batch_alias("check", source()).out
    Path("names.csv").write_text("userId,groupId,shown\nu1,g,n\n")
    shown = batch_alias("check", "names.csv", "--remark-column", "shown").out.splitlines()
    assert shown[1:3] == [
        "Columns   userId from 'userId', groupId from 'groupId', remark from 'shown'",
        "          'shown': named by --remark-column",
    ]


def test_a_check_says_that_every_row_is_rejected(batch_alias, source):
    ended = batch_alias("check", source("u9,,no group", rows=0), "--max-rejected", "100%")
    assert ended.code == ExitCode.SOURCE
    assert ended.out.splitlines()[-1] == "Result    every row is rejected: run would send nothing"


def test_standard_input_is_a_source(batch_alias, source, credentials, monkeypatch):
    with source().open(encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        ended = batch_alias("run", "-", "--yes")
    assert ended.code == ExitCode.DONE, ended.err
    assert Path("stdin.aliases/report.html").is_file()


@pytest.mark.slow
def test_what_is_typed_wins_over_the_environment(batch_alias, source, credentials, served, monkeypatch):
    monkeypatch.setenv("RONGCLOUD_REGION", "beijing")
    monkeypatch.delenv("RONGCLOUD_URL")
    assert batch_alias("run", source(), "--url", served.url, "--yes").code == ExitCode.DONE
    monkeypatch.setenv("RONGCLOUD_URL", served.url)
    assert batch_alias("run", source(), "--yes").code == ExitCode.USAGE
    assert batch_alias("run", source(), "--sandbox", "--job", "other").code == ExitCode.DONE


@pytest.mark.slow
def test_a_job_is_sent_again_read_back_and_undone_where_it_was_sent_to(batch_alias, source, sandbox, monkeypatch):
    served, other = sandbox(), sandbox()
    batch_alias("run", source(), "--compare", "--limit", "2", "--no-proxy", "--yes", to=served)
    monkeypatch.delenv("RONGCLOUD_URL")
    ended = batch_alias("retry", "names.aliases", "--yes")
    assert (ended.code, served.aliases()["g", "u4"]) == (ExitCode.DONE, "name 4"), ended.err
    assert batch_alias("verify", "names.aliases").code == ExitCode.DONE
    for elsewhere in (["--url", other.url], ["--region", "beijing"], ["--sandbox"]):
        assert batch_alias("retry", "names.aliases", *elsewhere, "--yes").code == ExitCode.LEDGER
    monkeypatch.setenv("RONGCLOUD_URL", other.url)
    assert batch_alias("verify", "names.aliases").code == ExitCode.LEDGER
    monkeypatch.delenv("RONGCLOUD_URL")
    assert batch_alias("undo", "names.aliases", "--yes").code == ExitCode.DONE
    assert ("g", "u4") not in served.aliases()
    assert batch_alias("retry", "names.aliases/undo.aliases", "--yes").code == ExitCode.DONE
    monkeypatch.delenv("RONGCLOUD_APP_SECRET")
    ended = batch_alias("retry", "names.aliases", "--yes")
    assert (ended.code, "RONGCLOUD_APP_SECRET" in ended.err) == (ExitCode.USAGE, True)
    assert served.app_secret.reveal().encode() not in Path("names.aliases/ledger.sqlite").read_bytes()


def test_a_new_run_does_not_go_where_an_earlier_one_was_sent_to(batch_alias, source, credentials, monkeypatch):
    batch_alias("run", source(), "--limit", "2", "--yes")
    monkeypatch.delenv("RONGCLOUD_URL")
    ended = batch_alias("run", "names.csv", "--yes")
    assert (ended.code, "No target" in ended.err) == (ExitCode.USAGE, True)


def test_a_job_that_was_sent_to_the_sandbox_says_so(batch_alias, source):
    batch_alias("run", source(), "--sandbox", "--limit", "2")
    ended = batch_alias("retry", "names.aliases", "--yes")
    assert ended.code == ExitCode.USAGE
    assert ended.err.splitlines() == [
        "batch-alias: The job names.aliases is for the sandbox, and the one that it was sent to has ended.",
        "  Pass --sandbox to use a new one, which holds no aliases.",
    ]
    assert batch_alias("retry", "names.aliases", "--sandbox").code == ExitCode.DONE


def test_the_secret_has_no_flag():
    names = {name for command in cli.commands.values() for option in command.params for name in option.opts}
    assert len(names) > 40
    assert not {name for name in names for word in ("secret", "key") if word in name}


HELP = """
import sys
from batch_alias.cli import cli
for arguments in (["--help"], ["run", "--help"], ["sandbox", "--help"], ["--version"]):
    cli.main(arguments, standalone_mode=False)
heavy = {"pandas", "numpy", "httpx", "h11", "python_calamine", "xlrd", "jinja2", "tqdm"}
print("heavy:", sorted(heavy & set(sys.modules)))
"""


@pytest.mark.slow
def test_help_imports_nothing_heavy():
    assert "heavy: []" in run_python(HELP).out


@pytest.mark.parametrize("name", ["", *cli.commands])
def test_help_is_the_snapshot(name, batch_alias):
    ended = batch_alias(*filter(None, [name]), "--help")
    assert (ended.code, ended.err) == (0, "")
    path = SNAPSHOTS / f"help{'-' * bool(name)}{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(ended.out, encoding="utf-8")
    assert ended.out == path.read_text(encoding="utf-8")


def test_the_version_goes_to_standard_output(batch_alias):
    ended = batch_alias("--version")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("batch-alias 0.")
