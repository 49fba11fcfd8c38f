"""However broken a file is, reading it takes little memory and ends in a sentence."""

import gzip
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source

PEAK = """
import re, sys
from pathlib import Path
from batch_alias.errors import SourceError
from batch_alias.settings import Reading
from batch_alias.sources import open_source

try:
    with open_source(Path(sys.argv[1]), Reading()) as source:
        for batch in source.batches():
            pass
    print("read to its end")
except SourceError as error:
    print(error.problem)
# Not getrusage: its peak begins with that of the process this one was started from.
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""
MOST = 200
HEADER = b"userId,groupId,remark\n"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("one line", HEADER + b"x" * 2**26, "line of more than"),
        ("one line, packed", gzip.compress(HEADER + b"x" * 2**26), "line of more than"),
        ("one field", HEADER + b'u1,g1,"' + b"x\n" * 2**25, "field of more than"),
        ("one header", b"a," * 2**25, "line of more than"),
        ("one object", b'{"userId": "' + b"x" * 2**26, "line of more than|does not begin"),
        ("only line ends", HEADER + b"\n" * 2**19, "has a header but no rows"),
        ("long rows", HEADER + (b"u1,g1," + b"x" * 100_000 + b"\n") * 500, "read to its end"),
        (
            "wide rows",
            b",".join(b"c%d" % n for n in range(20_000)) + b"\n" + (b"," * 19_999 + b"\n") * 500,
            "No column",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "",
)
def test_memory_stays_bounded(written, name, content, says):
    path = written(content, name)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, timeout=120, check=True
    )
    told, peak = done.stdout.rsplit("\n", 2)[:2]
    assert any(part in told for part in says.split("|")), told
    assert int(peak) < MOST


OLD_EXCEL = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
STARTS = [b"", HEADER, b"\xff\xfe", b"\x1f\x8b\x08", b"PK\x03\x04", b"PAR1", b'{"userId":1}\n', OLD_EXCEL]


@pytest.mark.parametrize("start", STARTS)
@settings(max_examples=40, deadline=None)
@given(rest=st.binary(max_size=300))
def test_no_bytes_at_all_give_a_traceback(tmp_path_factory, start, rest):
    path = tmp_path_factory.mktemp("any") / "rows.csv"
    path.write_bytes(start + rest)
    with suppress(SourceError), open_source(path, Reading()) as source:
        for batch in source.batches():
            assert len(batch)
