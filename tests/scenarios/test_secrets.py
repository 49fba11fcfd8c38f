"""Secret, signature and nonce stay between the two ends, and a signed request goes to no other host."""

import re
import socket
import socketserver
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from batch_alias.errors import ExitCode, UsageError
from batch_alias.model import State
from batch_alias.settings import Service
from batch_alias.settings.target import Secret

ACCEPTED = b'{"code":200}'


@dataclass(frozen=True)
class Heard:
    """A request as an impostor heard it."""

    line: str
    headers: dict[str, str]
    body: bytes


class Impostor(socketserver.ThreadingTCPServer):
    """A server of a few lines that is not RongCloud: it hears each request and says the bytes it is told to say."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, say: Callable[[Heard], bytes], tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), ImpostorHandler)
        self.say = say
        self.heard: list[Heard] = []
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}"
        self._tls = tls

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True)
        return connection, address

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no error of the story's."""


class ImpostorHandler(socketserver.StreamRequestHandler):
    server: Impostor

    def handle(self) -> None:
        line = self.rfile.readline().decode("latin-1").strip()
        headers = {}
        while field := self.rfile.readline().decode("latin-1").strip():
            name, _, value = field.partition(":")
            headers[name.lower()] = value.strip()
        heard = Heard(line, headers, self.rfile.read(int(headers.get("content-length", 0))))
        self.server.heard.append(heard)
        self.wfile.write(self.server.say(heard))


@pytest.fixture
def impostor() -> Iterator[Callable[..., Impostor]]:
    with ExitStack() as stack:

        def start(say: Callable[[Heard], bytes], tls: ssl.SSLContext | None = None) -> Impostor:
            server = stack.enter_context(Impostor(say, tls))
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            return server

        yield start


@pytest.fixture(scope="session")
def http() -> Callable[..., bytes]:
    """The bytes of an HTTP answer after which the connection ends."""

    def answer(body: bytes, status: str = "200 OK", *fields: str) -> bytes:
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *fields, "", ""]
        return "\r\n".join(head).encode("latin-1") + body

    return answer


def echoed(heard) -> str:
    return "; ".join(f"{name}: {value}" for name, value in heard.headers.items())


ECHOES = {
    "page": lambda http: lambda heard: http(f"<html>{echoed(heard)}</html>".encode(), "400 Bad Request"),
    "message": lambda http: (
        lambda heard: http(f'{{"code":1005,"errorMessage":"{echoed(heard)}"}}'.encode(), "400 Bad Request")
    ),
    "location": lambda http: (
        lambda heard: http(
            b"", "302 Found", f"Location: http://127.0.0.1:9/?{heard.headers['signature']}&{heard.headers['nonce']}"
        )
    ),
    "status-line": lambda http: lambda heard: f"{heard.headers['signature']} {heard.headers['nonce']}\r\n\r\n".encode(),
    "header": lambda http: lambda heard: http(b"x", "500 Oh", f"{heard.headers['signature']} no colon"),
}


def test_a_server_that_echoes_the_request_gets_nothing_of_it_into_a_file_or_an_output(
    command, impostor, http, write_csv, tmp_path
):
    secret, source = "the-secret-of-the-story", write_csv(3)
    environment = {"RONGCLOUD_APP_KEY": "the-key", "RONGCLOUD_APP_SECRET": secret}
    limits = ("--attempts", 1, "--patience", 0.1, "--max-failed", "100%", "--json")
    servers = {echo: impostor(make(http)) for echo, make in ECHOES.items()}
    started = {
        echo: command("run", source, "--job", echo, *limits, environment={**environment, "RONGCLOUD_URL": server.url})
        for echo, server in servers.items()
    }
    for echo, server in servers.items():
        ended = started[echo].end()
        assert ended.code in {ExitCode.NOT_ALL_ACCEPTED, ExitCode.STOPPED}, ended.err
        assert "***" in ended.err + "".join(path.read_text("utf-8") for path in (tmp_path / echo).glob("*.csv")), echo
        words = {secret} | {heard.headers[name] for heard in server.heard for name in ("signature", "nonce")}
        assert len(words) >= 3
        written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        for word in words:
            assert word.encode() not in written
            assert word not in ended.out + ended.err


