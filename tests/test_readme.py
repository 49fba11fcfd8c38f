"""README.md: its commands work as they stand, and its tables are complete."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import openpyxl
import pytest

from batch_alias.cli import cli
from batch_alias.errors import ExitCode
from batch_alias.model import State
from batch_alias.sandbox import Sandbox
from tests.support.files import ROOT, SAMPLES
from tests.support.processes import DEADLINE, Ended, finish, run_python, started

README = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (SAMPLES / "README.zh-CN.md").read_text(encoding="utf-8")
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = SHELL.findall(README)
FIRST, SECOND, EXPORTS = BLOCKS[:3]
SHARED = next(block for block in BLOCKS if "batch-alias ledger init" in block)
PLANNING = next(block for block in BLOCKS if "batch-alias undo" in block)
(EXAMPLE,) = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
ROWS = 30
"""How many of the samples' rows are sent."""
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

Environment = dict[str, str]


def section(title: str) -> str:
    return README.split(f"## {title}\n")[1].split("\n## ")[0]


def copy_samples(folder: Path) -> None:
    """Copy the samples that are sent, with their first rows only: each request takes time."""
    samples = folder / "samples"
    samples.mkdir()
    lines = (SAMPLES / "nicknames.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (samples / "nicknames.csv").write_text("".join(lines[: 1 + ROWS]), encoding="utf-8")
    book = openpyxl.load_workbook(SAMPLES / "nicknames.xlsx")
    book.worksheets[0].delete_rows(2 + ROWS, len(lines))
    book.save(samples / "nicknames.xlsx")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone")
    copy_samples(folder)
    return folder


@pytest.fixture
def installed(environment: Callable[..., Environment]) -> Environment:
    """The environment of a reader who has installed the command and set no variable."""
    return environment(PATH=PATH)


@pytest.fixture
def exported(environment: Callable[..., Environment], sandbox: Callable[..., Sandbox]) -> Environment:
    """The same after README's exports; a sandbox stands for the region, and a higher rate saves time."""
    names = [name for name, _ in re.findall(r"export (\w+)=(\S+)", EXPORTS)]
    assert set(names) == {"RONGCLOUD_APP_KEY", "RONGCLOUD_APP_SECRET", "RONGCLOUD_REGION"}
    return environment(sandbox(), PATH=PATH, BATCH_ALIAS_RATE="1000")


@pytest.fixture
def in_process(
    batch_alias: Callable[..., Ended], exported: Environment, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Ended]:
    """Run a line that is nothing but our command and its arguments in this process, without a terminal."""
    for name, value in exported.items():
        monkeypatch.setenv(name, value)

    def run(line: str) -> Ended:
        line, _, _comment = line.partition("  #")
        assert re.fullmatch(r"batch-alias( [\w./%-]+)+", line), "a shell may be needed"
        return batch_alias(*line.split()[1:])

    return run


def shell(command: str, folder: Path, environment: Environment) -> Ended:
    return finish(["bash", "-c", command], cwd=folder, env=environment)


def answer_yes(command: str, folder: Path, environment: Environment) -> tuple[int, str]:
    """The exit code of a command on a terminal where the question is answered with yes, and what was shown."""
    import pty  # not on Windows

    screen, terminal = pty.openpty()
    # With exec nothing keeps the terminal open when the process is killed.
    with started(
        ["bash", "-c", f"exec {command}"],
        cwd=folder,
        env=environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        os.write(screen, b"y\n")
        shown = b""
        with contextlib.suppress(OSError):  # Linux: EIO when the command has ended
            while block := os.read(screen, 65_536):
                shown += block
        os.close(screen)
        return process.wait(), shown.decode()


@pytest.mark.slow
def test_the_first_command_writes_a_report(clone: Path, installed: Environment) -> None:
    run = FIRST.strip().rsplit(" && ", 1)[1].replace(".venv/bin/", "")
    done = shell(f"{run} --job first", clone, installed)
    assert done.code == 0, done.err
    assert (clone / "first" / "report.html").stat().st_size > 1000


def test_the_second_command_is_the_check_and_ci_runs_both() -> None:
    assert SECOND == "bash .ci/check\n"
    check = (ROOT / ".ci" / "check").read_text(encoding="utf-8")
    tools = [line.removeprefix(".venv/bin/").split()[0] for line in check.splitlines() if line.startswith(".venv/bin/")]
    assert tools == ["pip", "ruff", "ruff", "mypy", "lint-imports", "python", "pytest"]
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"\$\(command_in_readme (\d)\)", run) == ["1", "2"]


@pytest.mark.slow
def test_the_commands_for_several_machines_work_one_after_the_other(
    in_process: Callable[[str], Ended], write_csv: Callable[..., Path], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    export, *commands = SHARED.splitlines()
    assert export.startswith("export BATCH_ALIAS_LEDGER=postgresql://")
    monkeypatch.setenv("BATCH_ALIAS_LEDGER", database)
    write_csv(ROWS, "names.csv")
    for command in commands:
        done = in_process(command)
        assert done.code == ExitCode.DONE, (command, done)
    assert f"{ROWS} accepted of {ROWS}" in done.out


def real_job(text: str, folder: Path) -> tuple[Path, list[str]]:
    """The source that a page shows, written into a folder, and the commands for it."""
    commands = [
        line for block in SHELL.findall(text)[3:] if block not in {PLANNING, SHARED} for line in block.splitlines()
    ]
    (rows,) = re.findall(r"^```csv\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    source = folder / next(word for word in shlex.split(commands[0]) if word.endswith(".csv"))
    source.write_text(rows, encoding="utf-8")
    return source, commands


@pytest.mark.slow
@pytest.mark.parametrize("text", [README, CHINESE], ids=["English", "Chinese"])
def test_the_commands_of_the_real_job_work_one_after_the_other(
    tmp_path: Path, in_process: Callable[[str], Ended], text: str
) -> None:
    source, commands = real_job(text, tmp_path)
    for command in commands:
        done = in_process(command)
        if " run " in command:
            assert done.code == ExitCode.USAGE, "there is no terminal"
            assert "--yes" in done.err
            done = in_process(f"{command} --yes")
            assert done.code == ExitCode.DONE, done.err
        else:
            assert done.code == ExitCode.DONE, f"{command}\n{done.err}"
            assert done.out or " retry " in command, f"{command} prints what was asked for on standard output"
    written = {path.name for path in (tmp_path / f"{source.stem}.aliases").iterdir()}
    named = re.findall(r"^\| `([a-z-]+\.[a-z]+)` \|", section("What is written"), re.MULTILINE)
    assert written == {*named} - {"results.xlsx"}, "the source is no workbook"


@pytest.mark.slow
def test_on_a_terminal_the_command_of_the_real_job_asks(tmp_path: Path, exported: Environment) -> None:
    _, commands = real_job(README, tmp_path)
    (run,) = [command for command in commands if " run " in command]
    code, shown = answer_yes(run, tmp_path, exported)
    assert code == ExitCode.DONE, shown
    assert "[y/N]" in shown


@pytest.mark.slow
def test_the_commands_that_plan_verify_and_undo_work_one_after_the_other(
    tmp_path: Path, in_process: Callable[[str], Ended]
) -> None:
    copy_samples(tmp_path)
    for command in PLANNING.splitlines():
        done = in_process(command)
        assert done.code == ExitCode.DONE, f"{command}\n{done.err}"
        if command.split()[1] in {"plan", "verify"}:
            assert done.out, f"{command} prints what was asked for on standard output"
    written = {path.name for path in (tmp_path / "nicknames.aliases").iterdir()}
    assert {"results.xlsx", "plan.csv", "undo.csv", "undo.aliases"} <= written


@pytest.mark.slow
def test_the_completion_command_prints_a_script(clone: Path, installed: Environment) -> None:
    (command,) = re.findall(r"`(eval .*?completion.*?)`", README)
    done = shell(f"{command} && complete -p batch-alias", clone, installed)
    assert "batch-alias" in done.out, done.err


@pytest.mark.slow
def test_the_command_with_a_time_limit_runs(tmp_path: Path, exported: Environment) -> None:
    (command,) = re.findall(r"`(timeout .*?)`", README)
    real_job(README, tmp_path)
    assert shell(command, tmp_path, exported).code == ExitCode.DONE


@pytest.mark.slow
def test_the_sandbox_command_serves_what_it_prints(clone: Path, installed: Environment) -> None:
    (command,) = re.findall(r"`(batch-alias sandbox .*?)`", README)
    with started(shlex.split(command), cwd=clone, env=installed, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        printed = dict(process.stdout.readline().strip().split("=", 1) for _ in range(3))
        assert list(printed) == ["RONGCLOUD_URL", "RONGCLOUD_APP_KEY", "RONGCLOUD_APP_SECRET"]
        stats = httpx.get(f"{printed['RONGCLOUD_URL']}/sandbox/stats", trust_env=False, timeout=DEADLINE)
        assert stats.json()["requests"] == 0
        process.terminate()
        assert process.wait() == ExitCode.DONE


@pytest.mark.slow
def test_the_python_example_runs(clone: Path, exported: Environment) -> None:
    code = EXAMPLE
    for shown, tried in (
        ('region="beijing"', f"url={exported['RONGCLOUD_URL']!r}"),
        ("your-app-key", exported["RONGCLOUD_APP_KEY"]),
        ("your-app-secret", exported["RONGCLOUD_APP_SECRET"]),
        ("target=target", 'target=target, job=Path("by-python")'),
        ("rate=50", "rate=1000"),
    ):
        assert shown in code
        code = code.replace(shown, tried)
    done = run_python(code, cwd=clone, env=exported)
    assert done.code == 0, done.err
    assert f"'accepted': {ROWS}" in done.out


def test_every_exit_code_is_explained() -> None:
    codes = re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)
    assert [int(code) for code in codes] == sorted(ExitCode)


def test_every_state_is_explained() -> None:
    assert set(State) <= set(re.findall(r"`(\w+)`\s\(", section("What is written")))


def test_every_flag_that_is_named_exists() -> None:
    flags = {"--help"} | {
        flag for command in cli.commands.values() for option in command.params for flag in option.opts
    }
    named = set(re.findall(r"`(--[a-z-]+)", README))
    assert len(named) > 10
    assert named <= flags


def test_every_module_is_in_the_architecture() -> None:
    table = section("Architecture").split("\n|---|---|\n")[1]
    named = set(re.findall(r"`([a-z]+)(?:\.py|/)`", table.split("\n\n")[0]))
    found = {path.stem for path in (ROOT / "batch_alias").iterdir() if path.is_dir() or path.suffix == ".py"}
    assert named == {name for name in found if not name.startswith("__")} - {"version"}


@pytest.mark.parametrize("path", [ROOT / "README.md", SAMPLES / "README.zh-CN.md"])
def test_every_link_leads_to_a_file(path: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    assert links
    assert all((path.parent / link).is_file() for link in links)


def test_the_chinese_page_has_the_same_first_commands() -> None:
    assert SHELL.findall(CHINESE)[:3] == BLOCKS[:3]
