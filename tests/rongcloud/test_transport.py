"""One connection over asyncio and h11: responses in any pieces, when it is used again, and what ends it."""

import asyncio
import contextlib
import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import Callable

import httpx
import pytest
import trustme
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from batch_alias.rongcloud.transport import Resolver, StreamTransport

BODY = b'{"code":200}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + BODY
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" + BODY[:5] + b"\r\n7;note=1\r\n" + BODY[5:] + b"\r\n"
    b"0\r\nTrailer: yes\r\n\r\n"
)
WITHOUT_LENGTH = b"HTTP/1.0 200 OK\r\n\r\n" + BODY
EARLY_HINTS = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
DEADLINE = 60.0


class Server:
    """Answers each request on each connection with pieces of bytes, and keeps what it receives."""

    def __init__(self, *scripts: list[bytes | None]) -> None:
        self._scripts = list(scripts)
        self.received: list[list[bytes]] = []
        self.closed: list[asyncio.Event] = []
        self.writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        script, heads, closed = self._scripts.pop(0), [], asyncio.Event()
        self.received.append(heads)
        self.closed.append(closed)
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            for answer in script:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                await reader.readexactly(len(b"body"))
                for piece in answer if isinstance(answer, list) else [answer]:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
            if script and script[-1] is not None and not script[-1]:
                return
            await reader.read()
        closed.set()
        writer.close()
