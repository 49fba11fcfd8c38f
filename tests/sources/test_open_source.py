import bz2
import gzip
import io
import lzma
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


WORKBOOK = "urn:schemas-microsoft-com:office:spreadsheet"
CONTENT_TYPES = "[Content_Types].xml"


@pytest.mark.parametrize("reading", [{}, {"format": "csv"}, {"format": "excel"}])
@pytest.mark.parametrize(
    ("content", "name", "problem", "advice"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "rows.csv", "a PNG image", "Name a file of rows"),
        (b"\xff\xd8\xff\xe0" + bytes(500), "rows.csv", "a JPEG image", "Name a file of rows"),
        (b"GIF89a" + bytes(500), "rows.csv", "a GIF image", "Name a file of rows"),
        (b"%PDF-1.7 ...", "rows.csv", "a PDF document", "Name a file of rows"),
        (b"{\\rtf1\\ansi", "rows.doc", "an RTF document", "Name a file of rows"),
        (b"SQLite format 3\0" + bytes(500), "rows.db", "an SQLite database", "Name a file of rows"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(500), "rows.csv", "a 7z archive", "Unpack it first"),
        (b"Rar!\x1a\x07\x00" + bytes(500), "rows.csv", "a RAR archive", "Unpack it first"),
        (bytes(257) + b"ustar", "rows.tar", "a tar archive", "Unpack it first"),
        (gzip.compress(bytes(257) + b"ustar"), "rows.tar.gz", "a tar archive", "Unpack it first"),
        (bz2.compress(ROWS.encode()), "rows.csv.bz2", "compressed by bzip2", "Unpack it first"),
        (lzma.compress(ROWS.encode()), "rows.csv.xz", "compressed by xz", "Unpack it first"),
        (b"\x28\xb5\x2f\xfd" + bytes(50), "rows.csv.zst", "compressed by Zstandard", "Unpack it first"),
        (gzip.compress(gzip.compress(ROWS.encode())), "rows.csv.gz", "a gzip of .* another", "Unpack it first"),
        (gzip.compress(zipped(CONTENT_TYPES)), "rows.xlsx.gz", "a gzip of a workbook", "Unpack it first"),
        (zipped(), "rows.zip", "an empty zip archive", "Name a file of rows"),
        (zipped("rows.csv"), "rows.zip", "a zip archive", "Unpack it first"),
        (zipped("rows.csv"), "rows.xlsx", "a zip archive", "Unpack it first"),
        (zipped("rows.csv")[:60], "rows.zip", "a zip archive", "Unpack it first"),
        (zipped("mimetype", "content.xml"), "rows.ods", r"an OpenDocument file, such as \.ods", "save it as .xlsx"),
        (zipped(CONTENT_TYPES, "xl/workbook.bin"), "rows.xlsb", r"a binary workbook \(", "save it as .xlsx"),
        (zipped(CONTENT_TYPES, "word/document.xml"), "rows.docx", "a Word document", "Name a file of rows"),
        (zipped(CONTENT_TYPES, "ppt/presentation.xml"), "rows.pptx", "a PowerPoint", "Name a file of rows"),
        (b"\x09\x04\x06\x00\x00\x00\x10\x00", "rows.xls", "a workbook of Excel 4 or older", "save it as .xlsx"),
        (b"MIME-Version: 1.0\r\n", "rows.xls", r"a web page in one file \(MHTML\)", "save it as .xlsx"),
        (b'<html xmlns:x="urn:schemas-microsoft-com:office:excel">', "rows.xls", "an HTML page", "save it as .xlsx"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE html><HTML>", "rows.xls", "an HTML page", "save it as .xlsx"),
        ("<table border=1><tr><td>".encode("utf-16"), "rows.xls", "an HTML page", "save it as .xlsx"),
        (b'<?xml version="1.0"?>\n<html><body>', "rows.xls", "an HTML page", "save it as .xlsx"),
        (
            f'<?xml version="1.0"?>\n<?mso-application progid="Excel.Sheet"?>\n<Workbook xmlns="{WORKBOOK}">'.encode(),
            "rows.xls",
            "an XML spreadsheet of 2003",
            "save it as .xlsx",
        ),
        (b'<?xml version="1.0"?><rows/>', "rows.xml", "an XML document", "Name a file of rows"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_kinds_of_files_are_refused_by_name(written, content, name, problem, advice, reading):
    path = written(content, name)
    with pytest.raises(SourceError, match=problem) as refused, open_source(path, Reading(**reading)):
        pass
    assert path.name in refused.value.problem
    assert advice in refused.value.advice


def test_a_column_may_be_named_like_another_kind_of_file(read, written):
    for name in ("BZh", "<userId>", "<b>", "Gif8", "MIME"):
        assert read(written(f"{name},{ROWS.replace('u1,', 'x,u1,')}"))["remark"].tolist() == ["a"]


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
    with pytest.raises(SourceError, match=r"Row 1 of rows\.txt cannot be read"):
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
    assert source.blank_rows == 3  # those after the last row do not count


def test_progress_counts_the_bytes_of_the_file(written):
    path = written(HEADER + "".join(f"u{n},g1,a\n" for n in range(20_000)))
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


@pytest.mark.parametrize("content", [ROWS, '{"userId": "u1", "groupId": "g1", "remark": "a"}\n'])
def test_only_a_workbook_has_sheets(written, read, content):
    with pytest.raises(SourceError, match=r"rows\.csv is not a workbook and has no sheets\. Leave out --sheet"):
        read(written(content), sheet="Sheet1")


def test_an_error_of_the_caller_is_not_reported_as_one_of_the_source(written):
    def fail(path):
        with open_source(path, Reading()) as source:
            for _ in source.batches():
                raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        fail(written(ROWS))
