import io
import zipfile

import pytest

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source

HEADER = "userId,groupId,remark\n"
ROWS = f"{HEADER}u1,g1,a\n"


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, ROWS)
    return content.getvalue()


@pytest.mark.parametrize("reading", [{}, {"format": "csv"}, {"format": "excel"}])
@pytest.mark.parametrize(
    ("content", "name", "problem", "advice"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "rows.csv", "a PNG image", "Name a file of rows"),
        (b"\xff\xd8\xff\xe0" + bytes(500), "rows.csv", "a JPEG image", "Name a file of rows"),
        (b"GIF89a" + bytes(500), "rows.csv", "a GIF image", "Name a file of rows"),
        (b"%PDF-1.7 ...", "rows.csv", "a PDF document", "Name a file of rows"),
        (b"SQLite format 3\0" + bytes(500), "rows.db", "an SQLite database", "Name a file of rows"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(500), "rows.csv", "a 7z archive", "Unpack it first"),
        (b"Rar!\x1a\x07\x00" + bytes(500), "rows.csv", "a RAR archive", "Unpack it first"),
        (zipped(), "rows.zip", "an empty zip archive", "Name a file of rows"),
        (zipped("rows.csv"), "rows.zip", "a zip archive", "Unpack it first"),
        (zipped("rows.csv"), "rows.xlsx", "a zip archive", "Unpack it first"),
        (zipped("rows.csv")[:60], "rows.zip", "a zip archive", "Unpack it first"),
        (zipped("mimetype", "content.xml"), "rows.ods", r"an OpenDocument file, such as \.ods", "Save it as .xlsx"),
        (zipped("[Content_Types].xml", "xl/workbook.bin"), "rows.xlsb", r"a binary workbook \(", "Save it as .xlsx"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_kinds_of_files_are_refused_by_name(written, content, name, problem, advice, reading):
    path = written(content, name)
    with pytest.raises(SourceError, match=problem) as refused, open_source(path, Reading(**reading)):
        pass
    assert path.name in refused.value.problem
    assert advice in refused.value.advice


@pytest.mark.parametrize(("name", "problem"), [("missing.csv", "There is no file"), (".", "is a folder")])
def test_a_path_that_is_not_a_file_is_refused(tmp_path, name, problem):
    with pytest.raises(SourceError, match=problem), open_source(tmp_path / name, Reading()):
        pass


def test_the_content_decides_the_format_and_not_the_extension(read, workbook, written, tmp_path):
    assert read(workbook([["u1", "g1", "a"]]).rename(tmp_path / "rows.csv"))["remark"].tolist() == ["a"]
    assert read(written("userId\tgroupId\tremark\nu1\tg1\ta\n", "rows.xls"))["remark"].tolist() == ["a"]


def test_a_named_format_goes_before_the_content(read, written):
    content = '{"userId": "u1", "groupId": "g1", "remark": "a"}\n'
    assert read(written(content, "rows.txt"))["remark"].tolist() == ["a"]
    with pytest.raises(SourceError, match="No column for userId"):
        read(written(content, "rows.txt"), format="csv")
    with pytest.raises(SourceError, match="is not a workbook that can be read"):
        read(written(ROWS, "rows.txt"), format="excel")


@pytest.mark.parametrize("content", [HEADER, f"{HEADER}\n,,\n"])
def test_a_source_without_rows_is_refused(read, written, content):
    with pytest.raises(SourceError, match=r"The source \(CSV, UTF-8, comma\) has a header but no rows"):
        read(written(content))


def test_rows_are_counted_as_a_spreadsheet_counts_them(written):
    path = written(f'\n{HEADER}\nu1,g1,"two\nlines"\n\n  \nu2,g2,a\n,,\n')
    with open_source(path, Reading()) as source:
        numbers = [int(number) for batch in source.batches() for number in batch["number"]]
    assert numbers == [4, 7]
    assert source.blank_rows == 4


def test_progress_counts_the_bytes_of_the_file(written):
    path = written(HEADER + "".join(f"u{n},g1,a\n" for n in range(50_000)))
    with open_source(path, Reading()) as source:
        seen = [source.progress() for _ in source.batches()]
        assert source.progress() == (path.stat().st_size,) * 2
    assert seen == sorted(seen)
    assert 0 < seen[0][0] < seen[0][1] == path.stat().st_size


def test_a_large_file_comes_in_bounded_batches(written):
    path = written(HEADER + "".join(f"u{n},g1,a\n" for n in range(25_000)))
    with open_source(path, Reading()) as source:
        batches = list(source.batches())
    assert [len(batch) for batch in batches] == [10_000, 10_000, 5_000]
    assert [int(number) for batch in batches for number in batch["number"]] == list(range(2, 25_002))


def test_an_error_of_the_caller_is_not_reported_as_one_of_the_source(written):
    def fail(path):
        with open_source(path, Reading()) as source:
            for _ in source.batches():
                raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        fail(written(ROWS))
