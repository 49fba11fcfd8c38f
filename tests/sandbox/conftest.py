"""A client's half of a request, written without the code under test, and one served sandbox for the whole folder."""

import hashlib
import time
from collections.abc import Iterator
from typing import Protocol

import pytest

from batch_alias.sandbox.app import Sandbox
from batch_alias.sandbox.emulator import Rules
from batch_alias.sandbox.faults import Faults
from batch_alias.sandbox.server import Running, serve

KEY, SECRET = "an-app-key", "its-secret"


class Signed(Protocol):
    def __call__(
        self, key: str = ..., secret: str = ..., *, nonce: str = ..., timestamp: str = ...
    ) -> dict[str, str]: ...


@pytest.fixture(scope="session")
def signed() -> Signed:
    """The headers of a request that is in order; by default of ``KEY`` and ``SECRET``, and of now."""

    def headers(key: str = KEY, secret: str = SECRET, *, nonce: str = "14314", timestamp: str = "") -> dict[str, str]:
        timestamp = timestamp or str(int(time.time() * 1000))
        signature = hashlib.sha1(f"{secret}{nonce}{timestamp}".encode(), usedforsecurity=False).hexdigest()
        return {"app-key": key, "nonce": nonce, "timestamp": timestamp, "signature": signature}

    return headers


@pytest.fixture(scope="session")
def _served() -> Iterator[Running]:
    with serve(Sandbox(Rules(rate=100_000))) as running:
        yield running


@pytest.fixture
def running(_served: Running) -> Iterator[Running]:
    """A served sandbox that behaves until it is told not to. Others use it too: count differences."""
    _served.faults = Faults()
    yield _served
    _served.faults = Faults()
