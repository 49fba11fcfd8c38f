"""The library does what the command line does, and returns what it found."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

import batch_alias
from batch_alias import Reading, Secret, Service, Settings, check_source, region_urls, run_job
from batch_alias.errors import LedgerError, SourceError, UsageError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "names.csv"
    rows = [f"u{n},g,name {n}" for n in range(20)]
    path.write_text("\n".join(["who,groupId,remark", *rows, "u3,g,later"]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def settings(source, tmp_path) -> Settings:
    return Settings(source=source, job=tmp_path / "job", sandbox=True, rate=100, reading=Reading(user_column="who"))


def test_a_job_is_run_on_the_sandbox_and_summed_up(settings):
    summary = asyncio.run(run_job(settings))
    assert summary.states == {
        "rejected": 0,
        "superseded": 1,
        "pending": 0,
        "accepted": 20,
        "failed": 0,
        "unknown": 0,
    }
    assert (summary.exit_code, summary.stopped, summary.requests, summary.rows) == (0, "", 20, 21)
    assert summary.busiest_second <= 100
    assert settings.job_folder.joinpath("results.csv").is_file()


def test_a_source_is_checked_and_nothing_stays_behind(settings):
    found = asyncio.run(check_source(settings))
    assert (found.tally.pending, found.tally.superseded, found.users, found.groups) == (20, 1, 20, 1)
    assert found.exit_code == 0
    assert not settings.job_folder.exists()


def test_it_says_by_exceptions_why_it_cannot(settings, source, tmp_path):
    with pytest.raises(UsageError):
        asyncio.run(run_job(Settings(source=source)))
    with pytest.raises(SourceError):
        asyncio.run(check_source(Settings(source=tmp_path / "missing.csv")))
    with pytest.raises(LedgerError):
        asyncio.run(run_job(Settings(job=tmp_path / "missing", sandbox=True)))


def test_what_a_watcher_is_told(settings):
    class Watcher:
        def __init__(self) -> None:
            self.told: list[object] = []

        def sending(self, run, plan) -> None:
            self.told.append((plan.to_send, run.progress().accepted))

        def event(self, event) -> None:
            self.told.append(event)

        def sent(self) -> None:
            self.told.append("sent")

    watcher = Watcher()
    asyncio.run(run_job(settings, watcher=watcher))
    assert watcher.told == [(20, 0), "sent"]


def test_every_public_name_is_there():
    for name in batch_alias.__all__:
        assert getattr(batch_alias, name)
    with pytest.raises(AttributeError, match="nonsense"):
        batch_alias.nonsense  # noqa: B018 - looking it up is what is tested
    service = Service(urls=region_urls("beijing"), app_key="key", app_secret=Secret("secret"))
    assert "secret" not in repr(service).replace("app_secret", "").replace("Secret(…)", "")


def test_importing_it_is_instant():
    code = "import sys, batch_alias; batch_alias.Settings; print({'pandas', 'httpx', 'starlette'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"
