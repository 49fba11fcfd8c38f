"""The doctor makes signed read calls and changes nothing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_alias.doctor import Diagnosis, examine
from batch_alias.errors import ExitCode
from batch_alias.sandbox.app import Sandbox
from batch_alias.sandbox.emulator import Rules
from batch_alias.sandbox.faults import Faults, Forced
from batch_alias.sandbox.server import Running, serve
from batch_alias.settings import Secret, Service, Settings


@pytest.fixture
def rongcloud() -> Iterator[Running]:
    with serve(Sandbox(Rules(max_skew=300))) as running:
        yield running


def diagnose(*urls: str, key: str, secret: Secret) -> Diagnosis:
    service = Service(urls=urls, app_key=key, app_secret=secret)
    return asyncio.run(examine(Settings(job=Path("unused"), service=service, timeout=5, proxies=False)))


def bad(diagnosis: Diagnosis) -> list[str]:
    return [finding.what for finding in diagnosis.findings if not finding.good]


def test_all_is_in_order(rongcloud: Running) -> None:
    found = diagnose(rongcloud.url, key=rongcloud.app_key, secret=rongcloud.app_secret)
    assert bad(found) == []
    assert found.exit_code is ExitCode.DONE
    assert [finding.what.split()[0] for finding in found.findings] == ["DNS", "TCP", "Signed", "Clock", "Round"]
    assert rongcloud.stats().sets == 0


def test_a_wrong_secret_is_told_with_the_setting_to_look_at(rongcloud: Running) -> None:
    found = diagnose(rongcloud.url, key=rongcloud.app_key, secret=Secret("not-the-secret"))
    assert bad(found) == ["Signed call"]
    assert found.exit_code is ExitCode.STOPPED
    assert "RONGCLOUD_APP_SECRET" in " ".join(finding.detail for finding in found.findings)
    assert "not-the-secret" not in repr(found)


def test_a_clock_that_is_off_is_told(rongcloud: Running) -> None:
    rongcloud.faults = Faults(clock_offset=3600)
    found = diagnose(rongcloud.url, key=rongcloud.app_key, secret=rongcloud.app_secret)
    assert set(bad(found)) == {"Signed call", "Clock"}
    assert "3600 s ahead" in found.findings[-1].detail or "3599 s ahead" in found.findings[-1].detail


def test_a_service_that_is_not_enabled_is_told(rongcloud: Running) -> None:
    rongcloud.faults = Faults(forced=Forced(code=1009))
    found = diagnose(rongcloud.url, key=rongcloud.app_key, secret=rongcloud.app_secret)
    assert bad(found) == ["Signed call"]


def test_a_host_that_nobody_listens_on_is_told(rongcloud: Running) -> None:
    with serve(Sandbox()) as gone:
        url = gone.url
    found = diagnose(url, rongcloud.url, key=rongcloud.app_key, secret=rongcloud.app_secret)
    assert bad(found)[0].startswith("TCP to 127.0.0.1")
    assert found.exit_code is ExitCode.STOPPED
