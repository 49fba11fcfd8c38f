"""Bring the catalogues of messages up to date: ``python -m tests.catalogue``, then translate what is empty, and repeat.

Messages are found where they are passed to ``_`` and its relatives, in the templates of the reports, and in tables.
"""

import ast
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from jinja2 import Environment
from jinja2.ext import extract_from_ast

from batch_alias import errors
from batch_alias.model import EVENT_SENTENCES, State
from batch_alias.problems import PROBLEMS
from batch_alias.rongcloud.codes import CODES, FAILURES, UNREADABLE
from batch_alias.settings import DELIMITERS
from batch_alias.sources.encodings import BYTE_ORDER_MARKS
from batch_alias.sources.workbook_worker import NO_CODE_PAGE

PACKAGE = Path(errors.__file__).parent
CATALOGUE = PACKAGE / "locale" / "zh" / "LC_MESSAGES" / "batch_alias.po"
COMPILED = CATALOGUE.with_suffix(".mo")
TAKES = {
    **dict.fromkeys(("_", "Message", "N_"), 1),
    **{name: 2 for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)},
}
"""How many of their first arguments are messages, by the name of a function or a class."""

REASONS = ("ENOENT", "EACCES", "EISDIR", "ENOTDIR", "EEXIST", "ENAMETOOLONG", "ENOSPC", "EDQUOT", "EROFS", "EIO")
REASONS += ("EADDRINUSE", "ECONNREFUSED")
"""The errors of the operating system that are translated."""

MessageId = str | tuple[str, str]


def messages() -> Iterator[tuple[str, MessageId]]:
    """Every message and the file that it is in, relative to the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                found = _of_call(_name(node), list(map(_text, node.args)))
                yield from ((str(path.relative_to(PACKAGE)), message) for message in found)
    for path in sorted(PACKAGE.rglob("*.html")):
        source = path.read_text(encoding="utf-8")
        for _, name, given in extract_from_ast(Environment(autoescape=True).parse(source), ("_", "count")):
            texts = list(given) if isinstance(given, tuple) else [given]
            yield from ((path.name, found) for found in _of_call(name, texts))
    yield from (("tables", text) for text in _of_tables() if text)


def unmarked(source: str) -> Iterator[str]:
    """The sentences that a function assigns to a name and passes as a message without ``N_``."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes = list(ast.walk(function))
            calls = [(_name(node), node.args) for node in nodes if isinstance(node, ast.Call)]
            passed = [node for name, given in calls for node in given[: TAKES.get(name, 0)]]
            names = {node.id for node in passed if isinstance(node, ast.Name)}
            assigned = {ast.unparse(node.targets[0]): node.value for node in nodes if isinstance(node, ast.Assign)}
            texts = [_text(value) for name, value in assigned.items() if name in names]
            yield from (text for text in texts if text and " " in text)


def _of_call(name: str, texts: list[str | None]) -> Iterator[MessageId]:
    if name == "count":
        yield from ((f"{{number:,}} {noun}", f"{{number:,}} {noun}s") for noun in texts[1:2] if noun)
    elif name in {"_", "Message"} and len(texts) > 1 and texts[0] and texts[1]:
        yield texts[0], texts[1]
    else:
        yield from filter(None, texts[: TAKES.get(name, 0)])


def _name(call: ast.Call) -> str:
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _of_tables() -> Iterator[str]:
    for problem in PROBLEMS.values():
        yield from (problem.sentence, problem.advice)
    for known in (*CODES.values(), *FAILURES.values(), UNREADABLE):
        yield from (known.meaning, known.advice, known.row_advice)
    yield from (*State, *EVENT_SENTENCES.values())
    yield from (*DELIMITERS, *(name for _codec, name in BYTE_ORDER_MARKS.values()), NO_CODE_PAGE)
    yield from (*(os.strerror(getattr(errno, name)) for name in REASONS), "Name or service not known")


def update() -> None:
    """Write the catalogue with all messages and no others, as text and compiled."""
    old = CATALOGUE.read_text(encoding="utf-8")
    header = old.partition("\n\n")[0]
    catalogue, found = read_po(io.StringIO(old), locale="zh"), Catalog()
    for place, message in messages():
        found.add(message, locations=[(place, None)])
    catalogue.update(found, no_fuzzy_matching=True)
    text = io.BytesIO(f"{header}\n\n".encode())
    text.seek(0, io.SEEK_END)
    write_po(text, catalogue, width=120, omit_header=True, sort_by_file=True, ignore_obsolete=True)
    CATALOGUE.write_bytes(text.getvalue().rstrip() + b"\n")
    with COMPILED.open("wb") as file:
        write_mo(file, catalogue)


if __name__ == "__main__":
    update()
