"""The recipes in samples/: their files are well-formed, and their commands are accepted by the command line."""

import json
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from batch_alias.cli import cli
from batch_alias.errors import ExitCode
from batch_alias.sending import Timing
from batch_alias.settings import check_database
from tests.support.files import ROOT, SAMPLES
from tests.support.processes import finish

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COMMANDS, EXTRAS = PROJECT["scripts"], PROJECT["optional-dependencies"]
DATABASE = {"BATCH_ALIAS_LEDGER", "PGPASSWORD"}
"""The variables that name a database and the password for it, which is no part of a URL."""
CREDENTIALS = {"RONGCLOUD_APP_KEY", "RONGCLOUD_APP_SECRET"}
TRIED_AGAIN = {ExitCode.LEDGER, ExitCode.INTERRUPTED}
INSTRUCTIONS = {"FROM", "ARG", "COPY", "RUN", "USER", "WORKDIR", "ENTRYPOINT"}


def parse(arguments: Sequence[str], name: str = "run") -> dict[str, object]:
    """The values that a command would get from a command line."""
    named, *rest = arguments
    assert named == name
    # With its parent, whose names of the help flag click keeps in the command for good.
    parent = cli.make_context("batch-alias", list(arguments))
    return cli.commands[name].make_context(name, list(rest), parent=parent).params


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


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((SAMPLES / name).read_text(encoding="utf-8")))


KUBERNETES_JOBS = [documents("kubernetes-job.yaml")[0], documents("kubernetes-workers.yaml")[1]]
jobs_of_kubernetes = pytest.mark.parametrize("job", KUBERNETES_JOBS, ids=["alone", "with workers"])


@jobs_of_kubernetes
def test_the_kubernetes_job_sends_without_a_question(job):
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
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"]


@jobs_of_kubernetes
def test_the_kubernetes_job_fails_for_every_exit_code_that_needs_a_person(job):
    rules = {rule["action"]: rule for rule in job["spec"]["podFailurePolicy"]["rules"]}
    codes = rules["FailJob"]["onExitCodes"]
    assert codes["operator"] == "In"
    assert codes["values"] == sorted(set(ExitCode) - TRIED_AGAIN - {ExitCode.DONE})
    # Kubernetes requires it for a policy on failures.
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_the_workers_of_kubernetes_work_on_the_database_of_the_job(monkeypatch):
    workers, job = documents("kubernetes-workers.yaml")
    assert (workers["apiVersion"], workers["kind"]) == ("apps/v1", "Deployment")
    template = workers["spec"]["template"]
    assert template["metadata"]["labels"] == workers["spec"]["selector"]["matchLabels"]
    pods = [template["spec"], job["spec"]["template"]["spec"]]
    assert all(pod["terminationGracePeriodSeconds"] > Timing().grace for pod in pods)
    (working,), (running,) = (pod["containers"] for pod in pods)
    assert working["envFrom"] == running["envFrom"], "both have the secrets"
    (database,) = working["env"]
    assert running["env"] == [database]
    assert database["name"] in DATABASE
    monkeypatch.setenv(database["name"], database["value"])
    check_database(str(parse(working["args"], "work")["ledger"]))
    assert parse(running["args"])["ledger"] == database["value"]


def test_the_services_of_compose_share_a_database(monkeypatch):
    (compose,) = documents("compose.yaml")
    services = compose["services"]
    database = services.pop("database")
    assert services.keys() == {"init", "workers", "run"}
    for service in services.values():
        assert service["build"] == services["run"]["build"]
        assert service["environment"].keys() == DATABASE | CREDENTIALS | {"RONGCLOUD_REGION"}
        assert [name for name, value in service["environment"].items() if value is None] == [
            "PGPASSWORD",
            "RONGCLOUD_APP_KEY",
            "RONGCLOUD_APP_SECRET",
        ], "they are passed on"
        assert service["depends_on"].keys() <= {"database", "init"}
    build = services["run"]["build"]
    assert (SAMPLES / build["context"] / build["dockerfile"]).is_file()
    assert build["args"] == {"EXTRAS": "[postgres]"}
    assert set(database["volumes"][0].split(":")[:1]) == compose["volumes"].keys()
    url = services["run"]["environment"]["BATCH_ALIAS_LEDGER"]
    assert urlsplit(url).hostname == "database", "the name of the service"
    monkeypatch.setenv("BATCH_ALIAS_LEDGER", url)
    for name, command in (("init", "ledger"), ("workers", "work"), ("run", "run")):
        given = parse(services[name]["command"], command)
        check_database(str(given["ledger"]))
    (mount,) = services["run"]["volumes"]
    assert given["yes"]
    assert given["job"].as_posix().startswith(f"{mount.split(':')[1]}/")


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
