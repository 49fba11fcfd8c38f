"""The page in a real browser: nothing in it runs, and it fits a phone."""

import html
import shutil
import subprocess
import time

import pytest

from batch_alias.model import State
from batch_alias.records import Event, EventKind
from batch_alias.reports import write_reports

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
# Shows the page at a phone's width and says how wide it came out, and what its title became.
FRAME = """<!doctype html><body><p id="said"></p>
<iframe id="f" style="width:360px;height:640px;border:0" srcdoc="{}"></iframe>
<script>onload = () => {{ const page = document.getElementById("f").contentDocument;
document.getElementById("said").textContent = page.documentElement.scrollWidth + " wide: " + page.title; }}</script>"""


def test_nothing_from_the_file_runs_and_nothing_is_wider_than_a_phone(jobs, run, totals, second, tmp_path):
    ledger = jobs.stage(
        [{"remark": value, "user_id": value, "group_id": value} for value in NASTY],
        source=NASTY[0] + NASTY[2],
        header=(NASTY[0], NASTY[1], NASTY[2]),
    )
    outcomes = {number: (State.FAILED, 1002, f"invalid: {value}") for number, value in enumerate(NASTY, 2)}
    run(ledger, outcomes, [second(int(time.time()), codes={"HTTP 502": 5, "200": 5})], exit_code=4)
    for value in NASTY:
        ledger.record_event(Event(at=time.time(), kind=EventKind.HOST_SWITCHED, text=value))
    write_reports(jobs.folder, ledger, totals(ledger, exit_code=4, stopped=NASTY[0]))
    text = (jobs.folder / "report.html").read_text(encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(html.escape(text)), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --virtual-time-budget=5000 --dump-dom"
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [str(BROWSER), *flags.split(), profile, frame.as_uri()], capture_output=True, timeout=120, check=True
    )
    dom = done.stdout.decode("utf-8")
    said = html.unescape(dom.rpartition('<p id="said">')[2].partition("</p>")[0])
    width, _, title = said.partition(" wide: ")
    assert int(width) <= 360
    assert title.startswith("Stopped by the service: 0 of 6 rows accepted. <script>document.title")
