"""A proxy in front of PostgreSQL or the sandbox, to cut a process off from it."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from threading import Thread
from urllib.parse import urlsplit, urlunsplit

from psycopg.conninfo import conninfo_to_dict


class Proxy:
    """Forwards connections to a server, over TCP or a Unix socket; its methods may be called from any thread.

    Args:
        url: A database on the server, or that of the sandbox.
    """

    def __init__(self, url: str) -> None:
        self._database = url
        self._loop = asyncio.new_event_loop()
        self._going = asyncio.Event()
        self._going.set()
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The same, through the proxy."""
        parts = urlsplit(self._database)
        user, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}", query=""))

    def stall(self) -> None:
        """Forward nothing, and close nothing, until told to go on."""
        self._do(self._going.clear)

    def go_on(self) -> None:
        """Forward again, at first what was held back."""
        self._do(self._going.set)

    def go_on_with_new_ones(self) -> None:
        """Forward new connections; those that there are stay silent, as when a firewall has forgotten them."""

        def replace() -> None:
            self._going = asyncio.Event()
            self._going.set()

        self._do(replace)

    def cut(self) -> None:
        """Close all connections; new ones are forwarded."""

        def cancel() -> None:
            for connection in self._connections:
                connection.cancel()

        self._do(cancel)

    def _do(self, act: Callable[[], None]) -> None:
        done: Future[None] = Future()
        self._loop.call_soon_threadsafe(lambda: done.set_result(act()))
        done.result()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve in a thread."""
        thread = Thread(target=self._loop.run_forever)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
            try:
                yield
            finally:
                asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._forward(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_server, going = None, self._going
        try:
            await going.wait()
            from_server, to_server = await self._connect()
            both = [
                self._loop.create_task(self._pump(*ends, going))
                for ends in ((reader, to_server), (from_server, writer))
            ]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in both:
                    pump.cancel()
                await asyncio.wait(both)
        except (asyncio.CancelledError, OSError):
            pass  # it is cut
        finally:
            for end in (writer, to_server):
                if end is not None:
                    end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self._database)
        if parts.scheme == "http":
            return await asyncio.open_connection(parts.hostname, parts.port)
        server = conninfo_to_dict(self._database)
        host, port = str(server.get("host", "localhost")), int(server.get("port", 5432))
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, going: asyncio.Event) -> None:
        with suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(65536):
                await going.wait()
                writer.write(data)
                await writer.drain()


@contextmanager
def proxy_to(url: str) -> Iterator[Proxy]:
    """A proxy to the server of a database, or to the sandbox."""
    proxy = Proxy(url)
    with proxy.running():
        yield proxy
