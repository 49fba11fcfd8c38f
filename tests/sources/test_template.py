import openpyxl
import pytest

from batch_alias.errors import SourceError, UsageError
from batch_alias.sources.template import write_template


@pytest.mark.parametrize("name", ["names.xlsx", "names.csv"])
def test_a_template_is_a_source_without_rows(name, read, tmp_path):
    write_template(tmp_path / name)
    with pytest.raises(SourceError, match="has a header but no rows"):
        read(tmp_path / name)


def test_what_is_typed_into_a_template_is_text(read, tmp_path):
    write_template(tmp_path / "names.xlsx")
    book = openpyxl.load_workbook(tmp_path / "names.xlsx")
    (sheet,) = book.worksheets
    columns = sheet.column_dimensions["A"]
    assert (columns.min, columns.max, columns.number_format) == (1, 3, "@")
    assert [str(rule.sqref) for rule in sheet.data_validations.dataValidation] == [
        f"{letter}3:{letter}1048576" for letter in "ABC"
    ]
    sheet.append(["007", "g1", "Bond"])
    book.save(tmp_path / "names.xlsx")
    assert read(tmp_path / "names.xlsx")[["number", "user_id"]].to_numpy().tolist() == [[3, "007"]]


@pytest.mark.parametrize(("name", "problem"), [("names.xls", "neither"), ("names.csv", "already")])
def test_no_other_kind_of_file_is_written_and_none_is_replaced(name, problem, tmp_path):
    (tmp_path / "names.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=problem):
        write_template(tmp_path / name)
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["mine"]
