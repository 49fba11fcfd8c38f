import asyncio
import errno
import os
import socketserver
import threading
import time

from batch_alias.doctor import Finding, diagnose
from batch_alias.sandbox import Rules
from batch_alias.settings import Sending
from batch_alias.settings.target import Secret, Target
from tests.support.faults import Shares, coded
from tests.support.processes import DEADLINE


def examined(target) -> list[Finding]:
    return asyncio.run(diagnose(target, Sending(timeout=DEADLINE)))


def bad(findings: list[Finding]) -> list[str]:
    return [finding.subject for finding in findings if not finding.good]


def test_everything_is_in_order(sandbox, target_of):
    served = sandbox(rules=Rules(max_skew=300))
    found = examined(target_of(served, no_proxy=True))
    assert bad(found) == []
    assert [finding.subject.split()[0] for finding in found] == ["DNS", "TCP", "Signed", "Clock", "Round"]
    assert served.stats().sets == 0


def test_the_sandbox_is_served_to_be_examined():
    found = examined(Target(sandbox=True))
    assert bad(found) == []
    assert found[0].subject == "DNS of 127.0.0.1"


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


def test_a_host_that_does_not_listen_is_named(sandbox, target_of, free_port):
    served = sandbox()
    found = examined(target_of(served, no_proxy=True, url=f"http://127.0.0.1:{free_port()},{served.url}"))
    assert bad(found)[0].startswith("TCP to 127.0.0.1")
    refused = next(finding.detail for finding in found if not finding.good)
    assert refused == os.strerror(errno.ECONNREFUSED)


def test_a_certificate_that_is_not_trusted_comes_with_the_flag_that_helps(sandbox, target_of, tls_for):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        server.socket = tls_for("localhost").wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        found = examined(target_of(sandbox(), url=f"https://localhost:{server.server_address[1]}"))
        server.shutdown()
    assert [subject.split()[0] for subject in bad(found)] == ["TLS", "Signed"]
    assert all("--ca-bundle" in finding.detail for finding in found if not finding.good)


def test_a_host_that_does_not_resolve_comes_with_what_to_check(sandbox, target_of):
    found = examined(target_of(sandbox(), no_proxy=True, url="https://nowhere.invalid"))
    assert bad(found) == ["DNS of nowhere.invalid", "Signed call"]
    assert all("--url" in finding.detail for finding in found)


def test_a_proxy_is_named_and_not_used_for_this_machine(sandbox, target_of, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    elsewhere = target_of(sandbox(), url="http://service.invalid", allow_http=True)
    assert "through a proxy" in examined(elsewhere)[0].detail
    assert bad(examined(target_of(sandbox()))) == []
