import asyncio
import time

from batch_alias.doctor import Finding, diagnose
from batch_alias.sandbox import Rules, Sandbox
from batch_alias.sandbox.server import serve
from batch_alias.settings import Sending
from batch_alias.settings.target import Secret
from tests.support.faults import Shares, coded


def examined(target) -> list[Finding]:
    return asyncio.run(diagnose(target, Sending(timeout=60)))


def bad(findings: list[Finding]) -> list[str]:
    return [finding.subject for finding in findings if not finding.good]


def test_everything_is_in_order(sandbox, target_of):
    served = sandbox(rules=Rules(max_skew=300))
    found = examined(target_of(served, no_proxy=True))
    assert bad(found) == []
    assert [finding.subject.split()[0] for finding in found] == ["DNS", "TCP", "Signed", "Clock", "Round"]
    assert served.stats().sets == 0


def test_a_wrong_secret_names_the_setting_to_check(sandbox, target_of):
    found = examined(target_of(sandbox(), no_proxy=True, app_secret=Secret("not-the-secret")))
    assert bad(found) == ["Signed call"]
    assert "RONGCLOUD_APP_SECRET" in " ".join(finding.detail for finding in found)
    assert "not-the-secret" not in repr(found)


def test_a_wrong_clock_is_named(sandbox, target_of):
    served = sandbox(rules=Rules(max_skew=300), now=lambda: time.time() + 3600)
    found = examined(target_of(served, no_proxy=True))
    assert set(bad(found)) == {"Signed call", "Clock"}
    (clock,) = [finding.detail for finding in found if finding.subject == "Clock"]
    assert "ahead of this machine's" in clock


def test_a_service_that_is_not_enabled_is_named(sandbox, target_of):
    found = examined(target_of(sandbox(Shares({coded(1009): 1.0})), no_proxy=True))
    assert bad(found) == ["Signed call"]
    assert "not enabled" in " ".join(finding.detail for finding in found)


def test_a_host_that_does_not_listen_is_named(sandbox, target_of):
    with serve(Sandbox()) as gone:
        url = gone.url
    served = sandbox()
    found = examined(target_of(served, no_proxy=True, url=f"{url},{served.url}"))
    assert bad(found)[0].startswith("TCP to 127.0.0.1")
