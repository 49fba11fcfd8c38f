"""The sandbox behind a socket: for the length of a block, or until it is told to stop."""

import asyncio
import os
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from batch_alias.errors import UsageError
from batch_alias.sandbox.app import Sandbox, app
from batch_alias.sandbox.connection import CountedProtocol
from batch_alias.sandbox.emulator import Write
from batch_alias.sandbox.exchange import Key
from batch_alias.sandbox.faults import Faults
from batch_alias.sandbox.traffic import Stats
from batch_alias.settings import Secret

BACKLOG = 2048
"""Connections that may wait to be accepted; a client at full width opens hundreds at once."""
KEEP_ALIVE = 75
"""Seconds after which an idle connection is closed: above the 55 s that RongCloud asks its clients to keep under."""
STOP_WITHIN = 10.0
"""Seconds a stop may take before the server's thread is left to die with the process."""


class Running:
    """A sandbox that is being served.

    Args:
        sandbox: What is served.
        url: Where, without a path.
    """

    def __init__(self, sandbox: Sandbox, url: str) -> None:
        self.sandbox = sandbox
        self.url = url

    @property
    def app_key(self) -> str:
        """Its App Key."""
        return self.sandbox.app_key

    @property
    def app_secret(self) -> Secret:
        """Its App Secret."""
        return self.sandbox.app_secret

    @property
    def faults(self) -> Faults:
        """How it misbehaves; may be set at any time, see ``Sandbox.faults``."""
        return self.sandbox.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self.sandbox.faults = faults

    def stats(self) -> Stats:
        """What it saw up to now."""
        return self.sandbox.stats()

    def aliases(self) -> dict[Key, str]:
        """A copy of the aliases held: ``(group_id, user_id)`` to remark."""
        return self.sandbox.aliases()

    def writes(self) -> list[Write]:
        """Every accepted set and clear in order; empty unless the rules say ``keep_writes``."""
        return self.sandbox.writes()


class _Server(uvicorn.Server):
    """uvicorn that says when it listens, and stops at once, whatever still hangs."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            self.settled.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.settled.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        # One turn of the loop, so that the handlers learn that their connections are gone.
        await asyncio.sleep(0)
        await super().shutdown(sockets)


@contextmanager
def serve(
    sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0, *, keep_alive: int = KEEP_ALIVE
) -> Iterator[Running]:
    """Serve a sandbox from a thread for the length of a block.

    Args:
        sandbox: What is served.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        keep_alive: Seconds after which an idle connection is closed.

    Yields:
        The sandbox with its URL. At the end of the block connections are cut, hanging requests with them.

    Raises:
        UsageError: The address cannot be listened on.
    """
    listener = _listen(host, port)
    config = uvicorn.Config(
        app(sandbox),
        loop="asyncio",
        http=CountedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=keep_alive,
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="sandbox", daemon=True)
    thread.start()
    server.settled.wait()
    if not server.started:
        raise RuntimeError("The sandbox did not start.")
    name = f"[{host}]" if ":" in host else host
    try:
        yield Running(sandbox, f"http://{name}:{listener.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join(STOP_WITHIN)


def serve_forever(sandbox: Sandbox, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve a sandbox until SIGINT or SIGTERM; from the main thread only.

    Args:
        sandbox: What is served.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        ready: Called with the URL once it listens.

    Raises:
        UsageError: The address cannot be listened on.
    """
    # Of all that one thread can wait for, this queue alone may be filled from a signal handler.
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()
    before = {
        number: signal.signal(number, lambda number, _: signals.put(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with serve(sandbox, host, port) as running:
            ready(running.url)
            signals.get()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named since asyncio turns Nagle's algorithm off only on such a socket. With it an answer, written
    # as head and body, waits 40 ms for the client's acknowledgement: 182 requests a second instead of 5,400.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere the option would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise UsageError(
            f"The sandbox cannot listen on {host} port {port}: {error}.", "Choose another port, or 0 for a free one."
        ) from error
    return listener
