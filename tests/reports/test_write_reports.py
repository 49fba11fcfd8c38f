"""Which files are written, and what happens when one cannot be."""

import gc
import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from batch_alias import write_job_reports
from batch_alias.errors import ReportError
from batch_alias.model import State
from batch_alias.reports import write_reports

FILES = {"summary.json", "not-accepted.csv", "results.csv", "report.html", "results.xlsx"}


def contents(folder):
    return {path.name for path in folder.iterdir()}


def hidden(folder):
    return {name for name in contents(folder) if name.startswith(".")}


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


def test_rows_that_differ_have_a_file_as_long_as_there_are_any(job):
    job.stage({"remark": "a"})
    job.run({2: (State.ACCEPTED, 200, "accepted")}, found={2: "a"})
    job.write()
    assert "differs.csv" not in contents(job.folder)
    for found, written in (("b", True), ("a", False)):
        job.run(command="verify", found={2: found})
        job.write()
        assert ("differs.csv" in contents(job.folder)) == written


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_report_that_cannot_be_written_is_named_and_the_others_are_written(job, name):
    job.stage({"remark": "a"})
    (job.folder / name).mkdir()
    with pytest.raises(ReportError) as caught:
        job.write(exit_code=None, xlsx=True)
    assert caught.value.problem.count(str(job.folder)) == 1
    assert str(job.folder / name) in caught.value.problem
    assert f"batch-alias report {job.folder}" in caught.value.advice
    assert all((job.folder / other).is_file() for other in FILES - {name})
    assert not hidden(job.folder)


@pytest.fixture
def full_disk():
    """To this process a limit on the size of its files is what a full disk is."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    @contextmanager
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


def test_on_a_full_disk_the_previous_reports_are_left_and_nothing_unfinished(job, full_disk):
    job.stage({"remark": "a", "reason": "repeated-header", "message": "The row repeats the header."})
    job.write(exit_code=None, xlsx=True)
    before = {name: (job.folder / name).read_bytes() for name in FILES}
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):  # XlsxWriter leaves files open
        with full_disk(), pytest.raises(ReportError) as caught:
            job.write(exit_code=0, xlsx=True)
        gc.collect()
    assert caught.value.problem.count("File too large") == len(FILES)
    assert {name: (job.folder / name).read_bytes() for name in FILES} == before
    assert not hidden(job.folder)


@pytest.mark.slow
def test_reports_can_be_written_by_several_at_once(job):
    job.stage(*({"remark": f"r{n}"} for n in range(200)))
    with ThreadPoolExecutor() as pool:
        for written in [pool.submit(write_job_reports, job.folder, xlsx=True) for _ in range(4)]:
            written.result()
    assert not hidden(job.folder)


def test_what_a_killed_process_left_is_removed_after_an_hour(job):
    job.stage({"remark": "a"})
    old, new = job.folder / ".results.csv-old", job.folder / ".results.csv-new"
    for left in (old, new):
        left.mkdir()
        (left / "results.csv").write_text("half")
    os.utime(old, (0, 0))
    job.write(exit_code=None)
    assert hidden(job.folder) == {new.name}


def test_without_the_folder_every_report_is_named(job, tmp_path):
    job.stage({"remark": "a"})
    with pytest.raises(ReportError, match="no-such-folder") as caught:
        write_reports(tmp_path / "no-such-folder", job.ledger, xlsx=True, exit_code=None)
    assert caught.value.problem.count("no-such-folder") == len(FILES)
