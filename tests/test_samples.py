"""The recipes in samples/: their files are well-formed, and their commands are accepted by the command line."""

import json
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from batch_alias.cli import cli
from batch_alias.errors import ExitCode
from tests.support.files import ROOT, SAMPLES
from tests.support.processes import finish

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COMMANDS, EXTRAS = PROJECT["scripts"], PROJECT["optional-dependencies"]
TRIED_AGAIN = {ExitCode.LEDGER, ExitCode.INTERRUPTED}
INSTRUCTIONS = {"FROM", "ARG", "COPY", "RUN", "USER", "WORKDIR", "ENTRYPOINT"}


def parse(arguments: Sequence[str]) -> dict[str, object]:
    """The values that ``run`` would get from a command line."""
    name, *rest = arguments
    assert name == "run"
    # With its parent, whose names of the help flag click keeps in the command for good.
    parent = cli.make_context("batch-alias", list(arguments))
    return cli.commands["run"].make_context("run", list(rest), parent=parent).params


def containerfile() -> list[list[str]]:
    text = (SAMPLES / "Containerfile").read_text(encoding="utf-8")
    return [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]


def test_the_container_is_built_from_files_that_exist():
    instructions = containerfile()
    assert {name for name, _ in instructions} <= INSTRUCTIONS
    assert instructions[0][0] == "FROM"
    copied = {source for name, value in instructions if name == "COPY" for source in value.split()[:-1]}
    assert {"pyproject.toml", "README.md", "batch_alias"} <= copied
    assert all((ROOT / source).exists() for source in copied)


def test_the_container_runs_our_command_as_an_ordinary_user():
    instructions = dict(containerfile())
    (command,) = json.loads(instructions["ENTRYPOINT"])
    assert command in COMMANDS
    assert f"--uid {instructions['USER']} " in instructions["RUN"]
    text = (SAMPLES / "Containerfile").read_text(encoding="utf-8")
    (run,) = re.findall(r"docker run .*? batch-alias (run .*)", text)
    assert parse(shlex.split(run))["yes"]


def test_the_container_can_be_built_with_an_extra():
    instructions = dict(containerfile())
    assert instructions["ARG"] == "EXTRAS=", "none of them if it is not passed"
    assert '"/src$EXTRAS"' in instructions["RUN"]
    (extra,) = re.findall(r"--build-arg EXTRAS='\[(\w+)\]'", (SAMPLES / "Containerfile").read_text(encoding="utf-8"))
    assert extra in EXTRAS


def test_the_kubernetes_job_sends_without_a_question():
    job = yaml.safe_load((SAMPLES / "kubernetes-job.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    given = parse(container["args"])
    assert (given["yes"], given["region"]) == (True, "beijing")
    # The folder of the job is on the volume, so that the next pod finds it, and belongs to the user of the image.
    (mount,) = container["volumeMounts"]
    assert {mount["name"]} == {volume["name"] for volume in pod["volumes"]}
    assert given["job"].as_posix().startswith(f"{mount['mountPath']}/")
    assert str(pod["securityContext"]["runAsUser"]) == dict(containerfile())["USER"]


def test_the_kubernetes_job_fails_for_every_exit_code_that_needs_a_person():
    job = yaml.safe_load((SAMPLES / "kubernetes-job.yaml").read_text(encoding="utf-8"))
    rules = {rule["action"]: rule for rule in job["spec"]["podFailurePolicy"]["rules"]}
    codes = rules["FailJob"]["onExitCodes"]
    assert codes["operator"] == "In"
    assert codes["values"] == sorted(set(ExitCode) - TRIED_AGAIN - {ExitCode.DONE})
    # Kubernetes requires it for a policy on failures.
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_the_crontab_sends_without_a_question():
    lines = (SAMPLES / "crontab").read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if line and not line.startswith("#") and not re.match(r"\w+=", line)]
    (entry,) = entries
    *fields, command = entry.split(maxsplit=5)
    assert len(fields) == 5
    assert all(re.fullmatch(r"\*|\d+", field) for field in fields)
    assert "%" not in command, "cron takes a percent sign for the end of a line"
    (run,) = re.findall(r"batch-alias (run .*?) \|\|", command)
    given = parse(shlex.split(run))
    assert (given["yes"], given["quiet"]) == (True, True)
    variables = dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))
    assert {"RONGCLOUD_APP_KEY", "RONGCLOUD_APP_SECRET", "RONGCLOUD_REGION"} <= set(variables)


@pytest.mark.slow
@pytest.mark.posix_only
def test_the_notification_says_how_the_job_ended(environment, tmp_path):
    curl = tmp_path / "bin" / "curl"
    curl.parent.mkdir()
    curl.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    curl.chmod(0o755)
    path = os.pathsep.join([str(curl.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = environment(CHAT_WEBHOOK="https://chat.example/hook", PATH=path)
    done = finish(["sh", SAMPLES / "notify.sh", "missing.csv", "--sandbox"], cwd=tmp_path, env=variables)
    assert done.code == ExitCode.SOURCE, done.err
    *_, text, url = done.out.splitlines()
    assert json.loads(text) == {"text": "missing.csv: Not done: exit code 3. See the log."}
    assert url == "https://chat.example/hook"