def test_no_traceback_of_ours_shows_the_secret(run, settings_for, write_csv, sandbox, onlooker):
    running = sandbox()

    def break_off(_run):
        raise RuntimeError("the watcher breaks")

    with pytest.raises(RuntimeError) as caught:
        run(settings_for(write_csv(3), running), watcher=onlooker(at_start=break_off))
    frames = traceback.StackSummary.extract(traceback.walk_tb(caught.tb), capture_locals=True)
    ours = "".join(traceback.StackSummary.from_list(frames).format())
    assert "settings" in ours
    assert "app_secret" in ours
    assert running.app_secret.reveal() not in ours


def test_a_redirect_is_never_followed(run, sandbox, impostor, http, settings_for, write_csv, accounts, service_of):
    elsewhere = impostor(lambda heard: http(ACCEPTED))
    target = f"Location: {elsewhere.url}/group/remarks/set.json"
    kinds = iter(["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] * 20)
    first = impostor(lambda heard: http(b"", next(kinds), target))
    service = service_of(sandbox(), urls=(first.url,))
    summary = run(settings_for(write_csv(3), sandbox(), service=service, attempts=6, patience=1.0))
    assert len(first.heard) >= 5
    assert elsewhere.heard == []
    assert summary.states["accepted"] == 0


def test_http_to_another_machine_is_refused_unless_it_is_allowed(command, write_csv):
    secret = Secret("s")
    with pytest.raises(UsageError, match="not encrypted"):
        Service(urls=("http://10.0.0.1",), app_key="k", app_secret=secret)
    with pytest.raises(UsageError, match="not encrypted"):
        Service(urls=("https://10.0.0.1", "http://10.0.0.2"), app_key="k", app_secret=secret)
    assert Service(urls=("http://10.0.0.1",), app_key="k", app_secret=secret, allow_http=True)
    assert Service(urls=("http://localhost:1",), app_key="k", app_secret=secret)
    environment = {"RONGCLOUD_APP_KEY": "k", "RONGCLOUD_APP_SECRET": "s"}
    ended = command("run", write_csv(1), "--url", "http://10.0.0.1", environment=environment).end()
    assert ended.code == ExitCode.USAGE
    assert "--allow-http" in ended.err


@pytest.fixture
def private_cloud(impostor, http, tmp_path):
    """A server with a certificate of an authority of its own, and that authority's file."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    return impostor(lambda heard: http(ACCEPTED), context), bundle


def test_an_unknown_authority_is_not_trusted_until_it_is_named(
    private_cloud, run, sandbox, settings_for, service_of, write_csv, accounts
):
    server, bundle = private_cloud
    service = service_of(sandbox(), urls=(server.url,))
    settings = {"service": service, "attempts": 2, "patience": 0.5}
    source = write_csv(5)
    summary = run(settings_for(source, sandbox(), **settings))
    assert summary.exit_code == ExitCode.STOPPED
    assert set(summary.codes) == {"connect"}
    assert server.heard == []
    assert accounts().states == {State.PENDING: 5}
    assert run(settings_for(source, sandbox(), ca_bundle=bundle, **settings)).exit_code == ExitCode.DONE
    assert len(server.heard) == 5


def test_a_bundle_that_is_no_bundle_is_named(run, sandbox, settings_for, write_csv, tmp_path):
    with pytest.raises(UsageError, match="CA bundle"):
        run(settings_for(write_csv(1), sandbox(), ca_bundle=tmp_path / "nothing.pem"))


def test_proxy_variables_are_honoured_and_can_be_ignored(command, sandbox, impostor, http, write_csv):
    running = sandbox()
    proxy = impostor(lambda heard: http(ACCEPTED))
    variables = {"HTTP_PROXY": proxy.url, "http_proxy": proxy.url, "NO_PROXY": "", "no_proxy": ""}
    source = write_csv(4)
    through = command("run", source, "--job", "a", to=running, environment=variables).end()
    assert through.code == ExitCode.DONE, through.err
    assert (len(proxy.heard), running.stats().requests) == (4, 0)
    assert proxy.heard[0].line.startswith(f"POST {running.url}/group/remarks/set.json")
    direct = command("run", source, "--job", "b", "--no-proxy", to=running, environment=variables).end()
    assert direct.code == ExitCode.DONE, direct.err
    assert (len(proxy.heard), running.stats().requests) == (4, 4)


def test_the_secret_has_no_flag_and_no_place_in_the_settings_text(sandbox, settings_for, command, tmp_path):
    settings = settings_for(Path("rows.csv"), sandbox())
    assert settings.service.app_secret.reveal() not in f"{settings!r} {settings}"
    assert not re.search("--[a-z-]*secret", command("run", "--help").end().out)
