import pytest

from batch_alias.sources.cells import GENERAL, UNKNOWN, DateOrTime, Flaw, Format, Formatted, parse_format, read_cell

ZEROS = {n: Format(positive=n, negative=None, zero=n) for n in (2, 4, 5, 6)}
WHOLE = Format(positive=1, negative=1, zero=1)
NEITHER = UNKNOWN._replace(text=None)


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("", GENERAL),
        ("General", GENERAL),
        ("GENERAL", GENERAL),
        ("@", GENERAL),
        ("0", WHOLE),
        ("#0", WHOLE),
        ("0_ ", WHOLE),
        ("_(0_)", WHOLE),
        ("* 0", WHOLE),
        ("#", WHOLE._replace(zero=None)),
        ("000000", ZEROS[6]),
        ("##00", ZEROS[2]),
        ("[$-804]0000", ZEROS[4]),
        ("[$-zh-CN]0000", ZEROS[4]),
        ("[Red]0000", ZEROS[4]),
        ("[Color 12]0000", ZEROS[4]),
        ("_-0000", ZEROS[4]),
        ("00000_ ;[Red]-00000", ZEROS[5]),
        ("0000;-0000;", ZEROS[4]._replace(zero=None)),
        ("0000;-0000;00", ZEROS[4]._replace(zero=2)),
        ("0000;;0000;@", ZEROS[4]),
        ("0000;@", ZEROS[4]),
        ("0;;;@", WHOLE._replace(negative=None, zero=None)),
        (";;;", NEITHER),
        ('0;0;0;"U"@', WHOLE._replace(negative=None, text=None)),
        ('@"号"', NEITHER),
        ('0000"号"', UNKNOWN),
        ('"U"0', UNKNOWN),
        ("\\A-0", UNKNOWN),
        ("0\\0", UNKNOWN),
        ("* 0*-", UNKNOWN),
        ("0 0", UNKNOWN),
        ("000-0000", UNKNOWN),
        ("0%", UNKNOWN),
        ("0,", UNKNOWN),
        ("#,##0", UNKNOWN),
        ("0.00", UNKNOWN),
        ("0.00E+00", UNKNOWN),
        ("¥0", UNKNOWN),
        ("[$¥-804]0", UNKNOWN),
        ("[$-D07041E]0000", UNKNOWN),
        ("[DBNum2][$-804]0", UNKNOWN),
        ("[h]", UNKNOWN),
        ("yyyy-mm-dd", UNKNOWN),
        ("[>=1000]00000000;0", UNKNOWN),
        ("[>=5]0000;0", UNKNOWN),
        ("0000;[<5]00", UNKNOWN),
        ("0;0;0;0;0", NEITHER),
    ],
)
def test_a_format_pads_as_a_spreadsheet_does_or_is_not_known(code, shown):
    assert parse_format(code) == shown


PADS = Format(positive=4, negative=None, zero=None)


@pytest.mark.parametrize(
    ("cell", "text", "of_id", "of_remark"),
    [
        ("007", "007", [], []),
        (12.0, "12", [], []),
        (Formatted(12.0, PADS), "0012", ["zeros-restored"], ["zeros-restored"]),
        (Formatted(-12.0, PADS), "-12", ["number-format"], ["number-format"]),
        (Formatted(0.0, PADS), "0", ["number-format"], ["number-format"]),
        (Formatted(12345.0, PADS), "12345", [], []),
        (Formatted(12.0, UNKNOWN), "12", ["number-format"], ["number-format"]),
        (Formatted("12", PADS), "12", [], []),
        (Formatted("12", UNKNOWN), "12", [], []),
        (Formatted("12", NEITHER), "12", ["number-format"], ["number-format"]),
        (Formatted(" ", NEITHER), " ", [], []),
        (1.5, "1.5", ["decimal-in-id"], []),
        (Formatted(1.5, PADS), "1.5", ["decimal-in-id", "number-format"], ["number-format"]),
        (Formatted(1.5, WHOLE), "1.5", ["decimal-in-id", "number-format"], ["number-format"]),
        (1e14, "100000000000000", ["number-too-long"], []),
        (1e15, "1000000000000000", ["number-too-long"], ["number-too-long"]),
        (1.23456789012345678e20, "123456789012346000000", ["number-too-long"], ["number-too-long"]),
        (float("inf"), "inf", ["number-too-long"], ["number-too-long"]),
        (True, "TRUE", ["boolean-in-id"], []),
        (Formatted(True, PADS), "TRUE", ["boolean-in-id"], []),
        (DateOrTime("2024-03-01"), "2024-03-01", ["date-in-id"], ["date-in-remark"]),
        (Flaw.ERROR, " ", ["error-cell"], ["error-cell"]),
        (Flaw.NO_VALUE, " ", ["formula-without-value"], ["formula-without-value"]),
        (Flaw.HALF_A_CHARACTER, " ", ["surrogate-character"], ["surrogate-character"]),
    ],
)
def test_cells_have_a_text_and_problems(cell, text, of_id, of_remark):
    for is_id, names in ((True, of_id), (False, of_remark)):
        read, problems = read_cell(cell, "x", is_id=is_id)
        assert (read, [problem.name for problem in problems]) == (text, names)
        of_row = {"zeros-restored", "surrogate-character"}
        assert all("'x'" in problem.message or problem.name in of_row for problem in problems)


def test_only_lost_digits_are_final():
    problems = [read_cell(number, "x", is_id=True)[1][0] for number in (1e14, 1e15)]
    assert [problem.final for problem in problems] == [False, True]
