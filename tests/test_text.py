from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_alias.text import (
    Message,
    _,
    count,
    duration,
    english,
    enumeration,
    excerpt,
    from_json,
    labelled,
    language_of,
    listing,
    pack,
    percent,
    quoted,
    timestamp,
    to_json,
    unpack,
    wrapped,
)

JOINERS = "\u200c\u200d"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("老王 🐉", "老王 🐉"),
        ("two\r\nlines\x00", "two␍␊lines␀"),
        ("\x7f\x1b[31mred", "␡␛[31mred"),
        ("u\u200b1\ufeff", "u⟨U+200B⟩1⟨U+FEFF⟩"),
        ("a\xa0b\u3000c", "a⟨U+00A0⟩b⟨U+3000⟩c"),
        ("\u202eabc\x85", "⟨U+202E⟩abc⟨U+0085⟩"),
        ("half \ud83d", "half ⟨U+D83D⟩"),
        ("\U000e0001", "⟨U+E0001⟩"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("u\u200d1\u200c", "u⟨U+200D⟩1⟨U+200C⟩"),
        ("\u200d", "⟨U+200D⟩"),
        ("", ""),
    ],
)
def test_an_excerpt_shows_what_is_invisible(text, shown):
    assert excerpt(text) == shown
    assert quoted(text) == f"'{shown}'"


def test_a_long_text_is_cut():
    assert excerpt("x" * 40) == "x" * 40
    assert excerpt("x" * 41) == "x" * 40 + "…"
    assert excerpt("abc", 2) == "ab…"
    assert excerpt("\n" * 10**6, 3) == "␊␊␊…"


@given(st.text(st.characters()), st.integers(0, 50))
def test_every_excerpt_is_one_line_that_can_be_written(text, most):
    shown = excerpt(text, most)
    assert all(character.isprintable() or character in JOINERS for character in shown)
    shown.encode()
    assert shown.endswith("…") or len(text) <= most


def test_a_listing_quotes_names_and_counts_those_left_out():
    assert listing([]) == ""
    assert listing(["a"]) == "'a'"
    assert listing(["b", "a\n"]) == "'b', 'a␊'"
    assert listing(["a", "b", "c"], 2) == "'a', 'b' and 1 more"
    assert listing([str(number) for number in range(50)]).endswith("'19' and 30 more")


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1_234_567, "1,234,567 rows")]
)
def test_a_count_has_its_noun(number, shown):
    assert count(number, "row") == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (0.04, "0.0 s"),
        (0.4, "0.4 s"),
        (1.0, "1 s"),
        (9.94, "9.9 s"),
        (9.97, "10 s"),
        (45.4, "45 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (725, "12 min 5 s"),
        (3599, "59 min 59 s"),
        (3599.6, "1 h"),
        (3659, "1 h"),
        (10_020, "2 h 47 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d"),
        (273_600, "3 d 4 h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds, shown):
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0, "0%"), (0.05, "5%"), (0.07, "7%"), (0.125, "12.5%"), (0.29, "29%"), (1, "100%"), (1.5, "150%")],
)
def test_a_share_is_shown_in_per_cent(share, shown):
    assert percent(share) == shown


def test_a_timestamp_is_in_utc_and_to_the_millisecond():
    assert timestamp(0.0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1_800_000_000.25) == "2027-01-15T08:00:00.250Z"
    assert timestamp(None) is None


VALUES = st.one_of(st.integers(), st.text(), st.floats(allow_nan=False))
NAMES = st.sampled_from(["name", "rows", "{rows}", "self", "template"])


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{}")), st.dictionaries(NAMES, VALUES))
def test_a_message_is_stored_and_shown_again(template, values):
    message = _("{inner} and more", inner=_(template, **values), name="{x}")
    for again in (unpack(pack(message)), from_json(to_json([message]))[0], deepcopy(message)):
        assert again == message == f"{template} and more"
        assert (again.template, again.values) == (message.template, message.values)


@given(st.text())
def test_any_other_text_is_stored_and_shown_again(text):
    assert unpack(pack(text)) == text


def test_the_number_decides_between_one_and_many():
    one, many = (_("{number} row is left.", "{number} rows are left.", number=number) for number in (1, 2))
    assert (one, many) == ("1 row is left.", "2 rows are left.")
    assert unpack(pack(many)) == many


@pytest.mark.parametrize(("number", "shown"), [(1, "1 row: a"), (2, "2 rows: a")])
def test_a_message_can_be_shown_in_english(number, shown):
    inner = _("{text}", text="a")
    assert english(_("{number} row: {inner}", "{number} rows: {inner}", number=number, inner=inner)) == shown
    assert [english(text) for text in (Message("{"), "{text}")] == ["{", "{text}"]


def test_an_enumeration_has_commas_and_no_empty_parts():
    assert enumeration(["CSV", "", "UTF-8", "comma"]) == "CSV, UTF-8, comma"
    assert enumeration(["CSV"]) == "CSV"
    assert unpack(pack(enumeration([_("a {b}", b=1), "c"]))) == "a 1, c"


def test_a_message_without_values_may_have_braces():
    assert Message("{") == "{"


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_GB.UTF-8"}, "en"),
        ({"LC_ALL": "de_DE.UTF-8", "BATCH_ALIAS_LANG": "zh"}, "zh"),
        ({"LC_ALL": "", "LANG": "zh_TW"}, "zh"),
        ({"LANG": "C"}, "en"),
    ],
)
def test_the_language_is_that_of_the_variable_or_of_the_locale(variables, language):
    assert language_of(variables) == language


def test_a_label_has_a_column_of_its_own_however_wide_its_characters():
    assert labelled("Rows", "5") == "Rows      5"
    assert labelled("行数", "5") == "行数      5"
    assert labelled("", "5") == "          5"


WORDS = "some words and more of them than fit"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("short", ["short"]),
        (f"Source    {WORDS}", ["Source    some words and", "          more of them", "          than fit"]),
        (f"来源      {WORDS}", ["来源      some words and", "          more of them", "          than fit"]),
        (f"    {WORDS} here", ["    some words and more of", "      them than fit here"]),
        (f"{WORDS} in it", ["some words and more of", "  them than fit in it"]),
        (
            "来源      用户昵称推送备注名用户昵称推送备注名",
            ["来源      用户昵称推送备注", "          名用户昵称推送备", "          注名"],
        ),
        ("at /a/path/that/is/longer/than/all", ["at", "  /a/path/that/is/longer/than/all"]),
        (
            "Then try: batch-alias check 'a file.csv' again",
            ["Then try:", "  batch-alias check 'a file.csv'", "  again"],
        ),
        (
            "\x1b[32mDone      300 accepted of 300\x1b[0m",
            ["\x1b[32mDone      300 accepted of\x1b[0m", "\x1b[32m          300\x1b[0m"],
        ),
    ],
)
def test_a_line_is_wrapped_below_its_text(text, lines):
    assert [line.rstrip() for line in wrapped(text, 26).split("\n")] == lines


@given(st.text(st.sampled_from("ab 中\N{NO-BREAK SPACE}-"), max_size=80), st.integers(21, 60))
def test_wrapping_loses_no_character(text, width):
    assert "".join(wrapped(text, width).split()) == "".join(text.split())
