"""The server's end of one connection: counted exactly, and able to be dropped in mid-request."""

import asyncio
import socket
import struct
from contextlib import suppress

from uvicorn.protocols.http.h11_impl import H11Protocol

from batch_alias.sandbox.traffic import Traffic

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Link:
    """What a request's handler may do to the connection it came on.

    An ASGI server gives its application no way to break a connection, and answers HTTP 500 when the application returns
    without an answer. So the protocol below hands its transport to the handler.

    Args:
        transport: The connection; ``None`` when the application is called in-process and there is none.

    Attributes:
        lost: Set once the connection is gone, whoever ended it.
        requests: Requests that arrived on it.
        answered_at: A monotonic reading, in seconds, of its last answer; ``None`` before the first.
    """

    def __init__(self, transport: asyncio.Transport | None = None) -> None:
        self.lost = asyncio.Event()
        self.requests = 0
        self.answered_at: float | None = None
        self._transport = transport

    async def lost_within(self, seconds: float) -> bool:
        """Wait, but not longer than the connection lasts; whether it is gone."""
        if seconds > 0 and not self.lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.lost.wait()
        return self.lost.is_set()

    @property
    def connected(self) -> bool:
        """Whether there is a connection, or was one: not when the application is called in-process."""
        return self._transport is not None

    def require(self) -> asyncio.Transport:
        """The connection.

        Raises:
            ConnectionResetError: There is none: the nearest thing to a broken connection for an in-process caller.
        """
        if self._transport is None:
            raise ConnectionResetError("The sandbox broke off the request.")
        return self._transport

    async def drop(self, *, reset: bool) -> None:
        """End the connection without an answer, by a TCP reset or in order, and wait until it is gone."""
        transport = self.require()
        end: socket.socket | None = transport.get_extra_info("socket")
        if reset and end is not None:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
        await self.lost.wait()

    async def finish(self, data: bytes) -> None:
        """Send bytes past the server's HTTP, close the connection, and wait until it is gone."""
        transport = self.require()
        transport.write(data)
        transport.close()
        await self.lost.wait()


class CountedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol that reports its connection to the traffic and hands its link to each request.

    The traffic comes in, and the link goes out, by the ASGI state: ``traffic`` and ``link``.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the parent has it
        """Count the connection."""
        super().connection_made(transport)
        self._traffic: Traffic = self.app_state["traffic"]
        self._link = Link(transport)
        self.app_state = {**self.app_state, "link": self._link}
        self._traffic.connected()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection's end, and wake the request that is under way on it."""
        super().connection_lost(exc)
        self._traffic.disconnected()
        self._link.lost.set()
