"""Secret, signature and nonce stay between client and server, and a signed request goes to no other host."""

import socket
import socketserver
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, cycle, repeat

import pytest

from batch_alias.errors import ExitCode, UsageError
from batch_alias.model import State
from batch_alias.sandbox.emulator import READ
from batch_alias.sandbox.faults import UNAVAILABLE
from tests.support.faults import Script


@dataclass(frozen=True)
class Request:
    """A request as the server received it."""

    line: str
    headers: dict[str, str]
    body: bytes


class ForeignServer(socketserver.ThreadingTCPServer):
    """A server that is not RongCloud's: it keeps each request and responds with the bytes made from it."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, respond: Callable[[Request], bytes], tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.respond = respond
        self.requests: list[Request] = []
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}"
        self._tls = tls

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True)
        return connection, address

    def handle_error(self, *_: object) -> None:
        """Ignore a client that has closed its connection."""


class _Handler(socketserver.StreamRequestHandler):
    server: ForeignServer

    def handle(self) -> None:
        line = self.rfile.readline().decode("latin-1").strip()
        headers = {}
        while field := self.rfile.readline().decode("latin-1").strip():
            name, _, value = field.partition(":")
            headers[name.lower()] = value.strip()
        request = Request(line, headers, self.rfile.read(int(headers.get("content-length", 0))))
        self.server.requests.append(request)
        self.wfile.write(self.server.respond(request))


def http(body: bytes, status: str, *fields: str) -> bytes:
    """The bytes of an HTTP response after which the connection ends."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *fields, "", ""]
    return "\r\n".join(head).encode("latin-1") + body


def accept(_request: Request) -> bytes:
    return http(b'{"code":200}', "200 OK")


@pytest.fixture
def foreign_server() -> Iterator[Callable[..., ForeignServer]]:
    with ExitStack() as stack:

        def start(respond: Callable[[Request], bytes] = accept, tls: ssl.SSLContext | None = None) -> ForeignServer:
            server = stack.enter_context(ForeignServer(respond, tls))
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            return server

        yield start


def echo_in_page(request: Request) -> bytes:
    return http(f"<html>{request.headers}</html>".encode(), "400 Bad Request")


def echo_in_message(request: Request) -> bytes:
    text = "; ".join(f"{name}: {value}" for name, value in request.headers.items())
    return http(f'{{"code":1005,"errorMessage":"{text}"}}'.encode(), "400 Bad Request")


def echo_in_location(request: Request) -> bytes:
    location = f"Location: http://127.0.0.1:9/?{request.headers['signature']}&{request.headers['nonce']}"
    return http(b"", "302 Found", location)


def echo_in_status_line(request: Request) -> bytes:
    return f"{request.headers['signature']} {request.headers['nonce']}\r\n\r\n".encode()


def echo_in_broken_header(request: Request) -> bytes:
    return http(b"x", "500 Oh", f"{request.headers['signature']} no colon")


ECHOES = [echo_in_page, echo_in_message, echo_in_location, echo_in_status_line, echo_in_broken_header]


def test_a_server_that_echoes_requests_gets_no_secret_into_a_file_or_an_output(
    command, foreign_server, write_csv, results, tmp_path
):
    secret = "the-secret-itself"
    to_writes = chain([accept], cycle(ECHOES))
    # The last one refuses to read a row, so that those in doubt are not read until the service works again.
    to_reads = chain(ECHOES, repeat(echo_in_message))
    server = foreign_server(lambda request: next(to_reads if READ in request.line else to_writes)(request))
    variables = {"RONGCLOUD_URL": server.url, "RONGCLOUD_APP_KEY": "the-key", "RONGCLOUD_APP_SECRET": secret}
    arguments = ("--attempts", 1, "--max-failed", "100%", "--json", "--verbose")
    written_to = ("--job", "job", "--log", "attempts.log")
    ended = command("run", write_csv(10), *written_to, *arguments, **variables).end()
    assert ended.code == ExitCode.NOT_ALL_ACCEPTED, ended.err
    rows = results().rows
    assert {row["state"] for row in rows} == {State.ACCEPTED, State.FAILED, State.UNKNOWN}
    assert all("***" in row["message"] for row in rows if row["state"] != State.ACCEPTED)
    hidden = {secret} | {request.headers[name] for request in server.requests for name in ("signature", "nonce")}
    assert len(hidden) == 1 + 2 * len(server.requests)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for word in hidden:
        assert word.encode() not in written
        assert word not in ended.out + ended.err


