"""The sandbox behind a socket: an HTTP/1.1 server that can also drop a connection, hang, or send what is not HTTP."""

import asyncio
import json
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from email.utils import formatdate
from http import HTTPStatus

import h11

from batch_alias.errors import UsageError, reason
from batch_alias.sandbox import Sandbox
from batch_alias.sandbox.emulator import Request, Response, page, parse_form
from batch_alias.sandbox.faults import Effect, NoResponse
from batch_alias.text import N_

BACKLOG = 2048  # connections that may wait to be accepted: a client may open hundreds at once
MAX_BODY = 4 * 1024 * 1024  # bytes
_READ = 64 * 1024  # bytes


class _Connection:
    """One connection, whose requests are answered one after the other."""

    def __init__(self, sandbox: Sandbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sandbox = sandbox
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)
        self._requests = 0
        self._idle_since = time.monotonic()

    async def run(self) -> None:
        counts = self._sandbox.counts
        counts.connections_opened += 1
        counts.connections_open += 1
        try:
            with suppress(OSError):  # The client has left, or was idle for too long.
                while await self._exchange():
                    self._http.start_next_cycle()
                self._writer.close()
                await self._writer.wait_closed()
        finally:
            self._writer.transport.abort()
            counts.connections_open -= 1

    async def _exchange(self) -> bool:
        """Receive a request and respond; whether the connection can carry another."""
        try:
            request = await self._receive()
        except h11.RemoteProtocolError as error:
            await self._send(page(error.error_status_hint, HTTPStatus(error.error_status_hint).phrase))
            return False
        if request is None:
            return False
        response = _own_page(self._sandbox, request.path) or await self._respond(request)
        if response is not None:
            await self._send(response, request)
        return self._http.our_state is h11.DONE

    async def _receive(self) -> Request | None:
        """The next request; ``None`` when the client has closed the connection."""
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        body = bytearray()
        while isinstance(part := await self._event(), h11.Data):
            body += part.data
            if len(body) > MAX_BODY:
                raise h11.RemoteProtocolError("The body is too long.", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return Request(
            method=head.method.decode("ascii"),
            path=head.target.partition(b"?")[0].decode("ascii"),
            headers={name.decode("ascii"): value.decode("latin-1") for name, value in head.headers},
            form=parse_form(bytes(body)),
            now=self._sandbox.now(),
            at=time.monotonic(),
        )

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(self._sandbox.emulator.rules.idle_timeout):
                self._http.receive_data(await self._reader.read(_READ))
        return event

    async def _respond(self, request: Request) -> Response | None:
        """Count a request and carry it out; ``None`` when the connection ends instead of a response."""
        self._requests += 1
        self._sandbox.arrived(request, uses=self._requests, idle=request.at - self._idle_since)
        response = None
        try:
            # A write takes place when its request arrives, and is answered after the latency: a client that gives up
            # in between cannot know of it, as with the real service.
            latency, effect = self._sandbox.handle(request)
            left = latency > 0 and await self._closed_within(latency)
            response = None if left else await self._perform(effect)
        finally:
            self._sandbox.left(request, response)
            self._idle_since = time.monotonic()
        return response

    async def _perform(self, effect: Effect) -> Response | None:
        match effect:
            case Response():
                return effect
            case NoResponse.RESET:
                connection: socket.socket = self._writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case NoResponse.HANG:
                await self._closed_within(None)
            case _:
                for chunk in effect:
                    self._writer.write(chunk)
                    await self._writer.drain()
                    await asyncio.sleep(0)  # Endless ones leave time for other connections.
        return None

    async def _closed_within(self, seconds: float | None) -> bool:
        """Wait, without end if ``None``, while the connection is open; whether the client closed it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while data := await self._reader.read(_READ):
                    self._http.receive_data(data)  # the client's next request
                return True
        return False

    async def _send(self, response: Response, request: Request | None = None) -> None:
        headers = [*response.headers, ("date", formatdate(self._sandbox.now(), usegmt=True))]
        headers.append(("content-length", str(len(response.body))))
        if request is not None and "x-request-id" in request.headers:
            headers.append(("x-request-id", request.headers["x-request-id"]))
        body = b"" if request is not None and request.method == "HEAD" else response.body
        events = h11.Response(status_code=response.status, headers=headers), h11.Data(data=body), h11.EndOfMessage()
        self._writer.write(b"".join(self._http.send(event) for event in events))
        await self._writer.drain()


def _own_page(sandbox: Sandbox, path: str) -> Response | None:
    if path == "/sandbox/stats":
        body, kind = json.dumps(asdict(sandbox.stats())), "application/json"
    elif path == "/sandbox/aliases":
        rows = ({"groupId": key[0], "userId": key[1], "remark": remark} for key, remark in sandbox.aliases().items())
        body, kind = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "application/x-ndjson"
    else:
        return None
    return Response(status=200, body=body.encode(), headers=(("content-type", kind),))


async def _accept(sandbox: Sandbox, listener: socket.socket, stop: asyncio.Event) -> None:
    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_Connection(sandbox, reader, writer).run())
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(connected, sock=listener, backlog=BACKLOG)
    await stop.wait()
    # Closing the server makes asyncio lose, not close, the connections whose acceptance is under way in other tasks.
    while accepting := asyncio.all_tasks() - connections - {asyncio.current_task()}:
        await asyncio.wait(accepting)
    server.close()
    for connection in connections:
        connection.cancel()
    await asyncio.gather(*connections, return_exceptions=True)


@contextmanager
def serve(sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0) -> Iterator[Sandbox]:
    """Serve a sandbox, which then has its ``url``, from a thread for the length of a block.

    At the end of the block all connections are cut. Port 0 takes a free one.

    Raises:
        UsageError: The address cannot be listened on.
    """
    advice = N_("Choose another port, or 0 for a free one.")
    if not 0 <= port <= 65_535:
        raise UsageError("There is no port {port}.", advice, port=port)
    try:
        listener = socket.create_server((host, port), backlog=BACKLOG)
    except OSError as error:
        raise UsageError("The sandbox cannot listen: {reason}.", advice, reason=reason(error)) from error
    sandbox.url = f"http://{host}:{listener.getsockname()[1]}"
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    serving = _accept(sandbox, listener, stop)
    thread = threading.Thread(target=loop.run_until_complete, args=(serving,), name="sandbox", daemon=True)
    thread.start()
    try:
        yield sandbox
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def serve_forever(sandbox: Sandbox, host: str, port: int, ready: Callable[[Sandbox], None]) -> None:
    """Serve a sandbox until SIGINT or SIGTERM, and call ``ready`` once it is served; from the main thread only."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), serve(sandbox, host, port):
        ready(sandbox)
        while True:
            time.sleep(60)
