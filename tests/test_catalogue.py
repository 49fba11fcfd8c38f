"""The catalogues have every message, with the same values in it, and the compiled one is current."""

import gettext
from string import Formatter

import pytest
from babel.messages.pofile import read_po

from tests.catalogue import CATALOGUE, COMPILED, PACKAGE, messages, unmarked


@pytest.fixture(scope="module")
def translations() -> dict[str | tuple[str, str], str]:
    """The texts of the catalogue by message; the only one of a message with a plural."""
    with CATALOGUE.open("rb") as file:
        found = {message.id: message.string for message in read_po(file, locale="zh") if message.id}
    return {key: text if isinstance(text, str) else text[0] for key, text in found.items()}


def fields(template: str) -> set[tuple[str, str]]:
    return {(name, form) for _, name, form, _ in Formatter().parse(template) if name is not None}


def test_every_message_is_translated_and_nothing_else(translations):
    assert translations.keys() == {message for _, message in messages()}
    assert [message for message, text in translations.items() if not text] == []


def test_a_translation_names_the_values_of_its_message(translations):
    for message, text in translations.items():
        one, many = message if isinstance(message, tuple) else (message, message)
        assert fields(text) == fields(many) >= fields(one), text


def test_the_compiled_catalogue_is_current(translations):
    with COMPILED.open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for message, text in translations.items():
        shown = compiled.gettext(message) if isinstance(message, str) else compiled.ngettext(*message, 2)
        assert shown == text


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_sentence_that_is_passed_by_name_is_marked(path):
    assert list(unmarked(path.read_text(encoding="utf-8"))) == []


def test_a_sentence_that_is_not_marked_is_found():
    source = """
def f():
    problem = "It is wrong."
    advice = N_("Pass another.")
    raise UsageError(problem, advice)
"""
    assert list(unmarked(source)) == ["It is wrong."]
