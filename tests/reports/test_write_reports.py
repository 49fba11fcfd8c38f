"""Which files are written, and what happens when one cannot be."""

import json
from pathlib import Path

import pytest

from batch_alias.errors import ReportError
from batch_alias.model import State
from batch_alias.reports import write_reports

FILES = {"summary.json", "not-accepted.csv", "results.csv", "report.html", "results.xlsx"}


def contents(folder):
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("source", "xlsx", "workbook"),
    [("names.csv", False, False), ("names.csv", True, True), ("names.xlsx", False, True), ("NAMES.XLS", False, True)],
)
def test_a_workbook_is_written_when_asked_for_and_for_a_workbook(job, source, xlsx, workbook):
    job.stage({"remark": "a"}, source=source)
    before = contents(job.folder)
    job.write(exit_code=None, xlsx=xlsx)
    assert contents(job.folder) - before == (FILES if workbook else FILES - {"results.xlsx"})


def test_an_existing_workbook_is_kept_up_to_date(job):
    job.stage({"remark": "a"})
    job.write(exit_code=None, xlsx=True)
    before = (job.folder / "results.xlsx").read_bytes()
    job.run({2: (State.ACCEPTED, 200, "accepted")}, exit_code=0)
    job.write(exit_code=0)
    assert json.loads((job.folder / "summary.json").read_text(encoding="utf-8"))["states"]["accepted"] == 1
    assert (job.folder / "results.xlsx").read_bytes() != before


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("blocked", ["{}", ".{}.new"])
def test_a_report_that_cannot_be_written_is_named_and_the_others_are_written(job, name, blocked):
    job.stage({"remark": "a"})
    (job.folder / blocked.format(name)).mkdir()
    with pytest.raises(ReportError) as caught:
        job.write(exit_code=None, xlsx=True)
    assert caught.value.problem.count(str(job.folder)) == 1
    assert str(job.folder / name) in caught.value.problem
    assert f"batch-alias report {job.folder}" in caught.value.advice
    assert all((job.folder / other).is_file() for other in FILES - {name})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("name", sorted(FILES))
def test_a_full_disk_is_reported_and_nothing_unfinished_remains(job, name):
    job.stage({"remark": "a"})
    (job.folder / f".{name}.new").symlink_to("/dev/full")
    with pytest.raises(ReportError, match="No space left on device"):
        job.write(exit_code=None, xlsx=True)
    assert not (job.folder / name).exists()
    assert not [each for each in contents(job.folder) if each.startswith(".")]


def test_a_report_that_cannot_be_written_leaves_the_previous_one(job):
    job.stage({"remark": "a"})
    job.write(exit_code=None)
    before = (job.folder / "report.html").read_bytes()
    (job.folder / ".report.html.new").mkdir()
    with pytest.raises(ReportError):
        job.write(exit_code=0)
    assert (job.folder / "report.html").read_bytes() == before


def test_without_the_folder_every_report_is_named(job, tmp_path):
    job.stage({"remark": "a"})
    with pytest.raises(ReportError, match="no-such-folder") as caught:
        write_reports(tmp_path / "no-such-folder", job.ledger, xlsx=True, exit_code=None)
    assert caught.value.problem.count("no-such-folder") == len(FILES)
