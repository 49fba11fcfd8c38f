"""The library does what the command line does, and returns what it found."""

import asyncio
from pathlib import Path

import pytest

import batch_alias
from batch_alias import (
    LedgerError,
    Reading,
    Secret,
    Settings,
    SourceError,
    Target,
    UsageError,
    check_source,
    run_job,
    write_job_reports,
)
from tests.support.processes import run_python

ON_THE_SANDBOX = Target(sandbox=True)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "names.csv"
    rows = [f"u{n},g,name {n}" for n in range(20)]
    path.write_text("\n".join(["who,groupId,remark", *rows, "u3,g,later"]) + "\n", encoding="utf-8")
    return Settings(source=path, job=tmp_path / "job", target=ON_THE_SANDBOX, reading=Reading(user_column="who"))


def test_a_job_is_run_on_the_sandbox_and_summed_up(settings):
    summary = asyncio.run(run_job(settings))
    states = {state: number for state, number in summary.states.items() if number}
    assert states == {"superseded": 1, "accepted": 20}
    assert (summary.exit_code, summary.stopped, summary.rows) == (0, "", 21)
    assert summary.busiest_second <= 100
    (settings.job_folder / "results.csv").unlink()
    assert write_job_reports(settings.job_folder).states == summary.states
    assert (settings.job_folder / "results.csv").is_file()


def test_a_source_is_checked_and_nothing_is_left_behind(settings):
    found = asyncio.run(check_source(settings))
    assert (found.counts.pending, found.counts.superseded, found.users, found.groups) == (20, 1, 20, 1)
    assert found.exit_code == 0
    assert not settings.job_folder.exists()


def test_what_cannot_be_done_is_an_exception(settings, tmp_path):
    with pytest.raises(UsageError):
        asyncio.run(run_job(Settings(source=settings.source)))
    with pytest.raises(SourceError):
        asyncio.run(check_source(Settings(source=tmp_path / "missing.csv")))
    with pytest.raises(LedgerError):
        asyncio.run(run_job(Settings(job=tmp_path / "missing", target=ON_THE_SANDBOX)))


def test_every_public_name_can_be_imported():
    for name in batch_alias.__all__:
        assert getattr(batch_alias, name)
    with pytest.raises(AttributeError, match="nonsense"):
        batch_alias.nonsense  # noqa: B018 - looking it up is what is tested


def test_every_error_is_public():
    from batch_alias import errors

    raised = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert raised <= set(batch_alias.__all__)


@pytest.mark.slow
def test_importing_it_imports_nothing_heavy():
    code = (
        "import sys, batch_alias; batch_alias.Settings; print({'pandas', 'httpx', 'h11', 'click'} & set(sys.modules))"
    )
    assert run_python(code) == (0, "set()\n", "")


def test_the_secret_is_not_shown(settings_for, sandbox):
    served = sandbox()
    settings = settings_for(Path("rows.csv"), served)
    assert isinstance(settings.target.app_secret, Secret)
    assert served.app_secret.reveal() not in f"{settings!r} {settings}"


def test_a_client_that_cannot_be_made_is_an_error_before_anything_is_staged(
    sandbox, settings_for, write_csv, target_of
):
    served = sandbox()
    settings = settings_for(write_csv(5), served, target=target_of(served, ca_bundle=Path("missing.pem")))
    with pytest.raises(UsageError, match=r"missing\.pem"):
        asyncio.run(run_job(settings))
    assert not settings.job_folder.exists()
