"""The page in a real browser: nothing in it runs, and it fits on a phone."""

import html
import shutil
import subprocess

import pytest

from batch_alias.model import Event, EventKind, State

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")

NASTY = [
    "<script>document.title = 'it ran'</script>",
    "<img src=x onerror=\"document.title = 'it ran'\">",
    "x" * 10_000,
    "没有空格的很长的名字" * 500,
    "\u202e\u2067 turned around",
    "</table></main></body></html>",
]
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--virtual-time-budget=5000", "--dump-dom"),
]
# Loads the page at the width of a phone and writes down how wide it became, and its title.
FRAME = """<!doctype html><body><p id="found"></p>
<iframe id="f" style="width:360px;height:640px;border:0" srcdoc="{}"></iframe>
<script>onload = () => {{ const page = document.getElementById("f").contentDocument;
document.getElementById("found").textContent = page.documentElement.scrollWidth + " wide: " + page.title; }}</script>"""


def test_nothing_from_the_source_runs_or_is_wider_than_a_phone(job, second, start, tmp_path):
    rows = ({"remark": value, "user_id": value, "group_id": value} for value in NASTY)
    job.stage(*rows, source=NASTY[0] + NASTY[2], header=tuple(NASTY[:3]))
    job.run(
        {number: (State.FAILED, 1002, f"invalid: {value}") for number, value in enumerate(NASTY, 2)},
        [second(codes={"HTTP 502": 5, "200": 5})],
        [Event(at=start, kind=EventKind.HOST_SWITCHED, values={"host": value}) for value in NASTY],
        exit_code=4,
        note="y" * 500,
    )
    job.write(exit_code=4, stopped=NASTY[0])
    page = (job.folder / "report.html").read_text(encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(html.escape(page)), encoding="utf-8")
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", frame.as_uri()]
    dom = subprocess.run(command, capture_output=True, timeout=300, check=True).stdout.decode("utf-8")
    found = html.unescape(dom.rpartition('<p id="found">')[2].partition("</p>")[0])
    width, _, title = found.partition(" wide: ")
    assert int(width) <= 360
    assert title.startswith("Stopped by the service: 0 of 6 rows accepted. <script>document.title")
