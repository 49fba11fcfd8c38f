"""However damaged a file is, it is read in little memory, and to an end or an error."""

import gzip
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source
from tests.support.processes import DEADLINE, run_python

READ = """
import re, sys
from pathlib import Path
from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source

for name in sys.argv[1:]:
    try:
        with open_source(Path(name), Reading()) as source:
            for batch in source.batches():
                pass
        result = "read to its end"
    except SourceError as error:
        result = error.problem
    # Not getrusage: its peak begins with that of the process that started this one.
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
    print(peak, result)
"""
MOST_MIB = 200
HEADER = b"userId,groupId,remark\n"


def huge() -> dict[str, tuple[bytes, str]]:
    """Contents by name, hundreds of megabytes of them, and what is said of each."""
    return {
        "one line": (HEADER + b"x" * 2**26, "line of more than"),
        "one line, packed": (gzip.compress(HEADER + b"x" * 2**26, 1), "line of more than"),
        "one field": (HEADER + b'u1,g1,"' + b"x\n" * 2**25, "field of more than"),
        "one header": (b"a," * 2**25, "line of more than"),
        "one object": (b'{"userId": "' + b"x" * 2**26, "line of more than"),
        "only line ends": (HEADER + b"\n" * 2**19, "has a header but no rows"),
        "more line ends than a sheet has rows": (HEADER + b"\n" * 2**22, "more than 1,048,576 blank lines in a row"),
        "only line ends, packed": (gzip.compress(b"\n" * 2**24), "more than 1,048,576 blank lines in a row"),
        "only NULs under the header": (HEADER + bytes(2**26), "is not text"),
        "long rows": (HEADER[:-1] + b",note\n" + (b"u1,g1,a," + b"x" * 100_000 + b"\n") * 700, "read to its end"),
        "wide rows": (
            b",".join(b"c%d" % n for n in range(20_000)) + b"\n" + (b"," * 19_999 + b"\n") * 500,
            "columns for userId",
        ),
    }


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
def test_memory_stays_bounded(tmp_path):
    contents = huge()
    for name, (content, _) in contents.items():
        (tmp_path / name).write_bytes(content)
    paths = [str(tmp_path / name) for name in contents]
    ended = run_python(READ, *paths, timeout=len(paths) * DEADLINE)
    assert ended.code == 0, ended.err
    for (name, (_, expected)), line in zip(contents.items(), ended.out.splitlines(), strict=True):
        peak, result = line.split(" ", 1)
        assert expected in result, name
        assert int(peak) < MOST_MIB, name


XLS = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
STARTS = [b"", HEADER, b"\xff\xfe", b"\x1f\x8b\x08", b"PK\x03\x04", b"PAR1", b'{"userId":1}\n', XLS]


@pytest.mark.slow
@pytest.mark.parametrize("start", STARTS)
@settings(max_examples=30)
@given(rest=st.binary(max_size=300))
def test_no_content_is_a_crash(tmp_path_factory, start, rest):
    path = tmp_path_factory.mktemp("any") / "rows.csv"
    path.write_bytes(start + rest)
    with suppress(SourceError), open_source(path, Reading()) as source:
        for batch in source.batches():
            assert len(batch)
