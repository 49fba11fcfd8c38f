import pytest

from batch_alias.sources.cells import AS_IS, DateOrTime, NumberFormat, parse_format, read_cell


@pytest.mark.parametrize(
    ("code", "number_format"),
    [
        ("General", AS_IS),
        ("0", AS_IS),
        ("@", AS_IS),
        ("#,##0", AS_IS),
        ("0_ ", AS_IS),
        ("0.00", AS_IS),
        ("0.00E+00", AS_IS),
        ("000000", NumberFormat(width=6)),
        ("00000_ ;[Red]-00000", NumberFormat(width=5)),
        ("[$-804]00000", NumberFormat(width=5)),
        ('"U"0', NumberFormat(other=True)),
        ("000-0000", NumberFormat(other=True)),
        ("0%", NumberFormat(other=True)),
        ("¥#,##0", NumberFormat(other=True)),
        ("yyyy-mm-dd", NumberFormat(other=True)),
    ],
)
def test_number_formats_are_parsed_as_far_as_ids_need_it(code, number_format):
    assert parse_format(code) == number_format


@pytest.mark.parametrize(
    ("cell", "number_format", "text", "of_id", "of_remark"),
    [
        ("007", AS_IS, "007", [], []),
        (12.0, AS_IS, "12", [], []),
        (12.0, NumberFormat(width=4), "0012", ["zeros-restored"], ["zeros-restored"]),
        (-12.0, NumberFormat(width=4), "-12", ["number-format"], ["number-format"]),
        (12345.0, NumberFormat(width=4), "12345", [], []),
        (12.0, NumberFormat(other=True), "12", ["number-format"], ["number-format"]),
        (1.5, NumberFormat(width=4), "1.5", ["decimal-in-id", "number-format"], ["number-format"]),
        (1e14, AS_IS, "100000000000000", ["number-too-long"], []),
        (1e15, AS_IS, "1000000000000000", ["number-too-long"], ["number-too-long"]),
        (1.23456789012345678e20, AS_IS, "123456789012346000000", ["number-too-long"], ["number-too-long"]),
        (float("inf"), AS_IS, "inf", ["number-too-long"], ["number-too-long"]),
        (True, NumberFormat(width=4), "TRUE", ["boolean-in-id"], []),
        (DateOrTime("2024-03-01"), AS_IS, "2024-03-01", ["date-in-id"], ["date-in-remark"]),
    ],
)
def test_cells_have_a_text_and_problems(cell, number_format, text, of_id, of_remark):
    for is_id, names in ((True, of_id), (False, of_remark)):
        read, problems = read_cell(cell, number_format, "x", is_id=is_id)
        assert (read, [problem.name for problem in problems]) == (text, names)
        assert all("'x'" in problem.message or problem.name == "zeros-restored" for problem in problems)


def test_only_lost_digits_are_final():
    problems = [read_cell(number, AS_IS, "x", is_id=True)[1][0] for number in (1e14, 1e15)]
    assert [problem.final for problem in problems] == [False, True]