def test_a_traceback_with_local_variables_does_not_show_the_secret(run, settings_for, write_csv, sandbox):
    served = sandbox(Script(lambda number: UNAVAILABLE if number < 2 else None))

    def fail(_job, _event):
        raise RuntimeError("the observer fails")

    with pytest.raises(RuntimeError) as caught:
        run(settings_for(write_csv(3), served), observer=fail)
    frames = traceback.StackSummary.extract(traceback.walk_tb(caught.tb), capture_locals=True)
    shown = "".join(traceback.StackSummary.from_list(frames).format())
    assert "app_secret=Secret(…)" in shown
    assert served.app_secret.reveal() not in shown


def test_a_redirect_is_never_followed(run, sandbox, foreign_server, settings_for, write_csv, target_of, until):
    elsewhere = foreign_server()
    statuses = ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
    location = f"Location: {elsewhere.url}/group/remarks/set.json"
    redirects = cycle([http(b"", status, location) for status in statuses])
    first = foreign_server(lambda _request: next(redirects))

    def stop(job):
        until(lambda: len(first.requests) >= len(statuses))
        job.stop()

    settings = settings_for(write_csv(3), sandbox(), target=target_of(sandbox(), url=first.url))
    summary = run(settings, beside=stop)
    assert (summary.exit_code, summary.states["accepted"]) == (ExitCode.INTERRUPTED, 0)
    assert {code for code in summary.codes if code != "HTTP 301"} >= {"HTTP 302", "HTTP 303", "HTTP 307"}
    assert elsewhere.requests == []


def test_an_unknown_authority_is_trusted_only_when_it_is_named(
    run, sandbox, foreign_server, settings_for, target_of, write_csv, results, authority, tls_for, tmp_path
):
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    server, served = foreign_server(tls=tls_for()), sandbox()

    def settings(**more):
        return settings_for(write_csv(5), served, target=target_of(served, url=server.url, **more), patience=0.5)

    with pytest.raises(UsageError, match="CA bundle"):
        run(settings(ca_bundle=tmp_path / "nothing.pem"))
    summary = run(settings())
    assert summary.exit_code == ExitCode.STOPPED
    assert set(summary.codes) == {"certificate"}
    assert server.requests == []
    assert results().states == {State.PENDING: 5}
    assert run(settings(ca_bundle=bundle)).exit_code == ExitCode.DONE
    assert len(server.requests) == 5


def test_a_proxy_of_the_environment_is_used_unless_it_is_to_be_ignored_or_the_service_is_on_this_machine(
    run, sandbox, foreign_server, settings_for, target_of, write_csv, tmp_path, monkeypatch
):
    served, proxy = sandbox(), foreign_server()
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, proxy.url)
    for name in ("ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    source = write_csv(4)
    elsewhere = target_of(served, url="http://service.invalid", allow_http=True)
    assert run(settings_for(source, served, job=tmp_path / "proxied", target=elsewhere)).exit_code == ExitCode.DONE
    assert (len(proxy.requests), served.stats().requests) == (4, 0)
    assert proxy.requests[0].line.startswith("POST http://service.invalid/group/remarks/set.json")
    for job, more in (("ignored", {"no_proxy": True}), ("loopback", {})):
        direct = settings_for(source, served, job=tmp_path / job, target=target_of(served, **more))
        assert run(direct).exit_code == ExitCode.DONE
    assert (len(proxy.requests), served.stats().requests) == (4, 8)
