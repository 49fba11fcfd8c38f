"""The sandbox as a process of its own, stopped the way a person or a supervisor stops it."""

import signal
import socket
import subprocess
import sys

import pytest

SERVER = """
from batch_alias.sandbox.app import Sandbox
from batch_alias.sandbox.server import serve_forever

serve_forever(Sandbox(), "127.0.0.1", 0, lambda url: print(url, flush=True))
print("stopped", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_and_then_ends_in_order(number):
    with subprocess.Popen([sys.executable, "-W", "error", "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"GET /sandbox/stats HTTP/1.1\r\nHost: sandbox\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
            process.send_signal(number)
            assert process.stdout.read() == "stopped\n"
        assert process.wait(timeout=10) == 0
