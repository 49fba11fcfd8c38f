"""Which proxy of the environment applies, and attempts through one."""

import asyncio
from collections.abc import Callable

import pytest

from batch_alias.errors import UsageError
from batch_alias.model import Action, Failure
from batch_alias.rongcloud.client import Client
from batch_alias.rongcloud.hosts import proxy_of
from tests.support.http import ENDLESS, OK
from tests.support.processes import DEADLINE

SERVICE = "http://service.example"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def environ(monkeypatch) -> Callable[..., None]:
    """Set the variables of proxies, and no others."""

    def setting(**variables: str) -> None:
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    setting()
    return setting


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, SERVICE, None),
        ({"http_proxy": "http://proxy:1"}, SERVICE, "http://proxy:1"),
        ({"HTTP_PROXY": "proxy:1"}, SERVICE, "http://proxy:1"),
        ({"http_proxy": "http://proxy:1"}, "https://service.example", None),
        ({"https_proxy": "http://proxy:1"}, "https://service.example", "http://proxy:1"),
        ({"all_proxy": "http://all:1"}, SERVICE, "http://all:1"),
        ({"all_proxy": "http://all:1", "http_proxy": "http://proxy:1"}, SERVICE, "http://proxy:1"),
        ({"http_proxy": "http://proxy:1", "no_proxy": "other.example,service.example"}, SERVICE, None),
        ({"http_proxy": "http://proxy:1", "no_proxy": ".example"}, f"{SERVICE}:8080", None),
        ({"http_proxy": "http://proxy:1", "no_proxy": "vice.example"}, SERVICE, "http://proxy:1"),
        ({"http_proxy": "http://proxy:1", "no_proxy": "*"}, SERVICE, None),
    ],
)
def test_the_proxy_of_the_environment_for_a_url(variables, url, proxy, environ):
    environ(**variables)
    assert proxy_of(url) == proxy


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "[::1]"])
def test_no_proxy_is_given_a_call_to_this_machine(host, environ):
    environ(http_proxy="http://proxy:1", https_proxy="http://proxy:1", all_proxy="http://proxy:1")
    assert proxy_of(f"http://{host}:8080/api") is None
    assert proxy_of(f"https://{host}") is None


@pytest.mark.parametrize("no_proxy", [False, True])
def test_a_proxy_that_is_to_be_ignored_does_not_apply(no_proxy, environ, target):
    environ(http_proxy="http://proxy:1")
    client = Client(target(SERVICE, allow_http=True, no_proxy=no_proxy), timeout=DEADLINE)
    assert client.proxies[SERVICE] == (None if no_proxy else "http://proxy:1")


@pytest.fixture
def through(scripted, environ, target, attempts_on):
    """Make attempts on one connection through a scripted proxy; the proxy and the last response."""

    def run(respond, *, url: str = SERVICE, times: int = 1):
        async def attempts():
            async with scripted(respond) as proxy:
                environ(http_proxy=proxy.url, https_proxy=proxy.url)
                client = Client(target(url, allow_http=True), timeout=DEADLINE)
                return proxy, await attempts_on(client, times)

        return asyncio.run(attempts())

    return run


def test_attempts_go_through_the_proxy_on_one_connection_for_79_requests(through):
    proxy, response = through(lambda _head: OK, times=80)
    assert (response.code, response.host) == (200, "service.example")
    assert [len(heads) for heads in proxy.connections] == [79, 1]
    assert proxy.requests[0].startswith(b"POST http://service.example/group/remarks/set.json HTTP/1.1\r\n")
    assert b"\r\nHost: service.example\r\n" in proxy.requests[0]


def test_an_endless_body_through_a_proxy_is_read_within_bounds(through):
    proxy, response = through(lambda _head: ENDLESS, times=2)
    assert (response.status, response.code, response.classification.action) == (200, None, Action.RETRY)
    assert len(proxy.connections) == 2


@pytest.mark.parametrize("url", [SERVICE, "https://service.example"])
def test_a_proxy_that_asks_for_a_password_is_not_taken_for_the_service(url, through):
    _proxy, response = through(
        lambda _head: b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", url=url
    )
    classification = response.classification
    assert response.failure is (None if url == SERVICE else Failure.PROXY)
    assert (classification.action, classification.misconfigured, classification.in_doubt) == (Action.RETRY, True, False)
    assert "--no-proxy" in classification.advice


@pytest.mark.parametrize("proxy", ["foo://proxy:1", "socks5://user:password@proxy:1", "http://proxy:port"])
def test_a_proxy_that_cannot_be_used_is_a_usage_error_that_does_not_show_its_password(proxy, environ, target):
    environ(all_proxy=proxy)
    with pytest.raises(UsageError, match="--no-proxy") as raised:
        Client(target(SERVICE, allow_http=True), timeout=DEADLINE)
    assert "password" not in str(raised.value)
    assert Client(target(SERVICE, allow_http=True, no_proxy=True), timeout=DEADLINE)
