"""The sandbox behind a socket: an HTTP/1.1 server that can also drop a connection, hang, or send what is not HTTP."""

import asyncio
import json
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from email.utils import formatdate
from http import HTTPStatus
from typing import assert_never

import h11

from batch_alias.errors import UsageError
from batch_alias.sandbox.faults import Drop, Effect, Hang, Raw
from batch_alias.sandbox.messages import Request, Response, page
from batch_alias.sandbox.sandbox import NO_ANSWER, Sandbox

BACKLOG = 2048  # connections that may wait to be accepted: a client may open hundreds at once
MAX_HEAD = 64 * 1024  # bytes
MAX_BODY = 4 * 1024 * 1024  # bytes
MAX_AHEAD = 1024 * 1024  # bytes that a client may send before its last request is answered
LINGER = 5.0  # seconds in which the rest of a rejected request is received
CHUNK_PAUSE = 0.01  # seconds between two chunks of raw bytes: endless ones leave time for other connections
STOP_TIMEOUT = 30.0  # seconds after which a server that does not stop is left to end with the process
SIGNAL_CHECK = 0.1  # seconds; a longer wait could not be interrupted on Windows

_READ = 64 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class _Connection:
    """One connection, whose requests are answered one after the other.

    The client closing it, and the server aborting it on a stop, both appear as the end of the stream, or as an
    ``OSError``, in whatever is being awaited.
    """

    def __init__(self, sandbox: Sandbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sandbox = sandbox
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, MAX_HEAD)
        self._requests = 0
        self._ahead = 0  # bytes received since the last request
        self._answered_at: float | None = None

    async def run(self) -> None:
        stats = self._sandbox.counters.stats
        stats.connections_opened += 1
        stats.connections_open += 1
        try:
            with suppress(OSError):
                while await self._exchange():
                    self._http.start_next_cycle()
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()
        finally:
            self._writer.transport.abort()
            stats.connections_open -= 1

    async def _exchange(self) -> bool:
        """Receive a request and respond; whether the connection can carry another."""
        try:
            request = await self._receive()
        except h11.RemoteProtocolError as error:
            await self._reject(error.error_status_hint)
            return False
        if request is None:
            return False
        response = _own_page(self._sandbox, request.path) or await self._respond(request)
        if response is None:
            return False
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
            body=bytes(body),
            now=self._sandbox.now(),
            at=time.monotonic(),
        )

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                self._writer.write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))
            async with asyncio.timeout(self._sandbox.emulator.rules.idle_timeout):
                self._http.receive_data(await self._reader.read(_READ))
        return event

    async def _reject(self, status: int) -> None:
        """Respond to what cannot be read as a request, and end the connection."""
        response = page(status, _PHRASES[status])
        await self._send(replace(response, headers=(*response.headers, ("connection", "close"))))
        # Closing a connection before all of it is read resets it, and the client may lose the response.
        self._writer.write_eof()
        async with asyncio.timeout(LINGER):
            while await self._reader.read(_READ):
                pass

    async def _respond(self, request: Request) -> Response | None:
        """Count a request and carry it out; ``None`` when the connection ends instead of a response."""
        counters = self._sandbox.counters
        idle = 0.0 if self._answered_at is None else request.at - self._answered_at
        self._requests += 1
        self._ahead = 0
        counters.arrived(request.at, request.key, uses=self._requests, idle=idle)
        try:
            # A write takes place when its request arrives, and is answered after the latency: a client that gives up
            # in between cannot know of it, as with the real service.
            latency, effect = self._sandbox.handle(request)
            gone = await self._gone_within(latency)
            counters.answered(effect.label if isinstance(effect, Response) and not gone else NO_ANSWER)
            return None if gone else await self._perform(effect)
        finally:
            counters.left(request.key)
            self._answered_at = time.monotonic()

    async def _perform(self, effect: Effect) -> Response | None:
        match effect:
            case Response():
                return effect
            case Drop(reset=reset):
                if reset:
                    connection: socket.socket = self._writer.get_extra_info("socket")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            case Hang():
                await self._gone_within(None)
            case Raw(chunks=chunks):
                for chunk in chunks:
                    self._writer.write(chunk)
                    await self._writer.drain()
                    if await self._gone_within(CHUNK_PAUSE):
                        break
            case _:
                assert_never(effect)
        return None

    async def _gone_within(self, seconds: float | None) -> bool:
        """Wait, without end if ``None``, while the connection is open; whether it was closed."""
        if seconds is not None and seconds <= 0:
            return False
        try:
            async with asyncio.timeout(seconds):
                while self._ahead <= MAX_AHEAD and (data := await self._reader.read(_READ)):
                    self._http.receive_data(data)
                    self._ahead += len(data)
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    async def _send(self, response: Response, request: Request | None = None) -> None:
        headers = [
            *response.headers,
            ("content-length", str(len(response.body))),
            ("date", formatdate(self._sandbox.now(), usegmt=True)),
        ]
        if request is not None and "x-request-id" in request.headers:
            headers.append(("x-request-id", request.headers["x-request-id"]))
        head = h11.Response(
            status_code=response.status,
            headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in headers],
            reason=_PHRASES.get(response.status, ""),
        )
        data = self._http.send(head)
        if request is None or request.method != "HEAD":
            data += self._http.send(h11.Data(data=response.body))
        self._writer.write(data + self._http.send(h11.EndOfMessage()))
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
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_Connection(sandbox, reader, writer).run())
        connections[task] = writer
        task.add_done_callback(connections.pop)

    server = await asyncio.start_server(connected, sock=listener, backlog=BACKLOG)
    await stop.wait()
    # Closing the server makes asyncio lose, not close, the connections whose acceptance is under way in other tasks.
    while accepting := asyncio.all_tasks() - connections.keys() - {asyncio.current_task()}:
        await asyncio.wait(accepting)
    server.close()
    for writer in connections.values():
        writer.transport.abort()
    if connections:
        await asyncio.wait(connections)


@contextmanager
def serve(sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0) -> Iterator[Sandbox]:
    """Serve a sandbox, which then has its ``url``, from a thread for the length of a block.

    At the end of the block all connections are cut. Port 0 takes a free one.

    Raises:
        UsageError: The address cannot be listened on.
    """
    listener = _listen(host, port)
    name = f"[{host}]" if ":" in host else host
    sandbox.url = f"http://{name}:{listener.getsockname()[1]}"
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(_accept(sandbox, listener, stop))

    thread = threading.Thread(target=run, name="sandbox", daemon=True)
    thread.start()
    try:
        yield sandbox
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(STOP_TIMEOUT)


def serve_forever(sandbox: Sandbox, host: str, port: int, ready: Callable[[Sandbox], None]) -> None:
    """Serve a sandbox, as ``serve`` does, until SIGINT or SIGTERM; from the main thread only.

    ``ready`` is called once it is served.
    """
    signals: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _: signals.append(number)) for number in numbers}
    try:
        with serve(sandbox, host, port):
            ready(sandbox)
            while not signals:
                time.sleep(SIGNAL_CHECK)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY on a connection only if the protocol is named; it inherits that from the listener.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere the option would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        problem = "The sandbox cannot listen on {host} port {port}: {error}."
        advice = "Choose another port, or 0 for a free one."
        raise UsageError(problem, advice, host=host, port=port, error=error) from error
    return listener
