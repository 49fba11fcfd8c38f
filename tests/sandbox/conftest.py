"""A client's half of a request, written without the code under test."""

import hashlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from batch_alias.sandbox import Sandbox
from batch_alias.sandbox.emulator import Request, parse_form
from tests.support.http import FORM, KEY, SECRET, SET
from tests.support.processes import DEADLINE

NOW = 1_700_000_000.0
"""The server's clock in requests that are made by hand."""


@pytest.fixture(scope="session")
def signed() -> Callable[..., dict[str, str]]:
    """The headers of a valid request; by default of ``KEY`` and ``SECRET``, and of now."""

    def headers(key: str = KEY, secret: str = SECRET, *, nonce: str = "14314", timestamp: str = "") -> dict[str, str]:
        timestamp = timestamp or str(int(time.time() * 1000))
        signature = hashlib.sha1(f"{secret}{nonce}{timestamp}".encode(), usedforsecurity=False).hexdigest()
        return {"app-key": key, "nonce": nonce, "timestamp": timestamp, "signature": signature}

    return headers


@pytest.fixture(scope="session")
def request_for(signed) -> Callable[..., Request]:
    """A valid request of ``KEY`` and ``SECRET``, apart from what is given."""

    def build(body=b"userId=u&groupId=g&remark=r", *, path=SET, at=0.0, without=(), **headers) -> Request:
        given = {
            **signed(timestamp=str(int(NOW * 1000))),
            "content-type": FORM,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        kept = {name: value for name, value in given.items() if name not in without}
        return Request(method="POST", path=path, headers=kept, form=parse_form(body), now=NOW, at=at)

    return build


@pytest.fixture
def client_of() -> Iterator[Callable[[Sandbox], httpx.Client]]:
    """A client of a sandbox, until the end of the test."""
    # Without authorities, which take longer to read than most of the tests.
    options = {"timeout": DEADLINE, "trust_env": False, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
    with ExitStack() as stack:
        yield lambda sandbox: stack.enter_context(httpx.Client(base_url=sandbox.url, **options))


@pytest.fixture
def client(served: Sandbox, client_of) -> httpx.Client:
    return client_of(served)


@pytest.fixture
def post(signed) -> Callable[..., httpx.Response]:
    """Set the alias of a user in group ``g`` through a client."""

    def send(client: httpx.Client, sandbox: Sandbox, user: str, remark: str = "r") -> httpx.Response:
        headers = signed(sandbox.app_key, sandbox.app_secret.reveal())
        return client.post(SET, data={"userId": user, "groupId": "g", "remark": remark}, headers=headers)

    return send


@pytest.fixture
def head(signed) -> Callable[..., bytes]:
    """The head of a request with further header lines, to send by hand; by default a valid set call."""

    def build(sandbox: Sandbox, *lines: str, method: str = "POST", path: str = SET, version: str = "1.1") -> bytes:
        headers = {
            "host": urlsplit(sandbox.url).netloc,
            "content-type": FORM,
            **signed(sandbox.app_key, sandbox.app_secret.reveal()),
        }
        given = [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([f"{method} {path} HTTP/{version}", *given, *lines, "", ""]).encode("latin-1")

    return build


@pytest.fixture
def message(head) -> Callable[..., bytes]:
    """A whole request that sets the alias of a user in group ``g``, to send by hand."""

    def build(sandbox: Sandbox, user: str, *lines: str, **how: str) -> bytes:
        body = urlencode({"userId": user, "groupId": "g", "remark": "r"}).encode()
        return head(sandbox, f"content-length: {len(body)}", *lines, **how) + body

    return build


class Connection(socket.socket):
    """A connection to a sandbox, without HTTP."""

    def read_until(self, end: bytes, times: int = 1) -> bytes:
        """What is received until something has occurred so many times."""
        received = bytearray()
        while received.count(end) < times:
            data = self.recv(65_536)
            assert data, bytes(received)
            received += data
        return bytes(received)

    def read_all(self) -> bytes:
        """What is received until the server closes the connection."""
        return b"".join(iter(lambda: self.recv(65_536), b""))

    def is_cut(self) -> bool:
        """Wait for data or the end; whether it is the end: a reset if the server has not read everything."""
        try:
            return self.recv(1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def connect() -> Iterator[Callable[[Sandbox], Connection]]:
    """Open a connection to a sandbox, until the end of the test."""
    with ExitStack() as stack:

        def open_one(sandbox: Sandbox) -> Connection:
            connection = stack.enter_context(Connection(socket.AF_INET, socket.SOCK_STREAM))
            connection.settimeout(DEADLINE)
            address = urlsplit(sandbox.url)
            connection.connect((address.hostname, address.port))
            return connection

        yield open_one
