from pathlib import Path

import pytest

from batch_alias.errors import UsageError
from batch_alias.problems import ACCEPTABLE, WARNINGS
from batch_alias.settings import STDIN, Comparing, Empty, Format, Output, Reading, Sending, Settings


@pytest.mark.parametrize(
    "given",
    [
        {"rate": 0},
        {"rate": 10_001},
        {"max_in_flight": 0},
        {"max_in_flight": 4097},
        {"attempts": 0},
        {"attempts": 101},
        {"limit": 0},
        {"limit": -5},
        {"timeout": 0.0},
        {"timeout": 601.0},
        {"timeout": float("nan")},
        {"patience": -1.0},
        {"patience": float("inf")},
        {"patience": float("nan")},
        {"max_failed": 1.01},
        {"max_failed": float("nan")},
    ],
)
def test_a_number_out_of_its_range_is_refused(given):
    with pytest.raises(UsageError) as raised:
        Sending(**given)
    (name,) = given
    assert f"--{name.replace('_', '-')}" in raised.value.problem
    assert raised.value.advice


def test_the_ends_of_the_ranges_are_in_them():
    least = {"rate": 1, "max_in_flight": 1, "attempts": 1, "timeout": 0.1, "limit": 1, "patience": 0.0}
    most = {"rate": 10_000, "max_in_flight": 4096, "attempts": 100, "timeout": 600.0, "limit": 10**400}
    for numbers in (least | {"max_failed": 0.0}, most | {"max_failed": 1.0}):
        sending = Sending(**numbers)
        assert {name: getattr(sending, name) for name in numbers} == numbers


@pytest.mark.parametrize("share", [-0.01, 1.01])
def test_the_share_of_rejected_rows_is_refused_out_of_its_range(share):
    with pytest.raises(UsageError, match="--max-rejected") as raised:
        Settings(source=Path("x.csv"), max_rejected=share)
    assert "0% to 100%" in raised.value.advice


def test_a_job_has_its_own_folder_or_one_named_after_its_source():
    assert Settings(source=Path("/data/nicknames.v2.csv")).job_folder == Path("nicknames.v2.aliases")
    assert Settings(source=STDIN).job_folder == Path("stdin.aliases")
    assert Settings(source=Path("x.csv"), job=Path("/jobs/1")).job_folder == Path("/jobs/1")
    assert Settings(job=Path("/jobs/1")).job_folder == Path("/jobs/1")


@pytest.mark.parametrize(
    ("members", "strict", "others"),
    [(None, True, ""), ("warn", False, "warn"), ("warn", True, "reject"), ("reject", False, "reject")],
)
def test_a_row_whose_user_is_not_in_the_group_is_rejected_if_warnings_are(members, strict, others):
    settings = Settings(job=Path("job"), comparing=Comparing(members=members), reading=Reading(strict=strict))
    assert settings.others == others
    with pytest.raises(UsageError):
        Settings()


def test_nothing_is_both_quiet_and_verbose():
    assert (Output(quiet=True).verbose, Output(verbose=True).quiet) == (False, False)
    with pytest.raises(UsageError, match="--quiet and --verbose cannot be combined") as raised:
        Output(quiet=True, verbose=True)
    assert "BATCH_ALIAS_QUIET" in raised.value.advice


@pytest.mark.parametrize(
    ("delimiter", "character"),
    [(None, None), ("comma", ","), ("tab", "\t"), ("semicolon", ";"), ("pipe", "|"), (";", ";"), ("\t", "\t")],
)
def test_a_delimiter_is_a_name_or_a_character(delimiter, character):
    assert Reading(delimiter=delimiter).delimiter_character == character


@pytest.mark.parametrize("delimiter", ["a", "7", '"', ",,", "", "\n", "comma,"])
def test_a_delimiter_that_cannot_separate_fields_is_refused(delimiter):
    with pytest.raises(UsageError, match="cannot separate fields"):
        Reading(delimiter=delimiter)


@pytest.mark.parametrize("encoding", ["utf-99", "rot13", "", "\0", "base64", "hex"])
def test_an_encoding_that_does_not_exist_or_is_not_of_text_is_refused(encoding):
    with pytest.raises(UsageError, match="no encoding"):
        Reading(encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "UTF_16", "gb18030", "big5", "latin-1"])
def test_encodings_have_the_names_that_python_knows(encoding):
    assert Reading(encoding=encoding).encoding == encoding


def test_a_format_is_one_that_can_be_read():
    assert [Reading(format=kind).format for kind in ("csv", Format.EXCEL)] == ["csv", "excel"]
    with pytest.raises(UsageError, match="--format is 'pdf'") as raised:
        Reading(format="pdf")
    assert "csv, excel, jsonl, parquet" in raised.value.advice


def test_an_empty_alias_is_rejected_or_cleared():
    assert [Reading().empty, Reading(empty="clear").empty] == list(Empty)
    with pytest.raises(UsageError, match="--empty is 'keep'"):
        Reading(empty="keep")


@pytest.mark.parametrize("reason", ["empty-remark", "blank-cell", "date-in-id", "too-many-fields", "nonsense"])
def test_a_rejection_without_a_text_to_send_cannot_be_accepted(reason):
    with pytest.raises(UsageError, match=reason) as raised:
        Reading(accept=(reason,))
    assert all(acceptable in raised.value.advice for acceptable in ACCEPTABLE)


def test_the_other_rejections_and_every_warning_can_be_accepted():
    everything = (*ACCEPTABLE, *WARNINGS)
    assert Reading(accept=everything).accept == everything
