"""The page in a real browser: nothing from a source runs, its own script does, and it fits on phone and paper."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from batch_alias.model import Event, EventKind, State
from batch_alias.problems import found

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="needs Chromium")]

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
    *("--disable-background-networking", "--disable-component-update", "--virtual-time-budget=5000"),
]
# Loads the page at the width of a phone and writes down the value of an expression about it.
FRAME = """<!doctype html><body><p id="found"></p>
<iframe id="f" style="width:360px;height:640px;border:0" srcdoc="{}"></iframe>
<script>onload = () => {{ const page = document.getElementById("f").contentDocument;
document.getElementById("found").textContent = JSON.stringify({}); }}</script>"""
# Which rows and controls are shown at first, after a search, after another one, and of a state.
SEARCH = """(() => {
const rows = () => [...page.querySelectorAll(".reason tbody tr")].filter((row) => row.offsetParent)
    .map((row) => row.firstElementChild.textContent);
const set = (id, event, value) => {
    const control = page.getElementById(id);
    control.value = value;
    control.dispatchEvent(new Event(event));
    return rows();
};
return {
    controls: [...page.querySelectorAll("[data-script]")].map((control) => control.offsetParent !== null),
    rows: [rows(), set("search", "input", "U3"), set("search", "input", "Repeats the"), set("search", "input", "xyz")],
    none: page.getElementById("none").offsetParent !== null,
    state: (set("search", "input", ""), set("state", "change", "failed")),
};
})()"""


@pytest.fixture
def shown(tmp_path):
    """The value of an expression in JavaScript about a page that a browser has loaded."""

    def load(page: Path, expression: str):
        frame = tmp_path / "frame.html"
        frame.write_text(FRAME.format(html.escape(page.read_text(encoding="utf-8")), expression), encoding="utf-8")
        command = [str(BROWSER), *FLAGS, "--dump-dom", f"--user-data-dir={tmp_path / 'profile'}", frame.as_uri()]
        dom = subprocess.run(command, capture_output=True, timeout=300, check=True).stdout.decode("utf-8")
        return json.loads(html.unescape(dom.rpartition('<p id="found">')[2].partition("</p>")[0]))

    return load


def test_nothing_from_the_source_runs_or_is_wider_than_a_phone(job, second, start, shown):
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
    width, title = shown(job.folder / "report.html", "[page.documentElement.scrollWidth, page.title]")
    assert width <= 360
    assert title.startswith("Stopped by the service: 0 of 6 rows accepted. <script>document.title")


def test_rows_can_be_searched_and_the_command_is_selected_where_the_clipboard_is_not_permitted(job, shown):
    repeated = {"reason": "repeated-header", "message": "The row repeats the header."}
    job.stage({"remark": "a"}, {"remark": "b"}, {"remark": "c"} | repeated, {"remark": "d"} | repeated, {"remark": "e"})
    failed = {2: (State.FAILED, 1002, "parameter missing or invalid"), 3: (State.UNKNOWN, None, "no response in time")}
    job.run(failed, exit_code=130, argv=["run", "a b.csv", "--sandbox"])
    job.write(exit_code=130)
    click = '(page.querySelector(".copy").click(), String(page.getSelection()))'
    assert shown(job.folder / "report.html", f"[{SEARCH}, {click}]") == [
        {
            "controls": [True] * 4,
            "rows": [["4", "5", "2", "3"], ["3"], ["4", "5"], []],
            "none": True,
            "state": ["2"],
        },
        "batch-alias run 'a b.csv' --sandbox",
    ]


def test_many_rejected_rows_print_on_two_pages(job, tmp_path):
    names = [
        "empty-user-id",
        "empty-group-id",
        "decimal-in-id",
        "scientific-notation-in-id",
        "invisible-character-in-id",
    ]
    rejected = [
        {
            "user_id": f"user{number}",
            "group_id": f"group{number}",
            "remark": f"产品经理 李雷 {number}",
            "reason": name,
            "message": found(name, column="'userId'", value=f"'user{number}'").message,
        }
        for number in range(65)
        for name in [names[number % len(names)]]
    ]
    job.stage(*rejected, *({"remark": "a"} for _ in range(235)))
    job.write(exit_code=3)
    printed = tmp_path / "report.pdf"
    flags = [
        *FLAGS,
        "--no-pdf-header-footer",
        f"--print-to-pdf={printed}",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    page = (job.folder / "report.html").as_uri()
    subprocess.run([str(BROWSER), *flags, page], capture_output=True, timeout=300, check=True)
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed.read_bytes())) == 2
