"""README is for a stranger: every command in it works as it stands."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from batch_alias.sandbox.app import Sandbox

from batch_alias.errors import ExitCode
from batch_alias.reports import Summary
from batch_alias.sandbox.emulator import Rules
from batch_alias.sandbox.server import Running, serve

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
TRY_IT, THE_CHECK, EXPORTS = BLOCKS[:3]
COMMANDS = [line for block in BLOCKS[3:] for line in block.splitlines()]


@pytest.fixture(scope="module")
def rongcloud() -> Iterator[Running]:
    with serve(Sandbox(Rules(rate=1000))) as running:
        yield running


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "samples", folder / "samples")
    return folder


@pytest.fixture(scope="module")
def environment(rongcloud: Running) -> dict[str, str]:
    exported = dict(re.findall(r"export (\w+)=(\S+)", EXPORTS))
    assert set(exported) == {"RONGCLOUD_APP_KEY", "RONGCLOUD_APP_SECRET", "RONGCLOUD_REGION"}
    # What a reader has instead of these words: an app of their own. The region's hosts are out of a test's reach.
    exported |= {"RONGCLOUD_APP_KEY": rongcloud.app_key, "RONGCLOUD_APP_SECRET": rongcloud.app_secret.reveal()}
    exported["RONGCLOUD_URL"] = rongcloud.url
    del exported["RONGCLOUD_REGION"]
    return {**os.environ, **exported, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def shell(command: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_first_command_ends_with_a_report(workplace: Path, environment: dict[str, str]) -> None:
    run = TRY_IT.strip().rsplit(" && ", 1)[1].replace(".venv/bin/", "")
    done = shell(f"{run} --job tried", workplace, environment)
    assert done.returncode == 0, done.stderr
    assert (workplace / "tried" / "report.html").stat().st_size > 1000


def test_the_second_command_is_the_gate() -> None:
    steps = [shlex.split(step)[0] for step in THE_CHECK.strip().split(" && ")]
    assert [Path(step).name for step in steps[2:]] == ["ruff", "ruff", "mypy", "lint-imports", "pytest"]
    assert "command_in_readme 2" in (ROOT / ".ci" / "run").read_text()


def test_the_commands_of_the_real_job_work_one_after_the_other(workplace: Path, environment: dict[str, str]) -> None:
    for command in COMMANDS:
        if command.startswith("batch-alias sandbox"):
            continue
        done = shell(command, workplace, environment)
        expected = {1} if "--limit" in command else {0}
        assert done.returncode in expected, f"{command}\n{done.stderr}"
    written = {path.name for path in (workplace / "nicknames.aliases").iterdir()}
    assert written == set(re.findall(r"^\| `([a-z-]+\.[a-z]+)` \|", README, re.MULTILINE))


def test_the_completion_command_prints_a_script(workplace: Path, environment: dict[str, str]) -> None:
    (command,) = [command for command in COMMANDS if "_COMPLETE=" in command]
    for shell_name in ("bash", "zsh", "fish"):
        done = shell(command.replace("bash_source", f"{shell_name}_source"), workplace, environment)
        assert "_BATCH_ALIAS_COMPLETE" in done.stdout, done.stderr


def test_the_sandbox_command_prints_url_key_and_secret(workplace: Path, environment: dict[str, str]) -> None:
    (command,) = [command for command in COMMANDS if command.startswith("batch-alias sandbox")]
    free_port = re.sub(r"--port \d+", "--port 0", command)
    with subprocess.Popen(
        shlex.split(free_port), cwd=workplace, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        printed = [process.stdout.readline().split("=")[0] for _ in range(3)]
        process.terminate()
        assert process.wait(timeout=20) == 0
    assert printed == ["RONGCLOUD_URL", "RONGCLOUD_APP_KEY", "RONGCLOUD_APP_SECRET"]


def test_the_python_example_runs(workplace: Path, environment: dict[str, str]) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    code = (
        example.replace('region_urls("beijing")', f"({environment['RONGCLOUD_URL']!r},)")
        .replace("your-app-key", environment["RONGCLOUD_APP_KEY"])
        .replace("your-app-secret", environment["RONGCLOUD_APP_SECRET"])
        .replace("service=service)", 'service=service, job=Path("by-python"))')
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=workplace,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "'accepted': 300" in done.stdout


def test_every_exit_code_is_explained() -> None:
    table = README.split("## Exit codes")[1].split("##")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == sorted(ExitCode)


def test_every_field_of_the_summary_is_named() -> None:
    named = set(re.findall(r"`(\w+)`", README.split("`summary.json` has,")[1].split("##")[0]))
    assert {field.name for field in fields(Summary)} <= named
