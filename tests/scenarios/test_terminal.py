"""What is printed on a terminal: lines that fit, colours, and nothing behind the ^C that it shows."""

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.support.processes import started

pytestmark = pytest.mark.posix_only

ONE_REJECTED = [("u1", "g", "a"), ("", "g", "b")]


@pytest.fixture
def typed(environment, sandbox, tmp_path, until) -> Callable[..., str]:
    """Run a command on a terminal, and what it printed; Ctrl-C is typed after so many requests."""
    import termios  # not on Windows

    served = sandbox()

    def run(*arguments: object, columns: int = 60, interrupted_after: int | None = None, **variables: str) -> str:
        screen, terminal = os.openpty()
        termios.tcsetwinsize(terminal, (24, columns))
        command = [sys.executable, "-m", "batch_alias", *map(str, arguments)]
        # Only in a session on the terminal does the process get the signal.
        with started(
            command,
            cwd=tmp_path,
            env=environment(served, **variables),
            preexec_fn=lambda: os.login_tty(terminal),
        ) as process:
            os.close(terminal)
            if interrupted_after is not None:
                until(lambda: served.stats().requests >= interrupted_after)
                os.write(screen, b"\x03")
            shown = b""
            with suppress(OSError):  # Linux: EIO when the command has ended
                while block := os.read(screen, 65_536):
                    shown += block
            os.close(screen)
            process.wait()
        return shown.decode().replace("\r\n", "\n")

    return run


def test_lines_are_wrapped_below_their_text_and_the_end_has_a_colour(typed, write_csv):
    write_csv(5)
    shown = typed("run", "rows.csv", "--yes")
    assert "\x1b[32mDone      5 accepted of 5 rows\x1b[0m\n" in shown
    assert "Reports   rows.aliases: report.html, results.csv,\n          not-accepted.csv, summary.json\n" in shown
    answer = typed("check", "rows.csv")
    assert "Columns   userId from 'userId', groupId from 'groupId',\n          remark from 'remark'\n" in answer
    bar, _, answer = typed("check", "rows.csv", "--json").rpartition("\r")
    assert "Reading" in bar
    assert len(json.loads(answer)["description"]) > 0
    assert len(typed("status", "rows.aliases", "--watch", "--json").splitlines()) == 1


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_a_terminal_on_which_no_bar_fits_delays_nothing(columns, typed, write_csv):
    write_csv(5)
    assert "5 accepted of 5 rows" in typed("run", "rows.csv", "--yes", columns=columns)


@pytest.mark.parametrize(("flags", "variables"), [(["--no-color"], {}), ([], {"NO_COLOR": "1"})], ids=["flag", "set"])
def test_there_are_no_colours_if_they_are_not_wanted(flags, variables, typed, write_csv):
    write_csv(ONE_REJECTED)
    for source in ("rows.csv", "missing.csv"):
        shown = typed("run", source, "--yes", "--max-rejected", "50%", *flags, **variables)
        assert source in shown
        assert "\x1b" not in shown


def test_a_command_to_be_copied_is_not_broken(typed, write_csv):
    write_csv(ONE_REJECTED)
    folder = "a-folder-with-a-long-name-for-the-reports-of-this-job"
    shown = typed("run", "rows.csv", "--yes", "--max-rejected", "50%", "--job", folder)
    assert (
        f"          batch-alias run {folder}/not-accepted.csv --job {folder}/not-accepted.aliases --url http://"
        in shown
    )


def test_ctrl_c_stays_on_a_line_of_its_own(typed, write_csv):
    write_csv(300)
    shown = typed("run", "rows.csv", "--yes", "--rate", "50", interrupted_after=10)
    before, _, after = shown.partition("^C")
    assert "/300" in before.rpartition("\r")[2], "the bar is left as it was"
    assert after.startswith("\n")
    assert "Stopping: " in after
