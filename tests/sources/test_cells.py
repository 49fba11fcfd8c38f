import pytest

from batch_alias.sources.cells import DateOrTime, parse_format, read_cell


@pytest.mark.parametrize(
    ("code", "padding"),
    [
        ("General", 0),
        ("0", 0),
        ("@", 0),
        ("#,##0", 0),
        ("0_ ", 0),
        ("0.00", 0),
        ("0.00E+00", 0),
        ("000000", 6),
        ("00000_ ;[Red]-00000", 5),
        ("[$-804]00000", 5),
        ('"U"0', None),
        ("000-0000", None),
        ("0%", None),
        ("¥#,##0", None),
        ("yyyy-mm-dd", None),
    ],
)
def test_paddings_are_parsed_as_far_as_ids_need_it(code, padding):
    assert parse_format(code) == padding


@pytest.mark.parametrize(
    ("cell", "padding", "text", "of_id", "of_remark"),
    [
        ("007", 0, "007", [], []),
        (12.0, 0, "12", [], []),
        (12.0, 4, "0012", ["zeros-restored"], ["zeros-restored"]),
        (-12.0, 4, "-12", ["number-format"], ["number-format"]),
        (12345.0, 4, "12345", [], []),
        (12.0, None, "12", ["number-format"], ["number-format"]),
        (1.5, 4, "1.5", ["decimal-in-id", "number-format"], ["number-format"]),
        (1e14, 0, "100000000000000", ["number-too-long"], []),
        (1e15, 0, "1000000000000000", ["number-too-long"], ["number-too-long"]),
        (1.23456789012345678e20, 0, "123456789012346000000", ["number-too-long"], ["number-too-long"]),
        (float("inf"), 0, "inf", ["number-too-long"], ["number-too-long"]),
        (True, 4, "TRUE", ["boolean-in-id"], []),
        (DateOrTime("2024-03-01"), 0, "2024-03-01", ["date-in-id"], ["date-in-remark"]),
    ],
)
def test_cells_have_a_text_and_problems(cell, padding, text, of_id, of_remark):
    for is_id, names in ((True, of_id), (False, of_remark)):
        read, problems = read_cell(cell, padding, "x", is_id=is_id)
        assert (read, [problem.name for problem in problems]) == (text, names)
        assert all("'x'" in problem.message or problem.name == "zeros-restored" for problem in problems)


def test_only_lost_digits_are_final():
    problems = [read_cell(number, 0, "x", is_id=True)[1][0] for number in (1e14, 1e15)]
    assert [problem.final for problem in problems] == [False, True]
